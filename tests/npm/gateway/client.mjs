// One unmodified Socket.IO client with a memory. In: which generation and
// transport, where to connect, and as whom. Out: promises for what it tells its
// user, and all the events it was given, in order.

import { createRequire } from "node:module";
import { until, waiting } from "./waiting.mjs";

const require = createRequire(import.meta.url);

/** The generations: 1.x and 2.x speak Engine.IO 3, 4.x speaks Engine.IO 4. */
export const GENERATIONS = {
  1.7: require("socket.io-client-1"),
  2.5: require("socket.io-client-2"),
  4.8: require("socket.io-client-4"),
};

/** What carries a connection: one transport, or polling that becomes a WebSocket. */
export const TRANSPORTS = {
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
};

/** What every client listens to, beside what a scenario adds. */
const EVENTS = ["_settings", "_batch", "_resync"];

export class Client {
  /**
   * @param {{generation: string, transport: string, gateway: string}} way
   * @param {string} place the namespace and its query, as `/newsite?token=…`
   * @param {string[]} events what to listen to
   * @param {object} options the client's own
   */
  constructor({ generation, transport, gateway }, place, events = [], options = {}) {
    this.legacy = generation !== "4.8";
    this.transport = transport;
    this.place = place;
    this.inbox = [];
    this.readers = [];
    this.connects = 0;
    this.socket = GENERATIONS[generation](`${gateway}${place}`, {
      transports: TRANSPORTS[transport],
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 100,
      ...options,
    });
    for (const event of [...EVENTS, ...events]) {
      this.socket.on(event, (...args) => this.take(event, args));
    }
    this.refusal = new Promise((resolve) => {
      // A namespace's refusal: of the server's own text in 1.x and 2.x, an error in 4.x.
      this.socket.on("error", (text) => {
        // A broken connection is none: it is tried again.
        if (text?.type !== "TransportError") resolve(new Refused(text));
      });
      this.socket.on("connect_error", (error) => {
        if (!this.legacy && error.type !== "TransportError") resolve(new Refused(error.message, error.data));
      });
    });
    this.outcome = new Promise((resolve, reject) => {
      this.socket.on("connect", () => {
        this.connects += 1;
        resolve();
      });
      void this.refusal.then(reject);
    });
    // Whoever asks for it is told.
    this.outcome.catch(() => {});
    this.disconnected = new Promise((resolve) => this.socket.on("disconnect", resolve));
  }

  take(event, args) {
    const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
    const item = { event, args, ack };
    const reader = this.readers.shift();
    if (reader) reader(item);
    else this.inbox.push(item);
  }

  /** Resolves when the namespace has let it in. */
  async connected(limit) {
    await waiting(`${this.place} to connect`, this.outcome, limit);
    return this;
  }

  /** Resolves with the text of the refusal. Up to 2.x the main namespace may greet before it refuses. */
  async refused(limit) {
    const { text } = await waiting(`${this.place} to be refused`, this.refusal, limit);
    const greets = this.legacy && this.socket.nsp === "/";
    if (this.connects > 0 && !greets) throw new Error(`it was let in before it was refused: ${text}`);
    return text;
  }

  /** Resolves with the reason, once it is disconnected. */
  closed() {
    return waiting(`${this.place} to be disconnected`, this.disconnected);
  }

  /** The next event, whichever it is: `{event, args, ack}`. */
  async next() {
    if (this.inbox.length > 0) return this.inbox.shift();
    const arrives = new Promise((resolve) => this.readers.push(resolve));
    return waiting(`the next event of ${this.place}`, arrives);
  }

  /** Resolves once the connection is a WebSocket. */
  async upgraded() {
    const engine = this.socket.io.engine;
    if (engine.transport.name === "websocket") return;
    await waiting(`${this.place} to upgrade`, new Promise((resolve) => engine.once("upgrade", resolve)));
  }

  /** Resolves once the server has taken all that was said. */
  async flushed() {
    const { engine } = this.socket.io;
    await until(`${this.place} to be rid of what it says`, () => engine.writeBuffer.length === 0);
  }

  /** What carries the connection now. */
  carrier() {
    return this.socket.io.engine.transport.name;
  }

  /** Breaks the connection below the client, which connects again by itself. */
  breakOff() {
    this.socket.io.engine.close();
  }

  stop() {
    this.socket.disconnect();
    this.socket.io.engine?.close();
  }
}

/** What a namespace said when it let nobody in. */
export class Refused extends Error {
  constructor(text, data) {
    super(`refused: ${typeof text === "string" ? text : JSON.stringify(text)}`);
    this.text = text;
    this.data = data;
  }
}
