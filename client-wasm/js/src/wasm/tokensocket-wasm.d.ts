/** What wasm-bindgen writes for the target `web`; the build puts it in place of this name. */
declare module "tokensocket-wasm" {
  export const Connection: import("./connection.js").ConnectionClass;
  export function __wbg_get_imports(): WebAssembly.Imports;
  export function __wbg_finalize_init(instance: WebAssembly.Instance, module: WebAssembly.Module): void;
}

/** The compressed WebAssembly part as base64; the build puts it in place of this name. */
declare module "tokensocket-wasm/inline" {
  const packed: string;
  export default packed;
}

/** The transports without a WebSocket, `client-wasm/src/fallback`; the build puts them in place of this name. */
declare module "tokensocket-fallback" {
  /** What is there to try, as `client-wasm/src/transport.js` describes it. */
  export interface Ways {
    transports?: readonly string[] | undefined;
    fetch?: unknown;
    credentials?: RequestCredentials | undefined;
  }

  /** Which transport is tried next, by its name. */
  export interface Ladder {
    next(): string;
    readonly patience: number;
    failed(): boolean;
    worked(): string;
  }
  export function ladder(ways: Ways, url: string): Ladder;

  /** In the shape of a WebSocket. */
  export interface HttpSocket {
    onopen?: (() => void) | undefined;
    onmessage?: ((event: { data: string }) => void) | undefined;
    onclose?: ((event: { code: number; reason: string }) => void) | undefined;
    send(text: string): void;
    close(code?: number, reason?: string): void;
  }
  export function open<W>(name: string, ways: Ways, url: string, webSocket: (ways: Ways, url: string) => W): HttpSocket | W;
}
