/** A way to the server: a WebSocket, or requests in its place. The names are SockJS's. */
export type TransportName = "websocket" | "xhr-streaming" | "eventsource" | "xhr-polling";

/** @internal Best first. */
export const TRANSPORTS: readonly TransportName[] = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"];

/** What of a name tells the kind: SockJS has an `iframe-eventsource` and a `jsonp-polling`, too. */
const KIND = -7;

/** @internal The options that speak of transports. */
export interface TransportOptions {
  transports?: readonly TransportName[] | undefined;
  sockjs?: unknown;
}

/** @internal The transports that are wanted; undefined for the default. */
export function wantedTransports({ transports, sockjs }: TransportOptions): readonly TransportName[] | undefined {
  const { transports: original = [] } = (sockjs ?? {}) as { transports?: string | string[] };
  // SockJS has an order of its own.
  const names = transports ?? TRANSPORTS.filter((name) => [original].flat().some((other) => `${other}`.endsWith(name.slice(KIND))));
  return names.length ? names : undefined;
}
