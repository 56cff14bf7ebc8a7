/**
 * What went wrong, for a machine.
 *
 * From the server: `bad_request`, `not_found`, `forbidden`, `unauthenticated`, `timeout`, `cancelled`,
 * `rate_limited`, `too_large`, `overloaded`, `internal`. From the client itself, beside `timeout`,
 * `cancelled`, `too_large` and `overloaded`:
 *
 * | code | meaning |
 * | --- | --- |
 * | `disconnected` | the connection was lost before the answer came; the server may have done what was asked |
 * | `ended` | the socket was ended, or stays away for good |
 * | `refused` | the server refuses to issue a token |
 * | `token` | the token request failed in another way |
 * | `transport` | the connection could not be opened, or broke |
 * | `closed` | the server closed the connection, or ended the subscription |
 * | `silent` | nothing came after a ping |
 * | `options` | the options of the constructor cannot work |
 * | `wasm` | the WebAssembly part could not be loaded |
 */
export type ErrorCode =
  | "bad_request"
  | "not_found"
  | "forbidden"
  | "unauthenticated"
  | "timeout"
  | "cancelled"
  | "rate_limited"
  | "too_large"
  | "overloaded"
  | "internal"
  | "disconnected"
  | "ended"
  | "refused"
  | "token"
  | "transport"
  | "closed"
  | "silent"
  | "options"
  | "wasm"
  | (string & {});

/** What a {@link TokenSocketError} may carry beside its message and code. */
export interface ErrorContext {
  /** What the action said about the error beside its message. */
  details?: unknown;
  /** The error as the server sent it: a string or an object. */
  error?: unknown;
  /** What led to it. */
  cause?: unknown;
}

/**
 * Every error of this package: what calls reject with, what callbacks get first, and what an action may
 * throw to give the server a code and details.
 *
 * Where the server answered an object with fields of its own, they can be read from this error too, unless
 * an `Error` has a field of that name; {@link error} has the object itself.
 */
export class TokenSocketError extends Error {
  /** What went wrong, for a machine. `internal` where the server sent no code. */
  readonly code: ErrorCode;
  /** What the action said about it, `undefined` where it said nothing. */
  readonly details: unknown;
  /** The error as the server sent it, a string or an object; `undefined` where the client noticed it. */
  readonly error: unknown;

  constructor(message: string, code: ErrorCode = "internal", context: ErrorContext = {}) {
    super(message, "cause" in context ? { cause: context.cause } : undefined);
    this.name = "TokenSocketError";
    this.code = code;
    this.details = context.details;
    this.error = context.error;
    if (typeof context.error === "object") {
      for (const [key, value] of Object.entries(context.error ?? {})) {
        if (!(key in this)) Object.defineProperty(this, key, { value, enumerable: true });
      }
    }
  }
}

/** @internal What something that was thrown says. */
export function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
