/**
 * What the server may call. In: the tree of actions, a dotted path, the argument. Out: one answer. Knows
 * nothing of connections.
 */
/** How an action written in callback style answers: `answer(error)` or `answer(null, result)`. */
export interface Answer<R = unknown> {
    (error: unknown, result?: R): void;
    /** Aborts when the server no longer waits for the answer. */
    readonly signal: AbortSignal;
}
