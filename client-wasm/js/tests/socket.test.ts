import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { TokenSocket, TokenSocketError, type Options } from "../src/index.js";
import { connected, EMPTY, useFake } from "./fake_connection.js";
import { turn, uncaught } from "./uncaught.js";

beforeEach(() => useFake());

const host = "server.test";

/** A socket and the connection behind it. */
async function open(options: Options = {}, actions?: ConstructorParameters<typeof TokenSocket>[1]) {
  const socket = new TokenSocket({ host, ...options }, actions);
  return { socket, connection: await connected() };
}

function code(expected: string) {
  return (error: unknown) => {
    assert.ok(error instanceof TokenSocketError, String(error));
    assert.equal(error.code, expected);
    return true;
  };
}

/** The wasm part comes when the test says so. */
function late() {
  let release!: () => void;
  const source = new Promise<Uint8Array<ArrayBuffer>>((resolve) => (release = () => resolve(EMPTY)));
  useFake({ source: () => source });
  return release;
}

test("the options reach the connection as it reads them", async () => {
  const { connection } = await open({ authentication: { user: "ann" }, ping: false, callTimeout: null, maxInFlight: 7 });
  const { tokenUrl, socketUrl, tokenRequest, reconnect, hello, ping, callTimeout, maxInFlight } = connection.options;
  assert.equal(tokenUrl, "http://server.test/socket/token?user=ann");
  assert.equal(socketUrl, "ws://server.test/sockets/websocket");
  assert.deepEqual([tokenRequest, reconnect, hello, ping, callTimeout, maxInFlight], ["cors", true, true, undefined, null, 7]);
});

test("options that cannot work throw at once", () => {
  assert.throws(() => new TokenSocket(), code("options"));
  assert.throws(() => new TokenSocket({ host, transports: ["jsonp-polling" as "websocket"] }), code("options"));
  assert.throws(() => new TokenSocket({ host, tokenRequest: "pigeon" as "cors" }), code("options"));
});

test("calls made before the wasm is there go out in order", async () => {
  const release = late();
  const socket = new TokenSocket({ host });
  void socket.rpc("a", 1);
  socket.subscribe("news");
  void socket.publish("news", 2);
  void socket.rpc("b", 3, { timeout: 5000 });
  assert.deepEqual(socket.channels(), ["news"]);
  assert.equal(socket.state, "connecting");
  release();
  const connection = await connected();
  assert.deepEqual(connection.told.slice(0, 3), [
    ["call", 1, "a", 1, undefined, connection.told[0]?.[5]],
    ["subscribe", 2, "news", null, undefined, undefined, undefined],
    ["publish", 3, "news", 2, undefined],
  ]);
  const left = connection.told[3]?.[5] as number;
  assert.ok(left > 0 && left <= 5000, `${left} ms are left`);
  assert.deepEqual(socket.channels(), ["from the connection"]);
});

test("the early queue is bounded, and a full one refuses or drops as asked", async () => {
  late();
  const refusing = new TokenSocket({ host, queueCalls: 1 });
  const first = refusing.rpc("a");
  await assert.rejects(refusing.rpc("b"), code("overloaded"));
  const dropping = new TokenSocket({ host, queueCalls: 1, whenFull: "drop-oldest" });
  const oldest = dropping.rpc("a");
  const newest = dropping.rpc("b");
  await assert.rejects(oldest, code("overloaded"));
  await Promise.all([refusing.end(), dropping.end()]);
  await assert.rejects(first, code("ended"));
  await assert.rejects(newest, code("ended"));
});

test("an early call's time passes while the wasm is loaded", async () => {
  late();
  const socket = new TokenSocket({ host, callTimeout: 5 });
  await assert.rejects(socket.rpc("a"), code("timeout"));
  await assert.rejects(socket.rpc("a", 1, { timeout: 1 }), code("timeout"));
  await socket.end();
});

