/**
 * The server's calls that are not answered yet. In: calls, and which of them nobody waits for any more. Out: one
 * answer for each of the others. Knows nothing of connections.
 */
import { invoke } from "./actions.js";

/** Sends an answer; a value that has no JSON becomes an error there. */
type Answer = (fid: string, ok: boolean, value: unknown) => void;

export class Invocations {
  #running = new Map<string, AbortController>();
  #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  start(actions: unknown, fid: string, path: string, data: unknown): void {
    const controller = new AbortController();
    this.#running.set(fid, controller);
    invoke(actions, path, data, controller.signal, (ok, value) => {
      if (this.#running.delete(fid)) this.#answer(fid, ok, value);
    });
  }

  cancel(fid: string): void {
    const controller = this.#running.get(fid);
    this.#running.delete(fid);
    controller?.abort();
  }

  /** Nobody waits for any of them. */
  clear(): void {
    for (const fid of [...this.#running.keys()]) this.cancel(fid);
  }
}
