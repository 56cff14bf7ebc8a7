/** One attempt by one transport: when another follows, and that nothing is left of it. */
import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import * as fallback from "tokensocket-fallback";
import { close, open, send } from "tokensocket-transport";

const DETOUR = 0;
const CUT = 1006;
const url = "ws://server/sockets/websocket";

class FakeSocket {
  static made: FakeSocket[] = [];
  onopen?: (() => void) | null;
  onmessage?: ((event: { data: string }) => void) | null;
  onclose?: ((event: object) => void) | null;
  onerror?: (event: object) => void;
  sent: string[] = [];
  closes: unknown[][] = [];
  constructor(readonly url: string) {
    FakeSocket.made.push(this);
  }
  send(text: string) {
    this.sent.push(text);
  }
  close(...why: unknown[]) {
    this.closes.push(why);
  }
}

/** One attempt after the other, with what was heard of them. */
class Attempts {
  closed: { code: number; reason: string }[] = [];
  heard: string[] = [];
  opened = 0;
  loads = 0;
  ways: { transport?: string; fallback?: unknown; [key: string]: unknown };

  constructor(ways: object = {}) {
    const load = async () => {
      this.loads++;
      return fallback;
    };
    const never = () => new Promise(() => {});
    this.ways = { WebSocket: FakeSocket, fetch: never, fallback: load, connectTimeout: 8000, ...ways };
  }

  begin() {
    FakeSocket.made = [];
    const transport = open(
      this.ways,
      url,
      () => this.opened++,
      ({ data }) => this.heard.push(data),
      (closed) => this.closed.push(closed),
    );
    return { transport, socket: FakeSocket.made[0]! };
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await setImmediate();
}

afterEach(() => mock.timers.reset());

// First, while nothing is loaded yet.
test("a fallback that cannot be loaded is a failure that says so, and is asked for again", async () => {
  let loads = 0;
  const missing = async () => {
    throw new Error(`fallback.mjs is missing, ${++loads}`);
  };
  const attempts = new Attempts({ fallback: missing });
  for (const time of [1, 2]) {
    attempts.begin().socket.onclose?.({ code: CUT, reason: "" });
    await settled();
    assert.deepEqual(attempts.closed.at(-1), { code: CUT, reason: `fallback.mjs is missing, ${time}` });
  }
});

test("closed while it loads, it says nothing more", async () => {
  const attempts = new Attempts();
  const { transport, socket } = attempts.begin();
  socket.onclose?.({ code: CUT, reason: "" });
  close(transport, 1001, "");
  await settled();
  assert.deepEqual(attempts.closed, []);
});

test("a WebSocket that is cut before anything was heard is followed by another transport", async () => {
  for (const isOpen of [false, true]) {
    const attempts = new Attempts();
    const { socket } = attempts.begin();
    if (isOpen) socket.onopen?.();
    socket.onclose?.({ code: CUT, reason: "" });
    await settled();
    assert.deepEqual(attempts.closed, [{ code: DETOUR, reason: "undefined" }]);
    assert.equal(attempts.begin().socket, undefined, "which is no WebSocket");
  }
});

test("one that was heard is not, and is named", async () => {
  const attempts = new Attempts();
  const { socket } = attempts.begin();
  socket.onopen?.();
  assert.equal(attempts.ways.transport, undefined);
  socket.onmessage?.({ data: "1" });
  socket.onmessage?.({ data: "2" });
  assert.equal(attempts.ways.transport, "websocket");
  socket.onclose?.({ code: CUT, reason: "" });
  await settled();
  assert.deepEqual([attempts.opened, attempts.heard, attempts.loads], [1, ["1", "2"], 0]);
  assert.deepEqual(attempts.closed, [{ code: CUT, reason: "the connection was cut" }]);
});

test("one that the server closes with a code is taken at its word", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const attempts = new Attempts();
  attempts.begin().socket.onclose?.({ code: 4401, reason: "go away" });
  mock.timers.tick(10_000);
  await settled();
  assert.deepEqual(attempts.closed, [{ code: 4401, reason: "go away" }]);
  assert.equal(attempts.loads, 0);
});

