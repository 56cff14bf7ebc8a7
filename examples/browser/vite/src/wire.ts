/** What the server can be asked. Nested interfaces are dotted paths: `sockets.call`. */
export interface ServerActions {
  time(): string;
  whoami(): { user: string; socket: string; channels: string[] };
  sockets: {
    call(call: { action: keyof PageActions; data: string }): string;
  };
}

/** What the server may call on this page. */
export interface PageActions {
  greet(name: string): string;
}

/** What is published, by channel. */
export interface Channels {
  news: { text: string; by: string };
}
