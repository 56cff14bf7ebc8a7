import assert from "node:assert/strict";
import { test } from "node:test";
import { invoke, type Answer } from "../src/actions.js";
import { TokenSocketError } from "../src/error.js";

/** Everything an invocation answers, once its promises are done. */
async function answers(actions: unknown, path: string, data: unknown = null): Promise<[boolean, unknown][]> {
  const seen: [boolean, unknown][] = [];
  invoke(actions, path, data, new AbortController().signal, (ok, value) => void seen.push([ok, value]));
  await new Promise((resolve) => setImmediate(resolve));
  return seen;
}

const unknown = [[false, { message: "Function not found", code: "not_found" }]];

test("dots walk nested objects", async () => {
  const actions = { a: { b: { c: (data: unknown) => ({ got: data }) } } };
  assert.deepEqual(await answers(actions, "a.b.c", 1), [[true, { got: 1 }]]);
  for (const path of ["a", "a.b", "a.b.c.d", "a..c", "", "b", "a.b.c.call"]) assert.deepEqual(await answers(actions, path), unknown, path);
});

test("nothing inherited can be called, nor what belongs to a function", async () => {
  class Base {
    method() {}
  }
  const actions = { plain() {}, base: new Base(), Base, list: [() => 1] };
  for (const path of [
    "constructor", "toString", "__proto__.toString", "hasOwnProperty", "plain.constructor", "plain.call",
    "base.method", "base.constructor", "Base.prototype.method", "list.push",
  ]) {
    assert.deepEqual(await answers(actions, path), unknown, path);
  }
  for (const none of [undefined, null, 1, "text", () => 1]) assert.deepEqual(await answers(none, "length"), unknown);
});

test("an action is called on the object it lies in", async () => {
  const counter = { from: 3, next(this: { from: number }) { return ++this.from; } };
  assert.deepEqual(await answers({ counter }, "counter.next"), [[true, 4]]);
});

test("plain returns and promises are results", async () => {
  assert.deepEqual(await answers({ f: () => 1 }, "f"), [[true, 1]]);
  assert.deepEqual(await answers({ f: () => {} }, "f"), [[true, undefined]]);
  assert.deepEqual(await answers({ f: async (data: number) => data + 1 }, "f", 1), [[true, 2]]);
});

test("a function with two parameters answers by calling back, once", async () => {
  const twice = (data: unknown, answer: Answer) => {
    answer(null, data);
    answer(null, "again");
    answer("late");
    return "returned";
  };
  assert.deepEqual(await answers({ twice }, "twice", 1), [[true, 1]]);
  assert.deepEqual(await answers({ f: (_: unknown, answer: Answer) => answer("no") }, "f"), [[false, "no"]]);
  assert.deepEqual(await answers({ f: (_: unknown, _answer: Answer) => "ignored" }, "f"), []);
});

test("what is thrown or rejected is the answer, in every style", async () => {
  const boom = () => {
    throw new Error("boom");
  };
  const expected = [[false, "boom"]];
  assert.deepEqual(await answers({ f: () => boom() }, "f"), expected);
  assert.deepEqual(await answers({ f: async () => boom() }, "f"), expected);
  assert.deepEqual(await answers({ f: (_: unknown, _answer: Answer) => boom() }, "f"), expected);
  assert.deepEqual(await answers({ f: async (_: unknown, _answer: Answer) => boom() }, "f"), expected);
});

test("a getter or a then that throws is the answer too", async () => {
  const boom = () => {
    throw new Error("boom");
  };
  const group = Object.defineProperty({}, "trap", { get: boom });
  assert.deepEqual(await answers({ group }, "group.trap"), [[false, "boom"]]);
  assert.deepEqual(await answers({ f: () => ({ then: boom }) }, "f"), [[false, "boom"]]);
});

test("errors keep their code and details", async () => {
  const fails = (error: unknown) => answers({ f: () => { throw error; } }, "f");
  assert.deepEqual(await fails(new TokenSocketError("no", "forbidden", { details: { why: 1 } })), [
    [false, { message: "no", code: "forbidden", details: { why: 1 } }],
  ]);
  assert.deepEqual(await fails(Object.assign(new Error("x"), { details: 0 })), [
    [false, { message: "x", code: undefined, details: 0 }],
  ]);
  assert.deepEqual(await fails(Object.assign(new Error("x"), { code: 7 })), [[false, "x"]]);
  assert.deepEqual(await fails(new RangeError()), [[false, "RangeError"]]);
  assert.deepEqual(await fails("text"), [[false, "text"]]);
  assert.deepEqual(await fails({ own: "shape" }), [[false, { own: "shape" }]]);
  assert.deepEqual(await fails(undefined), [[false, "undefined"]]);
});
