// The pages of the comparison: one that has loaded all clients, and for each
// client one that loads it alone. Out: their HTML by path, and folders to serve.

import path from "node:path";
import { watch } from "../harness/wasm.mjs";

const here = import.meta.dirname;
const packages = path.resolve(here, "../node_modules");
const icon = '<link rel="icon" href="data:," />';

const scripts = (...sources) => sources.map((source) => `<script src="${source}"></script>`).join("");

/** The script tags of each client, as a page has them. */
const TAGS = {
  tokensocket: scripts("/package/dist/tokensocket.min.js"),
  "socket.io-client": scripts("/packages/socket.io-client/dist/socket.io.min.js"),
  original: scripts(
    "/packages/sockjs-client/dist/sockjs.min.js",
    "/packages/token-sockjs-client/clients/browser/tokensockjs.min.js",
  ),
};

/** Keeps the two classes of the same name apart. */
const RENAME = "<script>globalThis.TokenSocketOriginal = globalThis.TokenSocket;</script>";

/** From the first script of the page to a socket that is ready, as a user writes it. */
const STARTS = {
  tokensocket: `${TAGS.tokensocket}<script>new TokenSocket({ host }).ready(done)</script>`,
  "tokensocket, ESM":
    '<script type="module">import { TokenSocket } from "/package/dist/tokensocket.mjs"; new TokenSocket({ host }).ready(done)</script>',
  "tokensocket/inline":
    '<script type="module">import { TokenSocket } from "/package/dist/inline.mjs"; new TokenSocket({ host }).ready(done)</script>',
  "socket.io-client": `${TAGS["socket.io-client"]}<script>io(host, { transports: ["websocket"] }).on("connect", done)</script>`,
  original: `${TAGS.original}<script>new TokenSocket({ host }).ready(done)</script>`,
};

/** The names of all ways to start. */
export const STARTING = Object.keys(STARTS);

/** Folders to serve; `dist` is our package's. */
export const folders = (ours) => ({ "/package/": ours, "/packages/": packages, "/bench/": `${here}/` });

/** The page at a path. */
export function pageAt(pathname) {
  const [, kind, name] = pathname.split("/").map(decodeURIComponent);
  if (kind === "all") {
    const clients = TAGS.original + RENAME + TAGS.tokensocket + TAGS["socket.io-client"];
    return html(clients + scripts("/bench/clients.js", "/bench/measures.js"));
  }
  if (kind === "alone") {
    const rename = name === "original" ? RENAME : "";
    return html(`<script>(${watch})()</script>` + TAGS[name] + rename + scripts("/bench/clients.js", "/bench/measures.js"));
  }
  if (kind === "start") {
    const head = `<script>
      const begun = performance.now();
      const host = new URLSearchParams(location.search).get("host");
      const started = new Promise((resolve, reject) => {
        globalThis.done = (error) => (error ? reject(error) : resolve(performance.now() - begun));
      });
    </script>`;
    return html(head + STARTS[name]);
  }
  return undefined;
}

function html(body) {
  return { body: `<!doctype html><title>bench</title>${icon}<body>${body}` };
}
