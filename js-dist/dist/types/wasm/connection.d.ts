/** Where a socket stands. */
export type State = "connecting" | "ready" | "disconnected" | "ended";
