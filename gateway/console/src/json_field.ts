// A text area for JSON that says while one types where it is none.

import { button, find, make } from "./element";
import { readJson, type JsonText, type Mistake } from "./json_text";

export class JsonField {
  readonly area: HTMLTextAreaElement;
  readonly #check: HTMLElement;

  /** Takes the text area of this id, and the element `ID-check` for what is wrong. */
  constructor(id: string) {
    this.area = find(id, HTMLTextAreaElement);
    this.#check = find(`${id}-check`, HTMLElement);
    this.area.setAttribute("aria-describedby", this.#check.id);
    this.area.addEventListener("input", () => this.#look());
    this.#look();
  }

  get text(): string {
    return this.area.value;
  }

  set text(text: string) {
    this.area.value = text;
    this.#look();
  }

  /** The value, or nothing: then the mistake is shown and has the caret. */
  take(): { value: unknown } | undefined {
    const read = this.#look();
    if (read.valid) return { value: read.value };
    this.#go(read.mistake);
    return undefined;
  }

  #look(): JsonText {
    const lines = this.text.split("\n").length;
    this.area.rows = Math.min(Math.max(lines, Number(this.area.dataset["rows"] ??= String(this.area.rows))), 14);
    const read = readJson(this.text);
    this.area.setAttribute("aria-invalid", String(!read.valid));
    if (read.valid) this.#check.replaceChildren();
    else this.#check.replaceChildren(this.#words(read.mistake));
    return read;
  }

  #words(mistake: Mistake): HTMLElement {
    const { line, column, words } = mistake;
    const [before, wrong, after] = excerpt(this.text, mistake);
    return make(
      "p",
      {},
      button(`line ${line}, column ${column}`, () => this.#go(mistake), { class: "link", "aria-label": `Go to line ${line}, column ${column}` }),
      `: ${words} `,
      make("code", { class: "excerpt" }, before, make("mark", {}, wrong), after),
    );
  }

  #go({ offset, length }: Mistake): void {
    this.area.focus();
    this.area.setSelectionRange(offset, offset + length);
  }
}

/** A few characters around a mistake, of its own line. */
function excerpt(text: string, { offset, length }: Mistake): [string, string, string] {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset) < 0 ? text.length : text.indexOf("\n", offset);
  const from = Math.max(start, offset - 14);
  const until = Math.min(offset + Math.max(length, 1), end, offset + 14);
  const wrong = text.slice(offset, until) || "⎵";
  return [(from > start ? "…" : "") + text.slice(from, offset), wrong, text.slice(until, Math.min(end, until + 10))];
}
