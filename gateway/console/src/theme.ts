// Light, dark, or as the system has it.

import { find, make } from "./element";
import { kept } from "./kept";
import { Signal } from "./signal";

const THEMES = ["auto", "light", "dark"] as const;

export class Theme {
  /** The colours are others now. */
  readonly changed = new Signal<void>();
  readonly #button = find("theme", HTMLButtonElement);
  #at = 0;

  constructor() {
    this.#at = Math.max(0, THEMES.findIndex((theme) => theme === kept(localStorage, "theme")));
    this.#show();
    this.#button.addEventListener("click", () => this.next());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.changed.tell());
  }

  next(): void {
    this.#at = (this.#at + 1) % THEMES.length;
    kept(localStorage, "theme", THEMES[this.#at]);
    this.#show();
  }

  #show(): void {
    const theme = THEMES[this.#at] ?? "auto";
    document.documentElement.dataset["theme"] = theme;
    this.#button.replaceChildren(make("span", { class: "wide" }, "Theme: "), make("span", { class: "narrow" }, "◐ "), theme);
    this.#button.setAttribute("aria-label", `Theme: ${theme}`);
    this.changed.tell();
  }
}
