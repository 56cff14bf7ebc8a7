/**
 * The requests that wait for their outcome, by number. In: requests, outcomes, signals. Out: each request's
 * outcome, once. Knows nothing of connections.
 */
import { TokenSocketError } from "./error.js";
import type { CallOptions } from "./types.js";

/** Gets the one outcome of a request. */
export type Settle = (error: TokenSocketError | null, value?: unknown) => void;

interface Request {
  settle: Settle;
  /** Stops listening to the signal. */
  release: (() => void) | undefined;
}

export class Requests {
  #requests = new Map<number, Request>();
  #last = 0;

  /**
   * Enters a request and gives its number. `cancel` is called when the signal aborts; the request then is
   * settled already.
   */
  open(settle: Settle, signal: CallOptions["signal"], cancel: (id: number) => void): number {
    const id = ++this.#last;
    this.#requests.set(id, { settle, release: signal && this.#listen(id, signal, cancel) });
    return id;
  }

  /** Settles a request. One that is settled already stays as it is. */
  settle(id: number, error: TokenSocketError | null, value?: unknown): void {
    const request = this.#requests.get(id);
    if (!request) return;
    this.#requests.delete(id);
    request.release?.();
    request.settle(error, value);
  }

  /** Fails all that wait. */
  fail(error: TokenSocketError): void {
    for (const id of [...this.#requests.keys()]) this.settle(id, error);
  }

  #listen(id: number, signal: AbortSignal, cancel: (id: number) => void): () => void {
    const abort = () => {
      this.settle(id, aborted(signal));
      cancel(id);
    };
    signal.addEventListener("abort", abort);
    return () => signal.removeEventListener("abort", abort);
  }
}

/** What a call rejects with that was given up by its signal. */
export function aborted(signal: AbortSignal | undefined): TokenSocketError {
  const error = new TokenSocketError("the call was cancelled", "cancelled", { cause: signal?.reason });
  error.name = "AbortError";
  return error;
}
