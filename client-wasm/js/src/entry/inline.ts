/** The entry `tokensocket/inline`: an ES module that brings the WebAssembly part along. */
import packed from "tokensocket-wasm/inline";
import { start } from "../wasm/glue.js";
import { useWasm } from "../wasm/load.js";
import { unpack } from "../wasm/unpack.js";
import * as fallback from "tokensocket-fallback";

useWasm({ source: () => unpack(packed), start, fallback: async () => fallback });

export * from "../index.js";
