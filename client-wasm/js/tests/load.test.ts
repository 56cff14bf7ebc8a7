import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { TokenSocketError } from "../src/error.js";
import { load, type WasmSource } from "../src/wasm/load.js";
import { EMPTY, FakeConnection, useFake } from "./fake_connection.js";

const server = createServer((request, response) => {
  const kind = request.url === "/right" ? "application/wasm" : "text/html";
  response.writeHead(request.url === "/missing" ? 404 : 200, { "content-type": kind });
  response.end(request.url === "/page" ? "<html>" : EMPTY);
});
let base = "";
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => void server.close());

test("loads from an address, an answer, bytes, or a module, promised or not", async () => {
  const sources: (() => WasmSource | Promise<WasmSource>)[] = [
    () => `${base}/right`,
    () => new URL(`${base}/right`),
    () => fetch(`${base}/right`),
    () => EMPTY,
    () => EMPTY.buffer,
    () => new WebAssembly.Module(EMPTY),
    async () => EMPTY,
  ];
  for (const source of sources) {
    let module: unknown;
    useFake({
      start: async (started) => {
        module = started;
        return FakeConnection;
      },
    });
    assert.equal(await load(source()), FakeConnection);
    assert.ok(module instanceof WebAssembly.Module);
  }
});

test("a wrong MIME type is read whole instead of streamed", async () => {
  useFake();
  assert.equal(await load(`${base}/wrong`), FakeConnection);
});

test("loads once, for the first who asks", async () => {
  let count = 0;
  useFake({
    source: () => {
      count++;
      return EMPTY;
    },
  });
  await Promise.all([load(undefined), load(undefined)]);
  await load(`${base}/missing`);
  assert.equal(count, 1);
});

test("a failure says what to do, and the next one tries anew", async () => {
  for (const path of ["/missing", "/page"]) {
    useFake();
    await assert.rejects(load(base + path), (error: unknown) => {
      assert.ok(error instanceof TokenSocketError);
      assert.equal(error.code, "wasm");
      assert.match(error.message, /Serve tokensocket_bg\.wasm/);
      return true;
    });
    assert.equal(await load(undefined), FakeConnection);
  }
});
