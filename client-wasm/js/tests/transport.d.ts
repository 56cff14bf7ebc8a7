/** `client-wasm/src/transport.js`; `test.mjs` puts it in place of this name. */
declare module "tokensocket-transport" {
  interface Transport {
    readonly transport: unique symbol;
  }
  interface Closed {
    code: number;
    reason: string;
  }
  export function open(ways: object, url: string, opened: () => void, received: (event: { data: string }) => void, closed: (closed: Closed) => void): Transport;
  export function send(transport: Transport, text: string): void;
  export function close(transport: Transport, code: number, reason: string, closed?: (closed: Closed) => void): void;
}
