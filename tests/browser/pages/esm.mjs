globalThis.entry = import("/package/dist/tokensocket.mjs");
