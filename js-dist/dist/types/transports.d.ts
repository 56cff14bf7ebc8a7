/** A way to the server: a WebSocket, or requests in its place. The names are SockJS's. */
export type TransportName = "websocket" | "xhr-streaming" | "eventsource" | "xhr-polling";
