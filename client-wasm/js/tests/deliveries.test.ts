import assert from "node:assert/strict";
import { test } from "node:test";
import { Deliveries, type Delivery } from "../src/deliveries.js";
import { turn, uncaught } from "./uncaught.js";

/** Deliveries, and what was settled so far. */
function deliveries() {
  const settled: [number, boolean][] = [];
  return { settled, deliveries: new Deliveries((id, done) => settled.push([id, done])) };
}

test("what was delivered is settled when its handler's promise is, and the next one waits for that", async () => {
  const { settled, deliveries: all } = deliveries();
  const ends: (() => void)[] = [];
  const begun: unknown[][] = [];
  all.handle("a", (...args: unknown[]) => {
    begun.push(args);
    return new Promise<void>((resolve) => ends.push(resolve));
  });
  all.deliver(1, { event: "a", args: ["x", 1] });
  all.deliver(2, { event: "a" });
  await turn();
  assert.deepEqual([begun, settled], [[["x", 1]], []]);
  ends[0]?.();
  await turn();
  assert.deepEqual([begun.length, settled], [2, [[1, true]]]);
});

test("what has no handler waits for one and holds up nobody", async () => {
  const { settled, deliveries: all } = deliveries();
  all.handle("b", () => {});
  all.deliver(1, { event: "a" });
  all.deliver(2, { event: "b" });
  await turn();
  assert.deepEqual(settled, [[2, true]]);
  const remove = all.handle("a", () => {});
  await turn();
  assert.deepEqual(settled.at(-1), [1, true]);
  remove();
  all.deliver(3, { event: "a" });
  await turn();
  assert.equal(settled.length, 2);
});

test("a handler that fails gives back, and its error is not hidden", async () => {
  const { settled, deliveries: all } = deliveries();
  all.handle("a", async () => {
    throw new Error("not now");
  });
  const errors = await uncaught(async () => {
    all.deliver(1, { event: "a" });
    await turn();
  });
  assert.deepEqual([errors.map((error) => (error as Error).message), settled], [["not now"], [[1, false]]]);
});

test("by hand nothing waits, and a handler that throws gives back", async () => {
  const { settled, deliveries: all } = deliveries();
  const given: Delivery[] = [];
  all.handleByHand("a", (delivery) => given.push(delivery));
  all.deliver(1, { event: "a", args: [1] });
  all.deliver(2, { event: "a", args: [2] });
  await turn();
  assert.deepEqual([given.map(({ event, args }) => [event, args]), settled], [[["a", [1]], ["a", [2]]], []]);
  given[1]?.acknowledge();
  given[0]?.giveBack();
  assert.deepEqual(settled, [[2, true], [1, false]]);
  all.handleByHand("a", () => {
    throw new Error("broken");
  });
  await uncaught(async () => {
    all.deliver(3, { event: "a" });
    await turn();
  });
  assert.deepEqual(settled.at(-1), [3, false]);
});

test("a resync has its turn behind what came before it", async () => {
  const { settled, deliveries: all } = deliveries();
  const told: unknown[] = [];
  all.deliver(1, { event: "a" });
  all.resync(2, "a", "order");
  all.resync(3, undefined, "lost");
  all.handle("a", () => told.push("a"));
  all.handle(undefined, (...args: unknown[]) => told.push(args));
  await turn();
  assert.deepEqual(told, ["a", ["a", "order"], [undefined, "lost"]]);
  assert.deepEqual(settled, [[1, true], [2, true], [3, true]]);
});

test("what cannot wait any more is given back, and what waits is forgotten with the socket", async () => {
  const { settled, deliveries: all } = deliveries();
  for (let id = 1; id <= 100_001; id++) all.deliver(id, { event: "a" });
  assert.deepEqual(settled, [[100_001, false]]);
  all.clear();
  all.handle("a", () => {});
  await turn();
  assert.equal(settled.length, 1);
});
