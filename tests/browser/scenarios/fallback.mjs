// What a socket does where there is no WebSocket to be had.

import { connected, ended, errorOf, readiness, Seen } from "./sockets.mjs";

/** A scenario of another file, by one transport. */
export async function by({ TokenSocket, file, name, transport, ...given }) {
  const scenarios = await import(`./${file}`);
  class ByTransport extends TokenSocket {
    constructor(options, actions) {
      super({ ...options, transports: [transport] }, actions);
    }
  }
  return scenarios[name]({ TokenSocket: ByTransport, ...given });
}

/** Connects without anybody hearing of a failure, and does a bit of everything. Gives the transport. */
export async function everythingWorks({ TokenSocket, assert, options, channel }) {
  const states = [];
  const socket = new TokenSocket({ connectTimeout: 4000, ...options }, { name: () => "page" });
  socket.on("state", (...state) => states.push(state));
  await readiness(socket);
  const { transport } = socket;
  assert.deepEqual(states, [["ready", transport]]);
  assert.deepEqual(await socket.rpc("echo", { a: [1, "ü"] }), { a: [1, "ü"] });
  assert.equal(await socket.rpc("callme", { command: "name" }), "page");
  const subscription = socket.subscribe(channel);
  await subscription.ready;
  await socket.publish(channel, "news");
  assert.equal((await subscription[Symbol.asyncIterator]().next()).value, "news");
  await ended(socket);
  assert.isUndefined(socket.transport);
  return transport;
}

/** Connects and makes a call. Gives the transport. */
export async function echoes({ TokenSocket, assert, options }) {
  const socket = await connected(TokenSocket, options);
  assert.equal(await socket.rpc("echo", 1), 1);
  const { transport } = socket;
  await ended(socket);
  return transport;
}

/** Calls and publications keep their order, however they are gathered on the way. */
export async function manyKeepTheirOrder({ TokenSocket, assert, host, transport, channel, count }) {
  const socket = await connected(TokenSocket, { host, transports: [transport], maxInFlight: 100_000, queueCalls: 100_000 });
  const heard = [];
  socket.onmessage((_, message) => heard.push(message));
  await socket.subscribe(channel).ready;
  const answers = [];
  const calls = Array.from({ length: count }, (_, n) => {
    socket.publish(channel, n);
    return socket.rpc("echo", n).then((answer) => answers.push(answer));
  });
  await Promise.all(calls);
  const wanted = Array.from({ length: count }, (_, n) => n);
  assert.deepEqual(answers, wanted);
  await socket.rpc("echo", 0);
  assert.deepEqual(heard, wanted);
  await ended(socket);
}

/** What was sent before the end still arrives, and then nothing is left open. */
export async function theEndComesAfterWhatWasSent({ TokenSocket, assert, stage, options, witness, channel }) {
  const other = await connected(TokenSocket, witness);
  const messages = new Seen();
  other.onmessage((_, message) => messages.push(message));
  await other.subscribe(channel).ready;
  const socket = await connected(TokenSocket, options);
  for (let n = 0; n < 50; n += 1) {
    socket.publish(channel, n);
  }
  await ended(socket);
  await stage("nothing is open");
  await messages.find(() => true, 50);
  assert.deepEqual(messages.items, Array.from({ length: 50 }, (_, n) => n));
  await ended(other);
}

/** Ends it in the middle of connecting, at several moments. */
export async function anEndWhileConnectingReleasesAll({ TokenSocket, stage, options }) {
  for (const wait of [0, 1, 20, 60, 200]) {
    const socket = new TokenSocket(options);
    await new Promise((resolve) => setTimeout(resolve, wait));
    await ended(socket);
  }
  await stage("nothing is open");
}

/** The transports by which it is connected, before and after the stage. */
export async function transportsAround({ TokenSocket, stage, options }) {
  const socket = await connected(TokenSocket, options);
  const reconnects = new Seen();
  socket.onreconnect((error) => reconnects.push(error));
  const before = socket.transport;
  // Between two requests there is no connection that could be lost.
  const lost = new Seen();
  socket.on("disconnect", (error) => lost.push(error));
  while (lost.items.length === 0) {
    await stage("the connection is lost");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await reconnects.find((error) => !error);
  const after = socket.transport;
  await ended(socket);
  return { before, after, failures: reconnects.items.filter((error) => error).length };
}

/** How often it fails before it succeeds, and by what it is connected in the end. */
export async function failsUntil({ TokenSocket, assert, stage, options }) {
  const socket = new TokenSocket(options);
  const reconnects = new Seen();
  socket.onreconnect((error) => reconnects.push(error));
  const error = await errorOf(readiness(socket));
  assert.equal(error.code, "transport");
  await reconnects.find((failure) => failure, 2);
  await stage("the way is free");
  await reconnects.find((failure) => !failure);
  const { transport } = socket;
  await ended(socket);
  return { message: error.message, transport };
}

export async function wrongTransportsAreErrors({ TokenSocket, assert, host }) {
  assert.throws(() => new TokenSocket({ host, transports: ["jsonp-polling"] }), /jsonp-polling/);
}

/** The original client's way to choose. */
export async function theOriginalsChoiceCounts({ TokenSocket, assert, host }) {
  const transportOf = async (options) => {
    const socket = await connected(TokenSocket, { host, ...options });
    const { transport } = socket;
    await ended(socket);
    return transport;
  };
  assert.equal(await transportOf({ sockjs: { transports: ["xhr-polling"] } }), "xhr-polling");
  assert.equal(await transportOf({ sockjs: { transports: "jsonp-polling" } }), "xhr-polling");
  assert.equal(await transportOf({ sockjs: { transports: ["xdr-streaming", "xhr-polling"] } }), "xhr-streaming");
  assert.equal(await transportOf({ sockjs: { transports: ["xhr-polling", "websocket"] } }), "websocket");
  assert.equal(await transportOf({ sockjs: { protocols_whitelist: [] } }), "websocket");
  assert.equal(await transportOf({ sockjs: { transports: ["xhr-polling"] }, transports: ["websocket"] }), "websocket");
}

/** The first attempt fails. */
export async function failsOnce({ TokenSocket, assert, options }) {
  const socket = new TokenSocket(options);
  assert.equal((await errorOf(readiness(socket))).code, "transport");
  await ended(socket);
}

/** Opens sockets one after the other, uses each, and ends it. */
export async function opensAndEndsInTurn({ TokenSocket, options, count }) {
  for (let opened = 0; opened < count; opened += 1) {
    const kept = new Uint8Array(1024);
    const socket = await connected(TokenSocket, options, { touch: () => kept.length });
    socket.on("state", () => kept.length);
    await socket.rpc("echo", "some data");
    socket.rpc("slow", { ms: 60_000 }).catch(() => kept.length);
    await ended(socket);
  }
}
