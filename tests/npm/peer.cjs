"use strict";

// One unmodified token-sockjs-client with a memory. In: where the server is and
// the client's own options. Out: the client's public methods as promises, and
// records of what it emitted and of the frames it received. Frames are watched
// from outside, on the socket the client opens; the client's code is untouched.

const TokenSocket = require("token-sockjs-client");
const { Record, awaiting } = require("./record.cjs");

class Peer {
  /**
   * @param {{host: string, port: number, tokenPath: string, socketPrefix: string, settle?: string}} server
   * @param {object} options the client's options, such as `authentication` and `ping`
   * @param {object} actions what the server may call
   */
  constructor({ settle, ...server }, options = {}, actions = {}) {
    this.settle = settle;
    this.frames = new Record();
    this.closes = new Record();
    this.readies = new Record();
    this.reconnects = new Record();
    this.messages = new Record();
    this.client = new TokenSocket({ ...server, ...options }, actions);
    this.client.ready((error) => this.readies.push(error));
    this.client.onreconnect((error) => this.reconnects.push(error));
    this.client.onmessage((channel, message) => this.messages.push({ channel, message }));
    this.watchSockets();
  }

  /** Sees each socket the moment the client takes it up, before its first frame. */
  watchSockets() {
    let current;
    Object.defineProperty(this.client, "_socket", {
      get: () => current,
      set: (socket) => {
        current = socket;
        socket.on("data", (text) => this.frames.push(JSON.parse(text)));
        socket.on("close", () => this.closes.push(true));
      },
    });
  }

  async ready() {
    const error = await this.readies.find("ready", () => true);
    if (error) {
      throw asError("ready", error);
    }
  }

  call(action, data) {
    return this.answer(action, (done) => this.client.rpc(action, data, done));
  }

  /** The answer to whatever `send` sends, by the callback it is given. */
  answer(name, send) {
    const answered = new Promise((resolve, reject) => {
      send((error, answer) => (error ? reject(asError(name, error)) : resolve(answer)));
    });
    return awaiting(`an answer to ${name}`, answered);
  }

  /** Resolves once the server has confirmed, rejects when it refuses. */
  async subscribe(channel) {
    // Never settles on success: the confirmation is a frame the client keeps to itself.
    const refused = new Promise((_, reject) => {
      this.client.subscribe(channel, (error) => reject(asError(`_subscribe ${channel}`, error)));
    });
    await Promise.race([this.confirmed("subscribe", channel), refused]);
    await this.settled();
  }

  async unsubscribe(channel) {
    this.client.unsubscribe(channel);
    await this.confirmed("unsubscribe", channel);
  }

  /** The `times`th confirmation of a subscribe or unsubscribe. */
  confirmed(command, channel, times = 1) {
    const isIt = (frame) => frame.internal && frame.command === command && frame.data.channel === channel;
    return this.frames.find(`the ${command} frame of ${channel}`, isIt, times);
  }

  /** Waits for a server that confirms subscriptions before they hold. */
  async settled() {
    if (this.settle) {
      await this.call(this.settle, {});
    }
  }

  /** Resolves with the first publication on `channel` that satisfies `predicate`. */
  async message(channel, predicate = () => true) {
    const isIt = (item) => item.channel === channel && predicate(item.message);
    const { message } = await this.messages.find(`a publication on ${channel}`, isIt);
    return message;
  }

  messagesOn(channel) {
    return this.messages.matching((item) => item.channel === channel).map(({ message }) => message);
  }

  /** Names of what this client waits for, by wire verb. */
  waitingVerbs() {
    return Object.keys(this.client._monitor._inTransit);
  }

  /** Throws when a call got two answers; a last round trip brings in the late ones. */
  async expectSingleAnswers() {
    if (!this.client._closed) {
      await this.call("echo", "the end");
    }
    const ids = this.frames.items.filter(({ internal, uuid }) => !internal && uuid).map(({ uuid }) => uuid);
    if (new Set(ids).size < ids.length) {
      throw new Error("a call was answered twice");
    }
  }

  /** Has the server drop this connection; resolves once the client noticed. */
  async drop() {
    const times = this.closes.items.length + 1;
    this.client.rpc("dropme", {});
    await this.closes.find("the close after dropme", () => true, times);
  }

  async reconnected(times = 1) {
    await this.reconnects.find("reconnect", (error) => !error, times);
  }

  /** Stops for good: by itself the client reconnects even after `end`. */
  stop() {
    this.client._reconnect = false;
    clearInterval(this.client._pingTimer);
    clearTimeout(this.client._connectTimer);
    if (this.client._socket) {
      this.client.end(() => {});
    }
  }
}

/** Keeps what the client was given as `answer`, whatever its type. */
function asError(name, answer) {
  const text = answer instanceof Error ? answer.message : JSON.stringify(answer);
  return Object.assign(new Error(`${name} was answered with the error ${text}`), { answer });
}

module.exports = { Peer };
