/**
 * The face of the WebAssembly part: what `client-wasm/src/bundle` exports, and what it wants to be given.
 * Nothing here is for users of the package.
 */
/** Where a socket stands. */
export type State = "connecting" | "ready" | "disconnected" | "ended";
