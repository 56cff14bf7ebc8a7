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
