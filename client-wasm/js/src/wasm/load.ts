/**
 * Loads the WebAssembly part, once however many sockets there are. In: where it is. Out: the class of
 * connections. Knows nothing of sockets.
 */
import { reason, TokenSocketError } from "../error.js";
import type { ConnectionClass } from "./connection.js";

/** What the WebAssembly part may be loaded from: its address, an answer of `fetch`, its bytes, or the compiled module. */
export type WasmSource = string | URL | Response | ArrayBuffer | ArrayBufferView | WebAssembly.Module;

type Given<T> = T | PromiseLike<T>;

/** @internal What an entry of the package knows: its own source, and how to start a compiled module. */
export interface WasmEntry {
  source: () => Given<WasmSource>;
  start: (module: WebAssembly.Module) => Promise<ConnectionClass>;
  /** Loads the transports without a WebSocket. */
  fallback: () => Promise<unknown>;
}

let entry: WasmEntry;
let loading: Promise<ConnectionClass> | undefined;

/** @internal Called once, by the entry of the package. */
export function useWasm(used: WasmEntry): void {
  entry = used;
  loading = undefined;
}

/** @internal What the entry knows of the transports without a WebSocket. */
export const loadFallback = (): Promise<unknown> => entry.fallback();

/**
 * @internal
 * The class of connections. The first socket of a page decides where it is loaded from; when that fails,
 * the next socket tries anew. Rejects with code `wasm`.
 */
export function load(source: Given<WasmSource> | undefined): Promise<ConnectionClass> {
  loading ??= compile(source ?? entry.source())
    .then(entry.start)
    .catch((cause: unknown) => {
      loading = undefined;
      throw new TokenSocketError(
        `the WebAssembly part could not be loaded: ${reason(cause)}. ` +
          'Serve tokensocket_bg.wasm beside the script, or import "tokensocket/inline", or say in the option ' +
          "wasm where it is; a Content-Security-Policy must allow 'wasm-unsafe-eval'",
        "wasm",
        { cause },
      );
    });
  return loading;
}

async function compile(given: Given<WasmSource>): Promise<WebAssembly.Module> {
  let source = await given;
  if (typeof source === "string" || source instanceof URL) source = await fetch(source);
  if (source instanceof WebAssembly.Module) return source;
  if (source instanceof Response) {
    if (!source.ok) throw new Error(`${source.url} answered status ${source.status}`);
    // Streaming insists on the type; everything else must be read whole first.
    const streams = source.headers.get("content-type") === "application/wasm" && WebAssembly.compileStreaming;
    if (streams) return streams(source);
    source = await source.arrayBuffer();
  }
  return WebAssembly.compile(source as BufferSource);
}
