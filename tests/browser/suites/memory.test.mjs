// What a page keeps of sockets that were opened and ended: nothing.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { playground } from "../harness/program.mjs";
import { realm, transportsIn } from "../harness/realm.mjs";
import { watchWasm } from "../harness/wasm.mjs";

/** The page's heap, to be asked for again and again. */
async function heapOf(page) {
  const cdp = await page.context().newCDPSession(page);
  return async () => {
    // Each collection may set free what the next one takes.
    for (let round = 0; round < 4; round += 1) {
      await cdp.send("HeapProfiler.collectGarbage");
    }
    return (await cdp.send("Runtime.getHeapUsage")).usedSize;
  };
}

describe("by WebSocket", () => {
  const SOCKETS = 10_000;
  /** Opened before the first measurement: what is made once is there then, and the engine has compiled what is hot. */
  const WARM_UP = 1_500;
  /** Bytes. Less than the smallest thing that each socket could leave behind, an entry in a list of 24 bytes, comes to. */
  const SLACK = 200 * 1024;

  test("10,000 sockets opened and ended leave the heap where it was", { timeout: 600_000 }, async (t) => {
    const server = await playground(t);
    const place = await realm(t, "esm", { prepare: watchWasm });
    const open = (count) => place.run("memory.mjs", "opensAndEnds", { host: server.origin, count });
    const usedSize = await heapOf(place.page);
    const heap = async () => ({ usedSize: await usedSize(), wasm: await place.page.evaluate(() => watched.memory) });
    await open(WARM_UP);
    const before = await heap();
    await open(SOCKETS);
    const after = await heap();
    t.diagnostic(`heap ${before.usedSize} -> ${after.usedSize} bytes, wasm memory ${before.wasm} -> ${after.wasm} bytes`);
    assert.equal(after.wasm, before.wasm);
    assert.ok(after.usedSize < before.usedSize + SLACK, `${before.usedSize} -> ${after.usedSize}`);
  });
});

describe("nothing is left", { concurrency: true }, () => {
  /** As above, of fewer, since one is opened after the other. */
  const WARM_UP = 600;
  const SOCKETS = 400;
  /** Bytes. What a socket could leave behind is hundreds of them. */
  const SLACK = 40 * 1024;

  for (const transport of transportsIn("esm")) {
    test(`of ${SOCKETS} sockets by ${transport}`, { timeout: 300_000 }, async (t) => {
      const server = await playground(t);
      const place = await realm(t, "esm");
      const options = { host: server.origin, transports: [transport] };
      const open = (count) => place.run("fallback.mjs", "opensAndEndsInTurn", { options, count });
      const heap = await heapOf(place.page);
      await open(WARM_UP);
      const before = await heap();
      await open(SOCKETS);
      const after = await heap();
      t.diagnostic(`heap ${before} -> ${after} bytes`);
      assert.ok(after < before + SLACK, `${before} -> ${after}`);
    });
  }
});
