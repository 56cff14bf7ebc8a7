/**
 * The entry `tokensocket` in Node.js: the WebAssembly file is read from beside the script, and a Node.js
 * without a WebSocket of its own uses that of the package `ws`.
 */
import { readFile } from "node:fs/promises";
import type { ConnectionClass, Host, RawOptions } from "../wasm/connection.js";
import { start } from "../wasm/glue.js";
import { useWasm } from "../wasm/load.js";

useWasm({
  source: () => readFile(new URL("./tokensocket_bg.wasm", import.meta.url)),
  start: async (module) => withWebSocket(await start(module), await findWebSocket()),
  fallback: () => import("tokensocket-fallback"),
});

async function findWebSocket(): Promise<unknown> {
  return globalThis.WebSocket ?? (await import("ws").catch(() => undefined))?.WebSocket;
}

/** The same class for who gives no WebSocket. Called with `new`, a function may return another object. */
function withWebSocket(Connection: ConnectionClass, found: unknown): ConnectionClass {
  function Wrapped(options: RawOptions, host: Host) {
    options.WebSocket ??= found;
    const isWanted = options.transports?.includes("websocket") ?? true;
    if (isWanted && !options.WebSocket) throw new Error("this Node.js has no WebSocket: npm install ws, or use Node.js 22 or later");
    return new Connection(options, host);
  }
  return Wrapped as unknown as ConnectionClass;
}

export * from "../index.js";
