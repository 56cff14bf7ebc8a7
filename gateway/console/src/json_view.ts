// A value as text with colours, on one line or on as many as it takes.

import { button, make } from "./element";

/** More than this is shown when asked for. */
const SHOWN = 8_000;
const TOKEN = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** JSON on one line, cut where it becomes long. */
export function line(value: unknown, longest = 240): string {
  const text = write(value);
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

/** JSON on as many lines as it takes. */
export function view(value: unknown): HTMLElement {
  const text = write(value, 2);
  const pre = make("pre", { class: "json" });
  if (text.length <= SHOWN) pre.append(...colour(text));
  else {
    const all = button(`… ${text.length - SHOWN} more characters: show all`, () => pre.replaceChildren(text), { class: "link" });
    pre.append(...colour(text.slice(0, SHOWN)), all);
  }
  return pre;
}

function write(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent) ?? "undefined";
}

function* colour(text: string): Generator<Node | string> {
  let done = 0;
  for (const token of text.matchAll(TOKEN)) {
    const [all, string, colon] = token;
    yield text.slice(done, token.index);
    const kind = colon ? "name" : string ? "string" : /^[tfn]/.test(all) ? "word" : "number";
    yield make("span", { class: `json-${kind}` }, string ?? all);
    if (colon) yield colon;
    done = token.index + all.length;
  }
  yield text.slice(done);
}
