import type { Mailbox } from "./mailbox.js";

/**
 * A followed channel: what is published on it, for `for await`.
 *
 * ```js
 * for await (const message of socket.subscribe("news")) console.log(message);
 * ```
 *
 * Up to 256 messages wait for a slow reader, from the moment of the subscribe on; when more come, the oldest
 * are dropped and {@link missed} counts them. Each subscription has one reader and gets every message; subscribe again
 * for another reader.
 *
 * What is published while the connection is lost comes after the reconnect, however much it is, on a channel with
 * history; the event `unrecovered` tells when it does not. On a channel without history it does not arrive; listen to
 * the event `reconnect` to notice. A server that was cut off from others for a while says so of such a channel by
 * `unrecovered`: something may be missing.
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

  #mailbox: Mailbox<T>;
  #leave: () => void;

  /** @internal `leave` says that this one is given up. */
  constructor(channel: string, ready: Promise<void>, mailbox: Mailbox<T>, leave: () => void) {
    this.channel = channel;
    this.ready = ready;
    this.#mailbox = mailbox;
    this.#leave = leave;
  }

  /** How many messages were dropped because they were not read fast enough. */
  get missed(): number {
    return this.#mailbox.missed;
  }

  /** Stops this subscription. The channel itself is unsubscribed when no other subscription to it is left. */
  unsubscribe(): void {
    if (this.#mailbox.finish()) this.#leave();
  }

  /** The next message. What `for await` calls. */
  next(): Promise<IteratorResult<T, undefined>> {
    return this.#mailbox.next(this);
  }

  /** Unsubscribes. What `for await` calls when the loop is left early. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#mailbox.empty();
    this.unsubscribe();
    return Promise.resolve({ value: undefined, done: true });
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }
}
