globalThis.entry = import("/package/dist/inline.mjs");
