// The calls that were made, each with its answer, its error or the time it has been running.
//
// In: calls. Out: a list, newest first, of at most 100.

import type { Typed } from "./call_history";
import type { Connection } from "./connection";
import { duration, timeOfDay } from "./duration";
import { button, find, make } from "./element";
import { failure } from "./failure";
import { line, view } from "./json_view";
import { Signal } from "./signal";

const MOST = 100;

/** A call that has no answer yet. */
interface Running {
  readonly begun: number;
  readonly time: HTMLElement;
  readonly stop: AbortController;
}

export class AnswerLog {
  /** Somebody wants to have a call in the form again. */
  readonly again = new Signal<Typed>();
  readonly #list = find("answers-log", HTMLOListElement);
  readonly #count = find("answers-count", HTMLElement);
  readonly #running = new Set<Running>();
  #made = 0;

  constructor() {
    find("answers-clear", HTMLButtonElement).addEventListener("click", () => {
      for (const item of [...this.#list.children]) if (!item.classList.contains("running")) item.remove();
      this.#made = this.#list.children.length;
      this.#count.textContent = this.#made > 0 ? String(this.#made) : "";
    });
    this.#list.append(make("li", { class: "nothing" }, "Nothing called yet."));
    setInterval(() => this.#tick(), 200);
  }

  call(connection: Connection, typed: Typed, data: unknown, timeout: number): void {
    const running = { begun: performance.now(), time: make("span", { class: "time" }, "…"), stop: new AbortController() };
    const cancel = button("Cancel", () => running.stop.abort());
    const again = button("Again", () => this.again.tell(typed), { class: "quiet", "aria-label": `Put ${typed.action} into the form again` });
    const head = make("div", { class: "head" }, make("strong", { class: "code" }, typed.action), make("span", { class: "code sent" }, data === null ? "" : line(data, 80)), again, cancel, running.time);
    const item = make("li", { class: "answer running" }, head);
    this.#add(item);
    this.#running.add(running);

    const end = (outcome: "done" | "failed", body: Node) => {
      const took = performance.now() - running.begun;
      this.#running.delete(running);
      cancel.remove();
      running.time.textContent = duration(took);
      running.time.title = `called at ${timeOfDay(new Date(Date.now() - took))}`;
      item.classList.replace("running", outcome);
      item.append(body);
    };
    const socket = connection.socket;
    const answer = socket
      ? socket.rpc(typed.action, data, { timeout, signal: running.stop.signal })
      : Promise.reject(new Error("There is no connection: press Connect."));
    answer.then(
      (value) => end("done", view(value)),
      (thrown: unknown) => end("failed", this.#failed(thrown)),
    );
  }

  /** Stops the newest call that is still running. */
  cancelNewest(): void {
    [...this.#running].at(-1)?.stop.abort();
  }

  #failed(thrown: unknown): HTMLElement {
    const { code, message, advice, details } = failure(thrown);
    const words = make("div", { class: "failure" }, make("p", {}, make("strong", {}, message), " ", make("code", { class: "code-name" }, code)), make("p", {}, advice));
    if (details !== undefined && details !== null) words.append(view(details));
    return words;
  }

  #add(item: HTMLElement): void {
    this.#list.querySelector(".nothing")?.remove();
    this.#list.prepend(item);
    while (this.#list.children.length > MOST) this.#list.lastElementChild?.remove();
    this.#made += 1;
    this.#count.textContent = String(this.#made);
  }

  #tick(): void {
    const now = performance.now();
    for (const { begun, time } of this.#running) if (now - begun > 300) time.textContent = duration(now - begun);
  }
}
