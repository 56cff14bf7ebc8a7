import type { TokenSocketError } from "./error.js";

/** @internal How many messages wait for a reader that is slow. */
export const BUFFER = 256;

/** What a subscription needs from the socket that made it. */
interface Origin {
  /** Somebody reads now: keep the subscription although nobody else holds it. */
  hold(): void;
  leave(): void;
}

/**
 * A followed channel: what is published on it, for `for await`.
 *
 * ```js
 * for await (const message of socket.subscribe("news")) console.log(message);
 * ```
 *
 * Up to 256 messages wait for a slow reader, from the moment of the subscribe on; when more come, the oldest
 * are dropped and {@link missed} counts them. What is published while the connection is lost does not
 * arrive; listen to the event `reconnect` to notice. Each subscription has one reader and gets every
 * message; subscribe again for another reader.
 *
 * The loop ends after {@link unsubscribe}, `socket.unsubscribe` or the socket's end, once it has had what was
 * waiting. It throws a {@link TokenSocketError} when the server refuses the subscription (code `forbidden`
 * or the hook's own) or ends it (code `closed`). Leaving the loop by `break`, `return` or an error
 * unsubscribes.
 */
export class Subscription<T = unknown> implements AsyncIterableIterator<T> {
  /** The channel's name. */
  readonly channel: string;
  /**
   * Resolves when the server has confirmed the subscription; rejects with a {@link TokenSocketError} when it
   * is refused, or not confirmed in time. Need not be awaited: it causes no unhandled rejection.
   */
  readonly ready: Promise<void>;
  /** How many messages were dropped because they were not read fast enough. */
  missed = 0;

  #origin: Origin | undefined;
  #buffer: T[] = [];
  #readers: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: unknown) => void }[] = [];
  #error: TokenSocketError | undefined;

  /** @internal */
  constructor(channel: string, ready: Promise<void>, origin: Origin) {
    this.channel = channel;
    this.ready = ready;
    this.#origin = origin;
  }

  /** Stops this subscription. The channel itself is unsubscribed when no other subscription to it is left. */
  unsubscribe(): void {
    const origin = this.#origin;
    this.finish();
    origin?.leave();
  }

  /** The next message. What `for await` calls. */
  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#buffer.length) return Promise.resolve({ value: this.#buffer.shift() as T, done: false });
    const error = this.#error;
    this.#error = undefined;
    if (error) return Promise.reject(error);
    if (!this.#origin) return Promise.resolve({ value: undefined, done: true });
    this.#origin.hold();
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  /** Unsubscribes. What `for await` calls when the loop is left early. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#buffer = [];
    this.unsubscribe();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @internal A publication came. */
  push(message: T): void {
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ value: message, done: false });
    else if (this.#buffer.push(message) > BUFFER) {
      this.#buffer.shift();
      this.missed++;
    }
  }

  /** @internal Nothing more comes. */
  finish(error?: TokenSocketError): void {
    if (!this.#origin) return;
    this.#origin = undefined;
    const readers = this.#readers;
    this.#readers = [];
    // One error is one error: the first reader gets it, the others find the end.
    this.#error = readers.length ? undefined : error;
    readers.forEach((reader, index) => {
      if (error && !index) reader.reject(error);
      else reader.resolve({ value: undefined, done: true });
    });
  }
}