test("promises and callbacks get the same outcomes", async () => {
  const { socket, connection } = await open();
  const promise = socket.rpc("a");
  const seen: unknown[][] = [];
  socket.rpc("a", undefined, (...args) => void seen.push(args));
  socket.rpc("a", undefined, {}, (...args) => void seen.push(args));
  connection.host.settled(1, true, "one");
  connection.host.settled(2, true, "two");
  connection.host.settled(3, false, { message: "boom", own: 1 }, "boom", "forbidden", [1]);
  assert.equal(await promise, "one");
  assert.deepEqual(seen[0], [null, "two"]);
  const [error] = seen[1] as [TokenSocketError & { own: number }];
  assert.deepEqual([error.message, error.code, error.details, error.own], ["boom", "forbidden", [1], 1]);
  assert.deepEqual(error.error, { message: "boom", own: 1 });
  assert.equal(seen[1]?.length, 1);
});

test("an outcome that comes before the call returns is not lost", async () => {
  const { socket, connection } = await open();
  connection.request = (id) => connection.host.settled(id, true, "at once");
  assert.equal(await socket.rpc("a"), "at once");
});

test("what cannot be sent rejects", async () => {
  const { socket, connection } = await open();
  connection.request = () => {
    throw new TypeError("cyclic");
  };
  await assert.rejects(socket.rpc("a"), code("bad_request"));
});

test("aborting rejects at once and cancels on the server", async () => {
  const { socket, connection } = await open();
  const controller = new AbortController();
  const call = socket.rpc("slow", 1, { signal: controller.signal });
  controller.abort("changed my mind");
  await assert.rejects(call, (error: unknown) => {
    assert.ok(error instanceof TokenSocketError);
    assert.deepEqual([error.name, error.code, error.cause], ["AbortError", "cancelled", "changed my mind"]);
    return true;
  });
  assert.deepEqual(connection.ids("cancel"), [1]);
  connection.host.settled(1, false, undefined, "cancelled", "cancelled");
});

test("a signal that is aborted already sends nothing", async () => {
  const { socket, connection } = await open();
  await assert.rejects(socket.rpc("a", 1, { signal: AbortSignal.abort() }), code("cancelled"));
  assert.deepEqual(connection.told, []);
});

test("aborting an early call takes it from the queue", async () => {
  const release = late();
  const socket = new TokenSocket({ host });
  const controller = new AbortController();
  const call = socket.rpc("a", 1, { signal: controller.signal });
  void socket.rpc("b");
  controller.abort();
  await assert.rejects(call, code("cancelled"));
  release();
  assert.deepEqual((await connected()).ids("call"), [2]);
});

test("a call that is done lets go of its signal", async () => {
  const { socket, connection } = await open();
  const controller = new AbortController();
  let listening = 0;
  const { signal } = controller;
  const { addEventListener, removeEventListener } = signal;
  Object.assign(signal, {
    addEventListener: (...args: unknown[]) => (listening++, addEventListener.apply(signal, args as never)),
    removeEventListener: (...args: unknown[]) => (listening--, removeEventListener.apply(signal, args as never)),
  });
  const call = socket.rpc("a", 1, { signal });
  assert.equal(listening, 1);
  connection.host.settled(1, true, null);
  await call;
  assert.equal(listening, 0);
});

test("ready settles waiting and late promises and callbacks alike", async () => {
  const { socket, connection } = await open();
  const seen: string[] = [];
  socket.on("ready", (...args) => void seen.push(`event ${args.length}`));
  socket.ready((...args) => void seen.push(`early ${args.length}`));
  const early = socket.ready();
  connection.host.state("ready");
  connection.host.ready();
  await early;
  await socket.ready();
  socket.ready((...args) => void seen.push(`late ${args.length}`));
  assert.deepEqual(seen, ["event 0", "early 0"]);
  await turn();
  assert.deepEqual(seen, ["event 0", "early 0", "late 0"]);
});

