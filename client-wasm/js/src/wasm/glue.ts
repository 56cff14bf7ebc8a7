/**
 * The functions that wasm-bindgen wrote for the WebAssembly part. In: the compiled module. Out: its class of
 * connections.
 */
import { __wbg_finalize_init, __wbg_get_imports, Connection } from "tokensocket-wasm";
import type { ConnectionClass } from "./connection.js";

/** Starts the module. Unlike wasm-bindgen's own loader it compiles nothing and guesses no address. */
export async function start(module: WebAssembly.Module): Promise<ConnectionClass> {
  __wbg_finalize_init(await WebAssembly.instantiate(module, __wbg_get_imports()), module);
  return Connection;
}
