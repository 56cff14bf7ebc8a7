// Keys that do something wherever the focus is, and the dialog that lists them.
//
// Single keys do nothing while somebody types, and nothing at all when they are switched off (WCAG 2.1.4).

import { find, make } from "./element";
import { kept } from "./kept";

export interface Shortcut {
  readonly key: string;
  readonly words: string;
  /** Answers whether there was something to do. */
  readonly press: () => unknown;
}

/** What is listed and handled elsewhere. */
const OTHERS: readonly [string, string][] = [
  ["Ctrl Enter", "Send the form that one is in"],
  ["↑ ↓", "In the call form: earlier and later calls"],
  ["Esc", "In the call form: cancel the newest call"],
];

export class Shortcuts {
  readonly #dialog = find("help", HTMLDialogElement);
  readonly #singleKeys = find("single-keys", HTMLInputElement);

  constructor(shortcuts: readonly Shortcut[]) {
    const all: readonly Shortcut[] = [...shortcuts, { key: "?", words: "Show this", press: () => this.#open() }];
    this.#singleKeys.checked = kept(localStorage, "single-keys") !== "no";
    this.#singleKeys.addEventListener("change", () => kept(localStorage, "single-keys", this.#singleKeys.checked ? "yes" : "no"));
    find("help-open", HTMLButtonElement).addEventListener("click", () => this.#open());
    const rows = [...all.map(({ key, words }): [string, string] => [key, words]), ...OTHERS];
    find("shortcuts", HTMLElement).replaceChildren(
      ...rows.map(([keys, words]) => make("tr", {}, make("td", {}, ...keys.split(" ").flatMap((key) => [make("kbd", {}, key), " "])), make("td", {}, words))),
    );
    document.addEventListener("keydown", (event) => {
      if (!this.#singleKeys.checked || event.ctrlKey || event.metaKey || event.altKey || this.#dialog.open || isTyping(event.target)) return;
      const shortcut = all.find(({ key }) => key === event.key);
      if (!shortcut) return;
      event.preventDefault();
      shortcut.press();
    });
  }

  #open(): void {
    this.#dialog.showModal();
  }
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement ? target.type !== "checkbox" : target instanceof HTMLTextAreaElement;
}
