/** What the WebAssembly part may be loaded from: its address, an answer of `fetch`, its bytes, or the compiled module. */
export type WasmSource = string | URL | Response | ArrayBuffer | ArrayBufferView | WebAssembly.Module;