test("a failed first attempt rejects ready until a later attempt succeeds", async () => {
  const { socket, connection } = await open();
  const attempts: unknown[] = [];
  socket.onreconnect((error) => attempts.push(error?.code));
  connection.host.ready("no token", "token");
  await assert.rejects(socket.ready(), code("token"));
  connection.host.reconnect("still none", "token");
  await assert.rejects(socket.ready(), code("token"));
  connection.host.reconnect();
  await socket.ready();
  assert.deepEqual(attempts, ["token", undefined]);
});

test("ready and onreconnect may stand in the options", async () => {
  const seen: string[] = [];
  const { connection } = await open({ ready: () => void seen.push("ready"), onreconnect: () => void seen.push("reconnect") });
  connection.host.ready();
  connection.host.reconnect();
  assert.deepEqual(seen, ["ready", "reconnect"]);
});

test("events reach their listeners", async () => {
  const { socket, connection } = await open();
  const seen: unknown[] = [];
  const off = socket.onmessage((channel, message) => void seen.push([channel, message]));
  socket.on("state", (state) => void seen.push(state));
  socket.on("disconnect", (error) => void seen.push(error.code));
  socket.on("lost", (channel, error) => void seen.push([channel, error.code]));
  connection.host.state("connecting");
  connection.host.state("ready");
  connection.host.message("news", 1);
  off();
  connection.host.message("news", 2);
  connection.host.disconnected("gone", "transport");
  connection.host.lost("news");
  connection.host.lost("news", "no more", "forbidden");
  assert.deepEqual(seen, ["ready", ["news", 1], "transport", ["news", "closed"], ["news", "forbidden"]]);
  assert.equal(socket.state, "ready");
});

test("a subscription is confirmed, delivers, and unsubscribes", async () => {
  const { socket, connection } = await open();
  const outcome: unknown[] = [];
  const subscription = socket.subscribe("news", (error) => void outcome.push(error));
  connection.host.settled(1, true, null);
  await subscription.ready;
  assert.deepEqual(outcome, [null]);
  connection.host.message("news", "hello");
  for await (const message of subscription) {
    assert.equal(message, "hello");
    break;
  }
  assert.deepEqual(connection.told.at(-1), ["unsubscribe", 2, "news"]);
});

test("a refused subscription throws in its loop", async () => {
  const { socket, connection } = await open();
  const subscription = socket.subscribe("secret");
  connection.host.settled(1, false, "Forbidden", "Forbidden", "forbidden");
  await assert.rejects(subscription.ready, code("forbidden"));
  await assert.rejects(subscription.next(), code("forbidden"));
});

test("the server's calls run actions and are answered", async () => {
  const { socket, connection } = await open({}, { greet: (name) => `hello ${String(name)}` });
  connection.host.invoke("f1", "greet", "ann");
  socket.register({ add: (_, answer) => answer(null, 3) });
  connection.host.invoke("f2", "add", null);
  connection.host.invoke("f3", "greet", null);
  assert.deepEqual(connection.told, [
    ["answer", "f1", true, "hello ann"],
    ["answer", "f2", true, 3],
    ["answer", "f3", false, { message: "Function not found", code: "not_found" }],
  ]);
});

test("a call that the server takes back aborts its action and is not answered", async () => {
  let aborted = false;
  let finish: unknown;
  const { connection } = await open({}, {
    slow: (_, answer) => {
      finish = answer;
      answer.signal.addEventListener("abort", () => (aborted = true));
    },
  });
  connection.host.invoke("f1", "slow", null);
  connection.host.cancelled("f1");
  (finish as (error: unknown, result: unknown) => void)(null, 1);
  assert.equal(aborted, true);
  assert.deepEqual(connection.told, []);
});

test("what the user's functions throw surfaces and harms nothing", async () => {
  const { socket, connection } = await open();
  const boom = new Error("boom");
  const thrower = () => {
    throw boom;
  };
  socket.onmessage(thrower);
  socket.ready(thrower);
  socket.rpc("a", 1, thrower);
  socket.subscribe("news", thrower);
  const errors = await uncaught(() => {
    connection.host.ready();
    connection.host.message("news", 1);
    connection.host.settled(1, true, 1);
    connection.host.settled(2, true, 1);
    socket.ready(thrower);
    socket.end(thrower);
  });
  assert.deepEqual(errors, Array(6).fill(boom));
});

