import { defineConfig, type ProxyOptions } from "vite";

const server: ProxyOptions = { target: process.env["TOKENSOCKET"] ?? "http://127.0.0.1:1337", ws: true };

export default defineConfig({
  server: {
    proxy: { "/socket/token": server, "/sockets": server },
    // The package is a link out of this folder here. One from a registry does not need this.
    fs: { allow: [".", "../../../js-dist"] },
  },
  // The package finds its WebAssembly file beside itself, so it must stay where it is.
  optimizeDeps: { exclude: ["tokensocket"] },
  build: { target: "es2022" },
});
