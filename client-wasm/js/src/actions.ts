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

/** Takes the one outcome of a call: the result, or the error as it goes to the server. */
type Settle = (ok: boolean, value: unknown) => void;

/**
 * @internal
 * Calls the action that the path names. Only own properties count, so that nothing inherited, such as
 * `constructor`, can be called from outside. A function that declares two parameters gets `answer`; any other
 * answers with what it returns, or what the promise that it returns resolves to.
 */
export function invoke(actions: unknown, path: string, data: unknown, signal: AbortSignal, settle: Settle): void {
  let open = true;
  const once: Settle = (ok, value) => {
    if (open) settle(ok, value);
    open = false;
  };
  const fail = (error: unknown) => once(false, wireError(error));
  const answer = (error: unknown, result?: unknown) => (error ? fail(error) : once(true, result));
  try {
    const found = find(actions, path);
    if (!found) return once(false, { message: "Function not found", code: "not_found" });
    const returned: unknown = found.action.call(found.owner, data, Object.assign(answer, { signal }));
    const later = typeof (returned as PromiseLike<unknown> | undefined)?.then === "function";
    if (found.action.length > 1) {
      if (later) (returned as PromiseLike<unknown>).then(undefined, fail);
    } else if (later) (returned as PromiseLike<unknown>).then((result) => once(true, result), fail);
    else once(true, returned);
  } catch (error) {
    fail(error);
  }
}

interface Found {
  action: (this: unknown, ...args: unknown[]) => unknown;
  owner: unknown;
}

function find(actions: unknown, path: string): Found | undefined {
  let owner: unknown;
  let at = actions;
  for (const name of path.split(".")) {
    owner = at;
    if (typeof owner !== "object" || !owner || !Object.hasOwn(owner, name)) return undefined;
    at = (owner as Record<string, unknown>)[name];
  }
  return typeof at === "function" ? { action: at as Found["action"], owner } : undefined;
}

/**
 * An error as the wire has it: an `Error` gives its message, as with the original client, and an object where
 * it has a code or details of its own. What is no `Error` stays as it is.
 */
function wireError(error: unknown): unknown {
  if (!(error instanceof Error)) return typeof error === "object" && error ? error : String(error);
  const { name, message, code, details } = error as Error & { code?: unknown; details?: unknown };
  const coded = typeof code === "string" ? code : undefined;
  return coded === undefined && details === undefined ? message || name : { message: message || name, code: coded, details };
}
