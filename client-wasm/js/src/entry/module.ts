/** The entry `tokensocket`: an ES module with the WebAssembly file beside it, and the transports without a WebSocket. */
import { start } from "../wasm/glue.js";
import { useWasm } from "../wasm/load.js";

useWasm({
  source: () => new URL("./tokensocket_bg.wasm", import.meta.url),
  start,
  fallback: () => import("tokensocket-fallback"),
});

export * from "../index.js";
