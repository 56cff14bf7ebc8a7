/** A connection over requests, against a server that answers as the test says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { open, type HttpSocket } from "tokensocket-fallback";

interface Asked {
  url: string;
  init: RequestInit;
  answer: (body: BodyInit | null, status?: number) => void;
  fail: (error: Error) => void;
}

/** One socket; what it asks for waits until the test answers. */
class Talk {
  asked: Asked[] = [];
  heard: string[] = [];
  opened = 0;
  closed: { code: number; reason: string }[] = [];
  socket: HttpSocket;

  constructor(transport: string, settings: object = {}) {
    const fetch = (url: string, init: RequestInit) =>
      new Promise<Response>((resolve, reject) => {
        const answer = (body: BodyInit | null, status = 200) => resolve(new Response(body, { status }));
        this.asked.push({ url, init, answer, fail: reject });
        init.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
    this.socket = open(transport, { fetch, ...settings }, "wss://server/some/where/websocket", () => assert.fail()) as HttpSocket;
    this.socket.onopen = () => this.opened++;
    this.socket.onmessage = ({ data }) => this.heard.push(data);
    this.socket.onclose = (closed) => this.closed.push(closed);
  }

  /** The next request to a path, once there is one. */
  async request(path: string): Promise<Asked> {
    for (;;) {
      const index = this.asked.findIndex(({ url }) => url.endsWith(`/${path}`));
      if (index >= 0) return this.asked.splice(index, 1)[0]!;
      await setImmediate();
    }
  }

  async settled(): Promise<void> {
    for (let turn = 0; turn < 10; turn++) await setImmediate();
  }
}

const prelude = `${"h".repeat(2048)}\n`;

test("one session has one unguessable path below the prefix", async () => {
  const paths = await Promise.all(
    [1, 2].map(async () => {
      const { url, init } = await new Talk("xhr-polling", { credentials: "include" }).request("xhr");
      assert.equal(init.method, "POST");
      assert.equal(init.credentials, "include");
      assert.equal(init.headers, undefined, "nothing that another origin would have to be asked for");
      return url;
    }),
  );
  for (const path of paths) assert.match(path, /^https:\/\/server\/some\/where\/\d{3}\/[\d-]{20,}\/xhr$/);
  assert.notEqual(paths[0], paths[1]);
});

test("polls one frame after the other", async () => {
  const talk = new Talk("xhr-polling");
  (await talk.request("xhr")).answer("o\n");
  (await talk.request("xhr")).answer('a["1","2"]\n');
  (await talk.request("xhr")).answer("h\n");
  (await talk.request("xhr")).answer('a["3"]\n');
  await talk.request("xhr");
  assert.deepEqual([talk.opened, talk.heard, talk.closed], [1, ["1", "2", "3"], []]);
});

test("reads a stream however it is cut into pieces, and asks again when it ends", async () => {
  const text = `${prelude}o\na["ü🦀","${"x".repeat(5000)}"]\nh\na["last"]\n`;
  for (const size of [1, 2, 7, 4096, 100_000]) {
    const talk = new Talk("xhr-streaming");
    const bytes = new TextEncoder().encode(text);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    (await talk.request("xhr_streaming")).answer(body);
    (await talk.request("xhr_streaming")).answer(`${prelude}a["again"]\n`);
    await talk.request("xhr_streaming");
    assert.equal(talk.opened, 1);
    assert.deepEqual(talk.heard, ["ü🦀", "x".repeat(5000), "last", "again"], `pieces of ${size}`);
    assert.deepEqual(talk.closed, []);
    talk.socket.close();
  }
});

test("sends one request at a time, with all that waits", async () => {
  const talk = new Talk("xhr-polling");
  (await talk.request("xhr")).answer("o\n");
  await talk.request("xhr");
  talk.socket.send("1");
  talk.socket.send('"2" ü\n');
  const first = await talk.request("xhr_send");
  talk.socket.send("3");
  talk.socket.send("4");
  await talk.settled();
  assert.deepEqual(talk.asked, [], "the first is not answered");
  first.answer(null, 204);
  const second = await talk.request("xhr_send");
  assert.deepEqual([first, second].map(({ init }) => JSON.parse(init.body as string)), [["1", '"2" ü\n'], ["3", "4"]]);
  second.answer("ok");
  talk.socket.send("5");
  assert.equal((await talk.request("xhr_send")).init.body, '["5"]');
});

test("does not put too much into one request, but a large text is not cut", async () => {
  const talk = new Talk("xhr-polling");
  const sizes = [100_000, 30_000, 30_000, 500_000, 1];
  for (const size of sizes) talk.socket.send("x".repeat(size));
  const bodies: number[][] = [];
  while (bodies.flat().length < sizes.length) {
    const { init, answer } = await talk.request("xhr_send");
    bodies.push((JSON.parse(init.body as string) as string[]).map((text) => text.length));
    answer(null, 204);
  }
  assert.deepEqual(bodies, [[100_000, 30_000], [30_000], [500_000], [1]]);
});

test("where too much waits to be sent, it closes", async () => {
  const talk = new Talk("xhr-polling");
  for (let count = 0; count < 40 && talk.closed.length === 0; count++) talk.socket.send("x".repeat(1024 * 1024));
  assert.equal(talk.closed[0]?.code, 1006);
  assert.match(talk.closed[0]?.reason ?? "", /too much/);
});

test("a lost session, a refused request, an empty answer and a cut one close it, once", async () => {
  const cases: [string, (talk: Talk) => Promise<unknown>][] = [
    ["lost the session", async (talk) => (await talk.request("xhr")).answer("o\n")],
    ["xhr answered status 404", async (talk) => (await talk.request("xhr")).answer("gone", 404)],
    ["without a message", async (talk) => (await talk.request("xhr")).answer("\n")],
    ["cut off", async (talk) => (await talk.request("xhr")).fail(new Error("cut off"))],
    ["JSON", async (talk) => (await talk.request("xhr")).answer("a[\n")],
    [
      "xhr_send answered status 404",
      async (talk) => {
        talk.socket.send("1");
        (await talk.request("xhr_send")).answer("gone", 404);
      },
    ],
  ];
  for (const [reason, happens] of cases) {
    const talk = new Talk("xhr-polling");
    (await talk.request("xhr")).answer("o\n");
    await happens(talk);
    await talk.settled();
    assert.equal(talk.closed.length, 1, reason);
    assert.equal(talk.closed[0]?.code, 1006);
    assert.ok(talk.closed[0]?.reason.includes(reason), `${talk.closed[0]?.reason} for ${reason}`);
    assert.ok(talk.asked.every(({ init }) => init.signal?.aborted), "nothing is left open");
  }
});

test("a stream without a body, and one that ends at once, close it", async () => {
  for (const body of [null, prelude]) {
    const talk = new Talk("xhr-streaming");
    (await talk.request("xhr_streaming")).answer(body);
    await talk.settled();
    assert.equal(talk.closed[0]?.code, 1006);
  }
});

test("the server's close comes with its code and reason", async () => {
  const talk = new Talk("xhr-polling");
  (await talk.request("xhr")).answer('o\nc[4403,"forbidden"]\n');
  await talk.settled();
  assert.deepEqual(talk.closed, [{ code: 4403, reason: "forbidden" }]);
  assert.deepEqual(talk.asked, []);
});

test("closed with a code, what was sent before still goes out", async () => {
  const talk = new Talk("xhr-polling");
  (await talk.request("xhr")).answer("o\n");
  const poll = await talk.request("xhr");
  talk.socket.send("1");
  const first = await talk.request("xhr_send");
  talk.socket.send("2");
  talk.socket.close(1000, "bye");
  talk.socket.send("too late");
  poll.answer('a["nobody hears it"]\n');
  const next = await talk.request("xhr");
  assert.equal(next.init.signal?.aborted, false);
  first.answer(null, 204);
  const second = await talk.request("xhr_send");
  assert.equal(second.init.body, '["2"]');
  assert.deepEqual(talk.closed, []);
  second.answer(null, 204);
  await talk.settled();
  assert.deepEqual(talk.closed, [{ code: 1000, reason: "bye" }]);
  assert.equal(next.init.signal?.aborted, true);
  assert.deepEqual(talk.heard, []);
});

test("closed without a code, everything stops at once", async () => {
  const talk = new Talk("xhr-polling");
  (await talk.request("xhr")).answer("o\n");
  const poll = await talk.request("xhr");
  talk.socket.send("1");
  const sent = await talk.request("xhr_send");
  talk.socket.close();
  assert.ok(poll.init.signal?.aborted && sent.init.signal?.aborted);
  await talk.settled();
  assert.equal(talk.closed.length, 1);
  assert.deepEqual(talk.asked, []);
});

test("an engine without what a transport needs says so as a close", async () => {
  assert.equal(globalThis.EventSource, undefined, "Node.js has none");
  const talk = new Talk("eventsource");
  await talk.settled();
  assert.match(talk.closed[0]?.reason ?? "", /EventSource/);
});
