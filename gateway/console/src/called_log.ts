// The calls that the server made on this page, newest first, at most 100.

import type { UntypedActions } from "tokensocket";

import { duration, timeOfDay } from "./duration";
import { find, make } from "./element";
import { failure } from "./failure";
import { line } from "./json_view";

/** An action of this page. The signal aborts when nobody waits for the answer any more. */
type PageAction = (data: unknown, signal: AbortSignal) => unknown;

const MOST = 100;

export class CalledLog {
  readonly #list = find("called-log", HTMLOListElement);
  readonly #count = find("called-count", HTMLElement);
  #calls = 0;

  constructor() {
    this.#list.append(make("li", { class: "nothing" }, "The server may call greet, notify and confirm on this page."));
  }

  /** The same actions, whose calls are listed. */
  watch(actions: Readonly<Record<string, PageAction>>): UntypedActions {
    return Object.fromEntries(
      Object.entries(actions).map(([name, action]) => [
        name,
        (data: unknown, answer) => {
          const end = this.#begin(name, data);
          const { signal } = answer;
          signal.addEventListener("abort", () => end("stopped", "nobody waits any more"), { once: true });
          Promise.resolve()
            .then(() => action(data, signal))
            .then(
              (result) => {
                end("done", line(result, 120));
                answer(null, result);
              },
              (error: unknown) => {
                end("failed", failure(error).message);
                answer(error);
              },
            );
        },
      ]),
    ) satisfies UntypedActions;
  }

  #begin(name: string, data: unknown): (outcome: "done" | "failed" | "stopped", words: string) => void {
    const begun = performance.now();
    const time = make("span", { class: "time" }, timeOfDay(new Date()));
    const item = make("li", { class: "running" }, make("div", { class: "head" }, make("strong", { class: "code" }, name), make("span", { class: "code sent" }, data === null ? "" : line(data, 80)), time));
    this.#list.querySelector(".nothing")?.remove();
    this.#list.prepend(item);
    while (this.#list.children.length > MOST) this.#list.lastElementChild?.remove();
    this.#calls += 1;
    this.#count.textContent = String(this.#calls);
    return (outcome, words) => {
      if (!item.classList.contains("running")) return;
      item.classList.replace("running", outcome);
      time.textContent += ` · ${duration(performance.now() - begun)}`;
      item.append(make("div", { class: "code result" }, words));
    };
  }
}
