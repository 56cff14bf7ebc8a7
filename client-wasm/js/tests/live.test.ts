/**
 * The built package in Node.js against a running server. Needs js-dist/dist and the example `playground`:
 * TOKENSOCKET_DIST_DIR and TOKENSOCKET_PLAYGROUND say where they are, else they are looked for where
 * `cargo xtask bundle` and `cargo build --release --example playground` put them. Skipped without them, unless
 * TOKENSOCKET_LIVE is set.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { WebSocket } from "ws";
import type * as Package from "../src/index.js";

const root = resolve("../..");
const dist = resolve(process.env.TOKENSOCKET_DIST_DIR ?? join(root, "js-dist/dist"));
const playground = process.env.TOKENSOCKET_PLAYGROUND ?? join(root, "target/release/examples/playground");
// Here, since a package finds `ws` among those that are installed around it.
const installed = resolve("node_modules/.cache/package");
const entry = pathToFileURL(join(installed, "node.mjs")).href;
const missing = [join(dist, "node.mjs"), playground].find((file) => !existsSync(file));

/** Starts a server and gives its process and address. */
async function serve(listen = "127.0.0.1:0"): Promise<{ child: ChildProcess; host: string }> {
  const child = spawn(playground, ["--listen", listen], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface(child.stdout!)) {
    const host = /listening on (http:\S+)/.exec(line)?.[1];
    if (host) return { child, host };
  }
  throw new Error("the playground ended before it listened");
}

