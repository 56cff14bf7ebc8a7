/**
 * The types that check names, arguments, results and messages. Where nothing is said about a side, its names
 * are any string and its values `unknown`.
 */
import type { Answer } from "./actions.js";
import type { TokenSocketError } from "./error.js";
import type { Position } from "./position.js";
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
type FunctionAt<A, P extends string> = P extends keyof A ? A[P] : P extends `${infer Head}.${infer Rest}` ? Head extends keyof A ? FunctionAt<A[Head], Rest> : never : never;
/** The argument of the action at a path. */
export type DataOf<A, P extends string> = unknown extends A ? unknown : DataOfFunction<FunctionAt<A, P>>;
type DataOfFunction<F> = F extends (...args: infer A) => unknown ? (A extends [] ? undefined : A[0]) : never;
/** The result of the action at a path. */
export type ResultOf<A, P extends string> = unknown extends A ? unknown : FunctionAt<A, P> extends (...args: never[]) => infer R ? Awaited<R> : never;
/** What follows the path in a call: the argument, which may be left out where it may be `undefined`. */
export type CallArguments<A, P extends string> = undefined extends DataOf<A, P> ? [data?: DataOf<A, P>, options?: CallOptions] : [data: DataOf<A, P>, options?: CallOptions];
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
/** How to follow a channel. */
export interface SubscribeOptions {
    /**
     * Whether to be told who comes and goes, by the events `join` and `leave`, where the server announces it; until the
     * channel is unsubscribed, whoever else subscribes. Default: false.
     */
    presence?: boolean | undefined;
    /**
     * From which place to go on: what was published since comes first, as after a reconnect. Of no effect on a channel
     * that is followed already. Default: from now on.
     */
    since?: Position | undefined;
}
/** How to publish. */
export interface PublishOptions {
    /**
     * Names the message, in 1 to 128 bytes of UTF-8: within the server's window the same key on the same channel is
     * the same message, so that it does no harm to publish it again when no answer came. Default: none.
     */
    key?: string | undefined;
}
/** Which part of a channel's history. */
export interface HistoryQuery {
    /** Only what was published after this place; in reverse, before it, and itself. Default: everything that is kept. */
    since?: Position | undefined;
    /** At most so many messages. The server has a limit, too, of 1,000 by default. */
    limit?: number | undefined;
    /** Whether the latest comes first. Default: false. */
    reverse?: boolean | undefined;
}
/** Which members of a channel. */
export interface PresenceQuery {
    /** At most so many, oldest first; 0 asks for the counts alone. Default: 100. */
    limit?: number | undefined;
    /** Only those after this client. */
    after?: string | undefined;
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
export type MessageArguments<M> = unknown extends M ? [channel: string, message: unknown] : {
    [N in keyof M & string]: [channel: N, message: M[N]];
}[keyof M & string];
/** The events of deliveries. Any string where nothing is known. */
export type DeliveryName<D> = unknown extends D ? string : keyof D & string;
/** The arguments of a delivery. */
export type DeliveryArguments<D, E extends string> = unknown extends D ? any[] : E extends keyof D ? D[E] extends unknown[] ? D[E] : never : never;
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
export type Actions<A> = unknown extends A ? UntypedActions : {
    [K in keyof A]: A[K] extends AnyFunction ? Action<DataOfFunction<A[K]>, Awaited<ReturnType<A[K]>>> : Actions<A[K]>;
};
/** The same type, but nothing to infer it from. */
export type Fixed<T> = [T][T extends unknown ? 0 : never];
export {};
