// A proxy that speaks HTTP, in front of a server: what stands between some
// visitors and the rest of the net. In: where it leads, and what it does to
// WebSockets and to answers. Out: an origin of its own, and which requests came.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { WebSocketServer } from "ws";

/**
 * What becomes of a WebSocket:
 * - `passed`;
 * - `refused` with status 403;
 * - `stripped`: the server gets a request without `Upgrade`;
 * - `silenced`: accepted by the proxy itself, which then says nothing;
 * - `deafened`: the server hears all, and what it says does not come through;
 * - `stalled`: never answered.
 */
export function gate(t, server, settings) {
  const opened = new Gate(server, settings);
  t.after(() => opened.close());
  return opened.open();
}

class Gate {
  #target;
  #server = http.createServer((request, response) => this.#forward(request, response));
  #silent = new WebSocketServer({ noServer: true });
  #sockets = new Set();
  /** What becomes of WebSockets. */
  webSockets;
  /** Whether an answer is held back until its end, as a proxy does that looks into it. */
  isHolding;
  /** The status that a path is answered with instead of being passed on. */
  refuses;
  /** The requests so far: `GET /path`, and `WebSocket /path`. */
  requests = [];
  /** How many requests, WebSockets among them, are under way. */
  underWay = 0;

  constructor(server, { webSockets = "passed", isHolding = false, refuses = () => undefined } = {}) {
    const { hostname, port } = new URL(server.origin);
    this.#target = { hostname, port };
    Object.assign(this, { webSockets, isHolding, refuses });
  }

  async open() {
    this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  async close() {
    this.#server.close();
    this.cut();
    await once(this.#server, "close");
  }

  /** Cuts every connection. New ones go through. */
  cut() {
    for (const socket of this.#sockets) {
      socket.resetAndDestroy();
    }
  }

  /** The requests whose path ends like this. */
  asked(ending) {
    return this.requests.filter((request) => request.endsWith(ending));
  }

  /** Resolves once nothing is under way; the browser takes a moment to close. */
  async emptied() {
    const begun = performance.now();
    while (this.underWay > 0) {
      assert.ok(performance.now() - begun < 5000, `${this.underWay} requests are open: ${this.requests}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #began(name, ended) {
    this.requests.push(name);
    this.underWay += 1;
    ended.once("close", () => (this.underWay -= 1));
  }

  #forward(request, response) {
    this.#began(`${request.method} ${request.url.split("?")[0]}`, response);
    const status = this.refuses(request.url);
    if (status) {
      response.writeHead(status, { "access-control-allow-origin": "*" }).end();
      return;
    }
    const { method, url: path, headers } = request;
    const passed = http.request({ ...this.#target, method, path, headers, agent: false }, async (answer) => {
      answer.on("error", () => response.destroy());
      const { "transfer-encoding": _, ...rest } = answer.headers;
      if (!this.isHolding) {
        response.writeHead(answer.statusCode, rest);
        response.flushHeaders();
        answer.pipe(response);
        return;
      }
      const body = await answer.toArray().catch(() => undefined);
      if (body) {
        response.writeHead(answer.statusCode, rest).end(Buffer.concat(body));
      }
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  }

  #upgrade(request, socket, head) {
    this.#began(`WebSocket ${request.url}`, socket);
    switch (this.webSockets) {
      case "refused":
        return void socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      case "silenced":
        return void this.#silent.handleUpgrade(request, socket, head, () => {});
      case "stalled":
        return void socket.resume().on("end", () => socket.end());
    }
    const isStripped = this.webSockets === "stripped";
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      const [name, value] = request.rawHeaders.slice(index, index + 2);
      if (!isStripped || !/^(upgrade|connection|sec-websocket-.*)$/i.test(name)) {
        lines.push(`${name}: ${value}`);
      }
    }
    const outer = net.connect(this.#target.port, this.#target.hostname);
    outer.write(`${lines.join("\r\n")}\r\n\r\n`);
    outer.write(head);
    socket.pipe(outer);
    if (this.webSockets === "deafened") {
      outer.once("data", (answer) => {
        const end = answer.indexOf("\r\n\r\n") + 4;
        socket.write(answer.subarray(0, end));
        outer.resume();
      });
    } else {
      outer.pipe(socket);
    }
    for (const [one, other] of [[socket, outer], [outer, socket]]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  }
}