test("a silent one is closed after half of the time, whether it opened or not", async () => {
  for (const isOpen of [false, true]) {
    mock.timers.enable({ apis: ["setTimeout"] });
    const attempts = new Attempts();
    const { socket } = attempts.begin();
    if (isOpen) socket.onopen?.();
    mock.timers.tick(3999);
    assert.deepEqual(socket.closes, []);
    mock.timers.tick(1);
    await settled();
    assert.equal(socket.closes.length, 1);
    assert.deepEqual(attempts.closed.map(({ code }) => code), [DETOUR]);
    mock.timers.reset();
  }
});

test("one that speaks in time may be silent afterwards", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const attempts = new Attempts();
  const { socket } = attempts.begin();
  socket.onmessage?.({ data: "1" });
  mock.timers.tick(100_000);
  await settled();
  assert.deepEqual([socket.closes, attempts.closed], [[], []]);
});

test("without a fallback there is no time limit and nothing else to try", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const attempts = new Attempts({ fallback: undefined });
  const { socket } = attempts.begin();
  mock.timers.tick(100_000);
  assert.deepEqual(socket.closes, []);
  socket.onclose?.({ code: CUT, reason: "" });
  await settled();
  assert.deepEqual(attempts.closed.map(({ code }) => code), [CUT]);
});

test("a class of WebSockets that throws, or is missing, is followed by another transport", async () => {
  const throwing = function () {
    throw new Error("not here");
  };
  const attempts = new Attempts({ WebSocket: throwing });
  attempts.begin();
  await settled();
  assert.deepEqual(attempts.closed.map(({ code }) => code), [DETOUR]);
  const alone = new Attempts({ WebSocket: throwing, fallback: undefined });
  alone.begin();
  await settled();
  assert.deepEqual(alone.closed, [{ code: CUT, reason: "not here" }]);
});

test("when all have failed, it is told why", async () => {
  const failing = async () => {
    throw new Error("no way");
  };
  const attempts = new Attempts({ fetch: failing });
  attempts.begin().socket.onclose?.({ code: CUT, reason: "" });
  await settled();
  attempts.begin();
  await settled();
  attempts.begin();
  await settled();
  assert.deepEqual(attempts.closed.map(({ code }) => code), [DETOUR, DETOUR, CUT]);
  assert.equal(attempts.closed[2]?.reason, "no way");
  assert.ok(attempts.begin().socket, "and it begins with the WebSocket again");
});

test("transports that were chosen are all that is tried", async () => {
  const attempts = new Attempts({ transports: ["xhr-polling"] });
  assert.equal(attempts.begin().socket, undefined);
  await settled();
  const asked: string[] = [];
  attempts.ways.fetch = async (path: string) => {
    asked.push(path);
    return new Response("gone", { status: 404 });
  };
  attempts.begin();
  await settled();
  assert.match(asked[0] ?? "", /\/xhr$/);
  assert.deepEqual(attempts.closed.map(({ code }) => code), [DETOUR, CUT]);
  assert.match(attempts.closed[1]?.reason ?? "", /404/);
});

test("closed while it is silent, it neither waits on nor comes back", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const attempts = new Attempts();
  const { transport, socket } = attempts.begin();
  close(transport, 1001, "");
  assert.deepEqual(socket.closes, [[]], "a page may not say 1001");
  mock.timers.tick(100_000);
  socket.onclose?.({ code: CUT });
  await settled();
  assert.deepEqual([attempts.closed, attempts.loads], [[], 0]);
});

test("ended, it sends first and then says when it is closed", async () => {
  const attempts = new Attempts();
  const { transport, socket } = attempts.begin();
  socket.onmessage?.({ data: "1" });
  send(transport, "last");
  let done = 0;
  close(transport, 1000, "bye", () => done++);
  assert.deepEqual([socket.sent, socket.closes, done], [["last"], [[1000, "bye"]], 0]);
  socket.onclose?.({ code: 1000 });
  assert.equal(done, 1);
  assert.deepEqual(attempts.closed, []);
});

test("ended before there is anything to close, it is closed at once", () => {
  const attempts = new Attempts({ transports: ["xhr-polling"] });
  const { transport } = attempts.begin();
  send(transport, "nobody hears it");
  let done = 0;
  close(transport, 1000, "bye", () => done++);
  assert.equal(done, 1);
});
