import type { TokenSocketError } from "./error.js";

/** How many messages wait for a reader that is slow. */
export const BUFFER = 256;

interface Reader<T> {
  resolve: (result: IteratorResult<T, undefined>) => void;
  reject: (error: unknown) => void;
  /** Whose wait it is, which is not collected meanwhile. */
  holder: object;
}

/**
 * Messages on their way to one reader. In: messages, and that no more come. Out: the same to who asks for the
 * next one, in order. Does not know its subscription, so that its channel holds this and not that one; only
 * while somebody waits for the next message it holds whom that one asked.
 */
export class Mailbox<T = unknown> {
  /** How many messages were dropped because they were not read fast enough. */
  missed = 0;

  #open = true;
  #buffer: T[] = [];
  /** How many more may wait than usually, since they came at once. */
  #extra = 0;
  #readers: Reader<T>[] = [];
  #error: TokenSocketError | undefined;

  next(holder: object): Promise<IteratorResult<T, undefined>> {
    if (this.#buffer.length) {
      if (this.#extra) this.#extra--;
      return Promise.resolve({ value: this.#buffer.shift() as T, done: false });
    }
    const error = this.#error;
    this.#error = undefined;
    if (error) return Promise.reject(error);
    if (!this.#open) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject, holder }));
  }

  push(message: T): void {
    if (this.#readers.length) this.#readers.shift()?.resolve({ value: message, done: false });
    else if (this.#buffer.push(message) > BUFFER + this.#extra) {
      this.#buffer.shift();
      this.missed++;
    }
  }

  /** Many at once, after a reconnect: they have room of their own, so that none is dropped before it can be read. */
  recover(messages: T[]): void {
    this.#extra = messages.length;
    for (const message of messages) this.push(message);
  }

  /** Forgets what waits. */
  empty(): void {
    this.#buffer = [];
  }

  /** Nothing more comes. Says whether that is new. */
  finish(error?: TokenSocketError): boolean {
    if (!this.#open) return false;
    this.#open = false;
    const readers = this.#readers;
    this.#readers = [];
    // One error is one error: the first reader gets it, the others find the end.
    this.#error = readers.length ? undefined : error;
    readers.forEach((reader, index) => {
      if (error && !index) reader.reject(error);
      else reader.resolve({ value: undefined, done: true });
    });
    return true;
  }
}
