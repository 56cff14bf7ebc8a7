/**
 * The types that check names, arguments, results and messages. Where nothing is said about a side, its names
 * are any string and its values `unknown`.
 */
import type { Answer } from "./actions.js";
import type { TokenSocketError } from "./error.js";

/** Any function. */
type AnyFunction = (...args: never[]) => unknown;

/**
 * The dotted paths of all functions in a nested interface: `"echo" | "math.add"`. Any string where nothing is
 * known.
 */
export type Path<A> = unknown extends A ? string : PathIn<A>;

type PathIn<A> = {
  [K in keyof A & string]: A[K] extends AnyFunction ? K : A[K] extends object ? `${K}.${PathIn<A[K]>}` : never;
}[keyof A & string];

/** The function at a path. */
type FunctionAt<A, P extends string> = P extends keyof A
  ? A[P]
  : P extends `${infer Head}.${infer Rest}`
    ? Head extends keyof A
      ? FunctionAt<A[Head], Rest>
      : never
    : never;

/** The argument of the action at a path. */
export type DataOf<A, P extends string> = unknown extends A ? unknown : DataOfFunction<FunctionAt<A, P>>;

type DataOfFunction<F> = F extends (...args: infer A) => unknown ? (A extends [] ? undefined : A[0]) : never;

/** The result of the action at a path. */
export type ResultOf<A, P extends string> = unknown extends A
  ? unknown
  : FunctionAt<A, P> extends (...args: never[]) => infer R
    ? Awaited<R>
    : never;

/** What follows the path in a call: the argument, which may be left out where it may be `undefined`. */
export type CallArguments<A, P extends string> = undefined extends DataOf<A, P>
  ? [data?: DataOf<A, P>, options?: CallOptions]
  : [data: DataOf<A, P>, options?: CallOptions];

/** Settings of one call. */
export interface CallOptions {
  /**
   * How long the call may take, in milliseconds, with the time that it waits to be sent; 0 or `Infinity` for
   * ever. Then it fails with code `timeout`; the server may have done what was asked. Default: the socket's
   * `callTimeout`.
   */
  timeout?: number | undefined;
  /**
   * Gives the call up when it aborts: the promise rejects at once with a {@link TokenSocketError} whose `code`
   * is `cancelled`, whose `name` is `AbortError` and whose `cause` is the signal's reason, and the server
   * is told to stop.
   */
  signal?: AbortSignal | undefined;
}

/** Gets the outcome of a call: an error, or `null` and the result. */
export type Callback<R> = (error: TokenSocketError | null, result?: R) => void;

/** Gets the outcome of something without a result: an error, or `null`. */
export type DoneCallback = (error: TokenSocketError | null) => void;

/** The names of channels. Any string where nothing is known. */
export type ChannelName<M> = unknown extends M ? string : keyof M & string;

/** What is published on a channel. */
export type MessageOf<M, N extends string> = unknown extends M ? unknown : N extends keyof M ? M[N] : never;

/** A channel's name and what is published on it, as the arguments of a listener. */
export type MessageArguments<M> = unknown extends M
  ? [channel: string, message: unknown]
  : { [N in keyof M & string]: [channel: N, message: M[N]] }[keyof M & string];

/** What may be published on all channels at once. */
export type BroadcastOf<M> = unknown extends M ? unknown : M[keyof M];

/**
 * An action: a function that returns its result or a promise of it; or, where it declares two parameters,
 * one that calls `answer` once with an error or `null` and the result. (That one of the first kind returns
 * anything at all cannot be checked, since one of the second kind returns nothing.)
 */
export type Action<D, R> = (data: D, answer: Answer<R>) => R | void | PromiseLike<R | void>;

/** Actions by name, nested as deep as one likes, of which nothing more is known. */
export interface UntypedActions {
  [name: string]: UntypedActions | ((data: unknown, answer: Answer) => unknown);
}

/** What the server may call: an object of the same shape as the interface of the client's actions. */
export type Actions<A> = unknown extends A
  ? UntypedActions
  : {
      [K in keyof A]: A[K] extends AnyFunction
        ? Action<DataOfFunction<A[K]>, Awaited<ReturnType<A[K]>>>
        : Actions<A[K]>;
    };

/** The same type, but nothing to infer it from. */
export type Fixed<T> = [T][T extends unknown ? 0 : never];
