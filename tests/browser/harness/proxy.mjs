// A TCP proxy in front of a server: the network, with a switch.
// In: the port it leads to. Out: a port of its own, and what can go wrong with
// a network: connections cut off, refused, or silent.

import { once } from "node:events";
import net from "node:net";

/** A network between a page and the server at `port`. */
export async function network(t, port) {
  const proxy = new Network(port);
  t.after(() => proxy.close());
  await proxy.open();
  return proxy;
}

class Network {
  #target;
  #listener = net.createServer({ pauseOnConnect: true }, (socket) => this.#connect(socket));
  #pairs = new Set();
  #mode = "up";

  constructor(target) {
    this.#target = target;
  }

  async open() {
    this.#listener.listen(0, "127.0.0.1");
    await once(this.#listener, "listening");
    this.port = this.#listener.address().port;
    this.origin = `http://127.0.0.1:${this.port}`;
    this.host = `127.0.0.1:${this.port}`;
  }

  /** How many connections go through it now. */
  get connections() {
    return this.#pairs.size;
  }

  /** Every connection is reset, and new ones are too until `restore`. */
  cut() {
    this.#mode = "down";
    for (const pair of [...this.#pairs]) {
      pair.reset();
    }
  }

  /** Nothing goes through any more, and nobody is told; new connections hang as well. */
  silence() {
    this.#mode = "silent";
    for (const pair of this.#pairs) {
      pair.pause();
    }
  }

  /** All goes through again: also what waited meanwhile. */
  restore() {
    this.#mode = "up";
    for (const pair of this.#pairs) {
      pair.resume();
    }
  }

  /**
   * New connections go through. WebSockets that fell silent stay so, and what waited in them is lost; other
   * connections are reset, as a browser drops those that it keeps for later when its network changes.
   */
  forget() {
    this.#mode = "up";
    for (const pair of [...this.#pairs]) {
      if (pair.isWebSocket) {
        pair.forget();
      } else {
        pair.reset();
      }
    }
  }

  async close() {
    this.cut();
    this.#listener.close();
    await once(this.#listener, "close");
  }

  #connect(inner) {
    if (this.#mode === "down") {
      inner.on("error", () => {});
      inner.resetAndDestroy();
      return;
    }
    const pair = new Pair(inner, this.#target, () => this.#pairs.delete(pair));
    this.#pairs.add(pair);
    if (this.#mode === "up") {
      pair.resume();
    }
  }
}

/** One connection and its continuation to the server. */
class Pair {
  #inner;
  #outer;
  #waiting = [];
  #silent = true;
  #forgotten = false;
  isWebSocket = false;

  constructor(inner, target, ended) {
    this.#inner = inner;
    this.#outer = net.connect(target, "127.0.0.1");
    inner.on("data", (chunk) => {
      this.isWebSocket ||= /^upgrade: *websocket\r$/im.test(chunk.toString("latin1"));
    });
    for (const [from, to] of [[inner, this.#outer], [this.#outer, inner]]) {
      from.setNoDelay(true);
      from.on("data", (chunk) => this.#pass(() => to.write(chunk)));
      from.on("end", () => this.#pass(() => to.end()));
      from.on("error", () => this.#pass(() => to.destroy()));
      from.on("close", () => {
        if (to.destroyed) {
          ended();
        }
        this.#pass(() => to.destroy());
      });
    }
  }

  #pass(action) {
    if (this.#forgotten) {
      return;
    }
    if (this.#silent) {
      this.#waiting.push(action);
    } else {
      action();
    }
  }

  pause() {
    this.#silent = true;
  }

  resume() {
    this.#silent = false;
    this.#inner.resume();
    for (const action of this.#waiting.splice(0)) {
      action();
    }
  }

  forget() {
    this.#forgotten = true;
    this.#waiting.length = 0;
  }

  reset() {
    this.#forgotten = false;
    this.#silent = false;
    this.#waiting.length = 0;
    this.#inner.resetAndDestroy();
    this.#outer.destroy();
  }
}
