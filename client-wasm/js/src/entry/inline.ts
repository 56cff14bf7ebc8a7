/** The entry `tokensocket/inline`: an ES module that brings the WebAssembly part along. */
import packed from "tokensocket-wasm/inline";
import { start } from "../wasm/glue.js";
import { useWasm } from "../wasm/load.js";
import { unpack } from "../wasm/unpack.js";

useWasm({ source: () => unpack(packed), start });

export * from "../index.js";
