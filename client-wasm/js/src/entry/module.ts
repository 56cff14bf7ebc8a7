/** The entry `tokensocket`: an ES module with the WebAssembly file beside it. */
import { start } from "../wasm/glue.js";
import { useWasm } from "../wasm/load.js";

useWasm({ source: () => new URL("./tokensocket_bg.wasm", import.meta.url), start });

export * from "../index.js";
