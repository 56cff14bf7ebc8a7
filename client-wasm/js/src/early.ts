/**
 * Requests that were made before the WebAssembly part was there. In: requests. Out: the same in order, each
 * with what is left of its time; or, to each that does not fit or whose time is over, its failure. Bounded
 * as the session's own queue is.
 */
import { TokenSocketError } from "./error.js";
import type { Options } from "./options.js";
import type { Connection } from "./wasm/connection.js";

/** Sends a request. `timeout` as in {@link Connection.request}. */
export type Send = (connection: Connection, id: number, timeout: number | undefined) => void;

/** The longest time that `setTimeout` can wait. */
const LONGEST = 2 ** 31 - 1;

interface Waiting {
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Sends it with what is left of its time. */
  go: (send: Sender) => void;
}

type Sender = (id: number, send: Send, timeout: number) => void;

export class Early {
  #waiting = new Map<number, Waiting>();
  #options: Options;
  #fail: (id: number, error: TokenSocketError) => void;

  constructor(options: Options, fail: (id: number, error: TokenSocketError) => void) {
    this.#options = options;
    this.#fail = fail;
  }

  push(id: number, send: Send, timeout: number | undefined): void {
    const { queueCalls = 1024, whenFull, callTimeout = 30_000 } = this.#options;
    const limit = timeout ?? callTimeout ?? 0;
    if (this.#waiting.size >= queueCalls) {
      const [full = id] = whenFull === "drop-oldest" ? this.#waiting.keys() : [];
      this.drop(full);
      this.#fail(full, new TokenSocketError("too many calls wait to be sent; try again later", "overloaded"));
      if (full === id) return;
    }
    const late = () => {
      this.drop(id);
      this.#fail(id, new TokenSocketError("no answer in time; the call was not sent", "timeout"));
    };
    const since = Date.now();
    this.#waiting.set(id, {
      timer: limit ? setTimeout(late, Math.min(limit, LONGEST)) : undefined,
      go: (sender) => sender(id, send, limit && Math.max(1, limit - (Date.now() - since))),
    });
  }

  /** Forgets a request that was given up. */
  drop(id: number): void {
    clearTimeout(this.#waiting.get(id)?.timer);
    this.#waiting.delete(id);
  }

  /** Hands over everything, oldest first, and is empty. */
  drain(sender: Sender): void {
    for (const [id, { go }] of this.#waiting) {
      this.drop(id);
      go(sender);
    }
  }
}
