// Watches WebAssembly in a page, from before its first script. Out, in the page:
// `watched.compiled` and `watched.instantiated`, how often, and `watched.memory`,
// the bytes of the last instance's memory.

/** Call it before a page of `context` is opened. */
export function watchWasm(context) {
  return context.addInitScript(watch);
}

/** The script itself, to run in a page. */
export function watch() {
  let memory;
  const watched = {
    compiled: 0,
    instantiated: 0,
    get memory() {
      return memory.buffer.byteLength;
    },
  };
  globalThis.watched = watched;
  for (const name of ["compile", "compileStreaming"]) {
    const original = WebAssembly[name];
    WebAssembly[name] = (...given) => {
      watched.compiled += 1;
      return original.apply(WebAssembly, given);
    };
  }
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const original = WebAssembly[name];
    WebAssembly[name] = async (source, ...rest) => {
      const result = await original.call(WebAssembly, source, ...rest);
      watched.instantiated += 1;
      watched.compiled += source instanceof WebAssembly.Module ? 0 : 1;
      // Its name is the bundle's own affair.
      const { exports } = result.instance ?? result;
      memory = Object.values(exports).find((item) => item instanceof WebAssembly.Memory);
      return result;
    };
  }
}
