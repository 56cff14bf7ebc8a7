import assert from "node:assert/strict";
import { test } from "node:test";
import { Emitter } from "../src/emitter.js";
import { uncaught } from "./uncaught.js";

type Events = { message: [channel: string, message: unknown]; ready: [] };

test("calls listeners in the order in which they were added", () => {
  const emitter = new Emitter<Events>();
  const seen: unknown[] = [];
  emitter.add("message", (...args) => seen.push(["first", ...args]));
  emitter.add("message", (...args) => seen.push(["second", ...args]));
  emitter.emit("message", "news", 1);
  assert.deepEqual(seen, [["first", "news", 1], ["second", "news", 1]]);
});

test("the returned function removes that listener only", () => {
  const emitter = new Emitter<Events>();
  let count = 0;
  const listener = () => count++;
  const off = emitter.add("ready", listener);
  emitter.add("ready", listener);
  off();
  off();
  emitter.emit("ready");
  assert.equal(count, 1);
});

test("remove takes away every entry of a listener", () => {
  const emitter = new Emitter<Events>();
  let count = 0;
  const listener = () => count++;
  emitter.add("ready", listener);
  emitter.add("ready", listener, true);
  emitter.remove("ready", listener);
  emitter.emit("ready");
  assert.equal(count, 0);
});

test("a once listener is called once, also when the event comes from within", () => {
  const emitter = new Emitter<Events>();
  let count = 0;
  let inner = 0;
  emitter.add("ready", () => {
    if (!inner++) emitter.emit("ready");
  });
  emitter.add("ready", () => count++, true);
  emitter.emit("ready");
  emitter.emit("ready");
  assert.equal(count, 1);
});

test("a listener that is added while the event runs hears the next one", () => {
  const emitter = new Emitter<Events>();
  let count = 0;
  emitter.add("ready", () => void emitter.add("ready", () => count++), true);
  emitter.emit("ready");
  assert.equal(count, 0);
  emitter.emit("ready");
  assert.equal(count, 1);
});

test("a listener that throws is reported and does not stop the others", async () => {
  const emitter = new Emitter<Events>();
  const boom = new Error("boom");
  let count = 0;
  emitter.add("ready", () => {
    throw boom;
  });
  emitter.add("ready", () => count++);
  assert.deepEqual(await uncaught(() => emitter.emit("ready")), [boom]);
  assert.equal(count, 1);
});

test("clear removes one event's listeners or all", () => {
  const emitter = new Emitter<Events>();
  let count = 0;
  emitter.add("ready", () => count++);
  emitter.add("message", () => count++);
  emitter.clear("ready");
  emitter.emit("ready");
  emitter.emit("message", "a", 1);
  assert.equal(count, 1);
  emitter.clear();
  emitter.emit("message", "a", 1);
  assert.equal(count, 1);
});
