// A small web server for the pages under test, at an origin of its own.
// In: folders by URL prefix, and what a test wants said differently (headers,
// types, whole answers). Out: its origin, and which paths were asked for.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import path from "node:path";

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".json": "application/json",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/**
 * @param t the test it lives for
 * @param {Record<string, string>} folders what is served: URL prefix, ending in "/", to folder
 * @param {object} [differently]
 * @param {Record<string, string>} [differently.headers] sent with every answer
 * @param {(path: string) => string | undefined} [differently.type] the MIME type of a path
 * @param {(path: string) => {status?: number, body: string} | undefined} [differently.answer] instead of a file
 */
export async function site(t, folders, differently = {}) {
  const served = new Site(folders, differently);
  t.after(() => served.close());
  await served.open();
  return served;
}

class Site {
  #folders;
  #differently;
  #server = http.createServer((request, response) => void this.#serve(request, response));
  /** The paths asked for so far, in their order. */
  requested = [];

  constructor(folders, differently) {
    this.#folders = Object.entries(folders);
    this.#differently = differently;
  }

  async open() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #serve(request, response) {
    const { pathname } = new URL(request.url, this.origin);
    this.requested.push(pathname);
    const { headers = {}, type, answer } = this.#differently;
    const given = answer?.(pathname);
    const file = given ? undefined : this.#file(pathname);
    const body = given?.body ?? (file && (await readFile(file).catch(() => undefined)));
    if (body === undefined) {
      response.writeHead(404, headers).end();
      return;
    }
    response.writeHead(given?.status ?? 200, {
      "content-type": type?.(pathname) ?? TYPES[path.extname(pathname)] ?? "text/html; charset=utf-8",
      "cache-control": "no-store",
      "access-control-allow-origin": "*",
      ...headers,
    });
    response.end(body);
  }

  #file(pathname) {
    const [prefix, folder] = this.#folders.find(([start]) => pathname.startsWith(start)) ?? [];
    const inside = prefix && path.join(folder, decodeURIComponent(pathname.slice(prefix.length)));
    return inside?.startsWith(path.join(folder, path.sep)) ? inside : undefined;
  }
}