async function stop(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

function code(expected: string) {
  return (error: unknown) => {
    assert.equal((error as Package.TokenSocketError).code, expected, String(error));
    assert.ok(error instanceof Error);
    return true;
  };
}

describe("against the playground", { skip: !process.env.TOKENSOCKET_LIVE && missing && `${missing} is missing` }, () => {
  let TokenSocket: typeof Package.TokenSocket;
  let server: Awaited<ReturnType<typeof serve>>;
  let host = "";
  const open = new Set<Package.TokenSocket>();

  function connect(options: Package.Options = {}, actions?: Package.UntypedActions): Package.TokenSocket {
    const socket = new TokenSocket({ host, ...options }, actions);
    open.add(socket);
    return socket;
  }

  before(async () => {
    cpSync(dist, installed, { recursive: true });
    ({ TokenSocket } = (await import(entry)) as typeof Package);
    server = await serve();
    ({ host } = server);
  });
  after(async () => {
    await Promise.all([...open].map((socket) => socket.end()));
    await stop(server.child);
  });

  test("calls queue while the wasm loads and keep their order", async () => {
    const socket = connect({ authentication: { user: "ann" } });
    const answers: unknown[] = [];
    socket.rpc("echo", 1, (error, answer) => answers.push(error ?? answer));
    socket.rpc("echo", 2, (error, answer) => answers.push(error ?? answer));
    assert.deepEqual(await socket.rpc("whoami"), { user: "ann" });
    assert.deepEqual(answers, [1, 2]);
    assert.equal(socket.state, "ready");
    assert.deepEqual(await socket.rpc("something.nested", [null]), { nested: [null] });
  });

  test("every kind of JSON comes back as it went", async () => {
    const socket = connect();
    for (const value of [null, true, 0, -1.5, 1e300, "", "ü€😀\u2028\\\"", [], [1, [2]], {}, { a: { b: null }, "ü": [1] }]) {
      assert.deepEqual(await socket.rpc("echo", value), value);
    }
    assert.equal(await socket.rpc("echo", undefined), null);
    assert.equal(await socket.rpc("echo", new Date(0)), "1970-01-01T00:00:00.000Z");
  });

  test("what has no JSON rejects, and the next call works", async () => {
    const socket = connect();
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    await assert.rejects(socket.rpc("echo", cyclic), code("bad_request"));
    await assert.rejects(socket.rpc("echo", 1n), code("bad_request"));
    assert.equal(await socket.rpc("echo", 1), 1);
  });

  test("the server's errors come with code and the error itself", async () => {
    const socket = connect();
    await assert.rejects(socket.rpc("fail"), (error) => code("internal")(error) && /boom/.test(String(error)));
    await assert.rejects(socket.rpc("failstring"), { message: "plain failure", error: "plain failure" });
    await assert.rejects(socket.rpc("no.such"), code("not_found"));
    await assert.rejects(socket.publish("forbidden", 1), code("forbidden"));
  });

  test("timeouts and signals end a call", async () => {
    const socket = connect();
    await socket.ready();
    await assert.rejects(socket.rpc("slow", { ms: 60_000 }, { timeout: 20 }), code("timeout"));
    const controller = new AbortController();
    const call = socket.rpc("slow", { ms: 60_000 }, { signal: controller.signal, timeout: Infinity });
    controller.abort();
    await assert.rejects(call, { name: "AbortError", code: "cancelled" });
    assert.equal(await socket.rpc("slow", { ms: 1 }, { timeout: 0 }), 1);
  });

  test("the server calls actions of every style", async () => {
    const socket = connect({}, {
      plain: (data) => ({ plain: data }),
      deep: { later: async (data) => ({ later: data }) },
      callback: (data, answer) => setTimeout(answer, 1, null, { callback: data }),
      fails: () => {
        throw Object.assign(new Error("mine"), { code: "forbidden", details: { why: 1 } });
      },
      big: () => 1n,
    });
    const call = (command: string, args?: unknown) => socket.rpc("callme", { command, args });
    assert.deepEqual(await call("plain", 1), { plain: 1 });
    assert.deepEqual(await call("deep.later", "x"), { later: "x" });
    assert.deepEqual(await call("callback", [1]), { callback: [1] });
    await assert.rejects(call("fails"), (error) => {
      const { message, code, details } = error as Package.TokenSocketError;
      assert.deepEqual([message, code, details], ["mine", "forbidden", { why: 1 }]);
      return true;
    });
    for (const inherited of ["toString", "constructor", "deep.toString", "nothing"]) {
      await assert.rejects(call(inherited), (error) => /Function not found/.test(String(error)) && code("not_found")(error));
    }
    await assert.rejects(call("big"), code("internal"));
    assert.deepEqual(await call("plain"), { plain: null });
  });

  test("messages reach the event and the loop, in order", async () => {
    const [one, two] = [connect(), connect()];
    const news = one.subscribe("news");
    const heard: unknown[] = [];
    one.onmessage((...args) => heard.push(args));
    await news.ready;
    assert.deepEqual(one.channels(), ["news"]);
    await two.publish("news", 1);
    await two.publish("news", { two: 2 });
    await two.broadcast("three");
    const read: unknown[] = [];
    for await (const message of news) {
      read.push(message);
      if (read.length === 3) break;
    }
    assert.deepEqual(read, [1, { two: 2 }, "three"]);
    assert.deepEqual(heard, [["news", 1], ["news", { two: 2 }], ["news", "three"]]);
    await one.rpc("echo");
    assert.deepEqual(one.channels(), []);
    await assert.rejects(one.subscribe("forbidden").ready, code("forbidden"));
  });

  test("a refused token fails ready and ends the socket", async () => {
    const socket = connect({ authentication: { deny: 1 } });
    const call = socket.rpc("echo");
    await assert.rejects(socket.ready(), code("refused"));
    await assert.rejects(call, code("ended"));
    assert.equal(socket.state, "ended");
    await socket.end();
  });

  test("comes back by itself after the server was killed, with its channels and its queue", async () => {
    const own = await serve();
    const socket = connect({ host: own.host });
    const states: string[] = [];
    socket.on("state", (state) => void states.push(state));
    const news = socket.subscribe("news");
    await news.ready;
    const lost = new Promise((resolve) => socket.once("disconnect", resolve));
    const back = new Promise<void>((resolve) => socket.onreconnect((error) => error ?? resolve()));
    await stop(own.child);
    await lost;
    const queued = socket.rpc("echo", "queued");
    const again = await serve(own.host.replace("http://", ""));
    await back;
    assert.equal(await queued, "queued");
    await socket.publish("news", "after");
    assert.deepEqual(await news.next(), { value: "after", done: false });
    assert.ok(states.includes("disconnected"), states.join());
    await socket.end();
    await stop(again.child);
  });

  test("an end fails what waits and is done", async () => {
    const socket = connect();
    await socket.ready();
    const call = socket.rpc("slow", { ms: 60_000 });
    await socket.end();
    await assert.rejects(call, code("ended"));
    assert.equal(socket.state, "ended");
  });

  test("a server that is not there fails ready and is tried again", async () => {
    const own = await serve();
    await stop(own.child);
    const socket = connect({ host: own.host });
    await assert.rejects(socket.ready(), code("token"));
    const retried = await new Promise<unknown>((resolve) => socket.once("reconnect", resolve));
    assert.equal((retried as Package.TokenSocketError).code, "token");
    await socket.end();
  });

  test("without reconnect a lost connection is the end", async () => {
    const socket = connect({ reconnect: false });
    await socket.ready();
    const ended = new Promise<void>((resolve) => socket.on("state", (state) => state === "ended" && resolve()));
    socket.rpc("dropme", null, () => {});
    await ended;
    await assert.rejects(socket.rpc("echo"), code("ended"));
  });

  test("messages that come while the socket is busy keep their order, and none is lost", async () => {
    const publication = (message: string) => ({ data: JSON.stringify({ channel: "c", message }) });
    let hear = (_: { data: string }) => {};
    class Talkative extends WebSocket {
      override send(text: string) {
        super.send(text);
        hear = (event) => this.onmessage?.(event as never);
        if (text.includes('"echo"')) hear(publication("within send"));
      }
    }
    const socket = connect({ WebSocket: Talkative as never });
    await socket.ready();
    const seen: string[] = [];
    socket.onmessage((_, message) => {
      seen.push(`${message}`);
      if (message === "first") hear(publication("within first"));
      seen.push(`${message} is over`);
    });
    assert.equal(await socket.rpc("echo", 1), 1);
    assert.deepEqual(seen.splice(0), ["within send", "within send is over"]);
    hear(publication("first"));
    assert.deepEqual(seen, ["first", "first is over", "within first", "within first is over"]);
  });

  test("a listener that ends the socket hears nothing more, and is called to its end", async () => {
    const socket = connect();
    await socket.subscribe("c").ready;
    const seen: unknown[] = [];
    const call = socket.rpc("slow", { ms: 60_000 });
    call.catch(() => seen.push("failed"));
    const ended = new Promise<void>((resolve) => {
      socket.onmessage((_, message) => {
        socket.end(resolve);
        seen.push(message, socket.state);
      });
    });
    socket.publish("c", 1, () => {});
    socket.publish("c", 2, () => {});
    await ended;
    await assert.rejects(call, code("ended"));
    assert.deepEqual(seen, [1, "ready", "failed"]);
  });

  test("ends and leaves nothing that keeps the process", async () => {
    const script = `
      const { TokenSocket } = await import(${JSON.stringify(entry)});
      const socket = new TokenSocket({ host: ${JSON.stringify(host)} });
      console.log(await socket.rpc("echo", "bye"));
      await socket.end();`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.setEncoding("utf8");
    const said: string[] = [];
    child.stdout.on("data", (text: string) => said.push(text));
    const [status] = (await once(child, "exit")) as [number];
    assert.equal(status, 0);
    assert.equal(said.join(""), "bye\n");
  });
});