test("end fails what waits, lets listeners hear of it, and frees the connection", async () => {
  const { socket, connection } = await open();
  const states: string[] = [];
  const heard: unknown[] = [];
  socket.on("state", (state) => void states.push(state));
  socket.ready((error) => void heard.push(error));
  socket.rpc("a", 1, (error) => void heard.push(error?.code));
  const call = socket.rpc("b");
  const ready = socket.ready();
  const reading = socket.subscribe("news").next();
  let called = 0;
  socket.end(() => called++);
  await socket.end();
  await turn();
  assert.deepEqual(states, ["ended"]);
  assert.deepEqual(heard, ["ended"]);
  await assert.rejects(call, code("ended"));
  await assert.rejects(ready, code("ended"));
  assert.deepEqual(await reading, { value: undefined, done: true });
  assert.equal(called, 1);
  assert.equal(connection.freed, true);
  assert.deepEqual(connection.told.filter(([name]) => name === "end").length, 1);
});

test("after the end everything rejects, and end is done at once", async () => {
  const { socket, connection } = await open();
  connection.host.ready();
  await socket.end();
  const before = connection.told.length;
  await assert.rejects(socket.rpc("a"), code("ended"));
  await assert.rejects(socket.subscribe("a").ready, code("ended"));
  await assert.rejects(socket.publish("a", 1), code("ended"));
  await assert.rejects(socket.ready(), code("ended"));
  await socket.end();
  assert.equal(connection.told.length, before);
  assert.equal(socket.state, "ended");
});

test("a socket that ends by itself ends its loops and is freed", async () => {
  const { socket, connection } = await open();
  const reading = socket.subscribe("news").next();
  connection.host.ready("no", "refused");
  connection.host.state("ended");
  connection.host.settled(1, false, undefined, "over", "ended");
  connection.host.ended();
  await assert.rejects(socket.ready(), code("refused"));
  assert.deepEqual(await reading, { value: undefined, done: true });
  await turn();
  assert.equal(connection.freed, true);
});

test("an end before the wasm is there makes no connection", async () => {
  const release = late();
  const socket = new TokenSocket({ host });
  const call = socket.rpc("a");
  await socket.end();
  await assert.rejects(call, code("ended"));
  let made = 0;
  release();
  void connected().then(() => made++);
  await turn();
  assert.equal(made, 0);
  const other = new TokenSocket({ host });
  assert.equal((await connected()).options.tokenUrl, "http://server.test/socket/token");
  await other.end();
});

test("where the wasm cannot be loaded, ready and every call say so", async () => {
  useFake({ source: () => Promise.reject(new Error("offline")) });
  const socket = new TokenSocket({ host });
  const heard: unknown[] = [];
  socket.ready((error) => void heard.push(error?.code));
  const call = socket.rpc("a");
  await assert.rejects(socket.ready(), code("wasm"));
  await assert.rejects(call, code("wasm"));
  await assert.rejects(socket.rpc("b"), code("wasm"));
  assert.deepEqual(heard, ["wasm"]);
  assert.equal(socket.state, "ended");
  await socket.end();
});

test("a promise that nobody looks at fails in silence", async () => {
  const { socket, connection } = await open();
  const rejected: unknown[] = [];
  const note = (error: unknown) => rejected.push(error);
  process.on("unhandledRejection", note);
  void socket.publish("a", 1);
  socket.subscribe("b");
  connection.host.settled(1, false, "Forbidden", "Forbidden", "forbidden");
  connection.host.settled(2, false, "Forbidden", "Forbidden", "forbidden");
  await turn();
  process.off("unhandledRejection", note);
  assert.deepEqual(rejected, []);
});
