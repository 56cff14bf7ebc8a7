// What went wrong, in words: the error, its code, and what to do next.
//
// In: whatever was thrown. Out: texts. The codes are the wire's and the client's own.

import { TokenSocketError } from "tokensocket";

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly advice: string;
  readonly details: unknown;
}

const ADVICE: Readonly<Record<string, string>> = {
  bad_request: "Give the data the shape that this action expects.",
  not_found: "Choose one of the names below the field: they are all this server has.",
  forbidden: "This user may not do this. Connect as another one, or choose something else.",
  unauthenticated: "Connect again: the token was used or is too old.",
  timeout: "Give it more time, or look into the server's log for what it waits for.",
  cancelled: "Nothing to do: somebody stopped it, or the one who was asked went away.",
  rate_limited: "Wait a moment, or do less at a time.",
  too_large: "Send less at a time: the server limits the size of a message.",
  overloaded: "Wait until some of the calls that are under way have ended.",
  internal: "Look into the server's log: the action itself failed.",
  disconnected: "Wait until the state says ready. What was sent may or may not have arrived.",
  ended: "Press Connect: this connection was ended on purpose.",
  refused: "Change the user or the authentication, then press Connect.",
  token: "See that the server runs and can be reached: it did not issue a token.",
  transport: "See that the server runs and that nothing in between stops WebSockets.",
  wasm: "Load the page anew: its WebAssembly part did not come, or the browser allows none.",
  closed: "Wait: a connection that was closed is opened anew by itself.",
  silent: "See that the server runs: it did not answer a ping in time.",
};

/** Reads anything that was thrown. */
export function failure(thrown: unknown): Failure {
  if (thrown instanceof TokenSocketError) {
    return {
      code: thrown.code,
      message: sentence(thrown.message),
      advice: ADVICE[thrown.code] ?? "Look into the server's log.",
      details: thrown.details,
    };
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: "page", message: sentence(message), advice: "Load the page anew. If it happens again, it is a fault of this page.", details: undefined };
}

/** Beginning with a capital letter. */
function sentence(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
