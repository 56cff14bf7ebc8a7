import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { ladder } from "tokensocket-fallback";

const URL_OF_SERVER = "ws://server/sockets/websocket";
const ALL = ["websocket", "xhr-streaming", "xhr-polling"];
const HOUR = 3_600_000;

const begun = (transports?: string[], url = URL_OF_SERVER) => ladder({ transports }, url);

/** A page's storage, kept by all its ladders. */
function withStorage(storage: Partial<Storage> = storageOf(new Map())): void {
  Object.assign(globalThis, { document: {} });
  Object.defineProperty(globalThis, "localStorage", { configurable: true, get: () => storage });
}

const storageOf = (items: Map<string, string>): Partial<Storage> => ({
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => void items.set(key, value),
  removeItem: (key) => void items.delete(key),
});

afterEach(() => {
  mock.timers.reset();
  Reflect.deleteProperty(globalThis, "document");
  Reflect.deleteProperty(globalThis, "localStorage");
});

test("goes down from the best, and when all have failed begins at the top", () => {
  const ladder = begun();
  for (const time of [1, 2]) {
    assert.deepEqual([ladder.next(), ladder.failed()], ["websocket", true], `time ${time}`);
    assert.deepEqual([ladder.next(), ladder.failed()], ["xhr-streaming", true]);
    assert.deepEqual([ladder.next(), ladder.failed()], ["xhr-polling", false]);
  }
});

test("what failed before there was a ladder is the WebSocket", () => {
  const ladder = begun();
  assert.equal(ladder.failed(), true);
  assert.equal(ladder.next(), "xhr-streaming");
});

test("takes the transports that were chosen, in their order and each once", () => {
  const ladder = begun(["eventsource", "websocket", "eventsource"]);
  assert.deepEqual([ladder.next(), ladder.failed(), ladder.next(), ladder.failed()], ["eventsource", true, "websocket", false]);
  assert.equal(begun([]).next(), "websocket", "none are the default");
});

test("each may be silent for half of what is left, and the last to the end", () => {
  const ladder = begun();
  const shares = ALL.map(() => {
    ladder.next();
    const { patience } = ladder;
    ladder.failed();
    return patience;
  });
  assert.deepEqual(shares, [0.5, 0.25, 0]);
  assert.equal(begun(["xhr-polling"]).patience, 0);
});

test("keeps what worked for the next time, by server", () => {
  withStorage();
  const first = begun();
  first.failed();
  first.next();
  assert.equal(first.worked(), "xhr-streaming");
  assert.equal(first.next(), "xhr-streaming");
  assert.equal(begun().next(), "xhr-streaming", "also for others");
  assert.equal(begun(undefined, "ws://other/sockets/websocket").next(), "websocket");
  assert.equal(begun(["websocket", "xhr-polling"]).next(), "websocket", "not where it is not wanted");
});

test("when what was kept fails, the others follow from the top, and it is forgotten", () => {
  withStorage();
  const first = begun();
  first.failed();
  first.next();
  first.worked();
  const second = begun();
  assert.equal(second.next(), "xhr-streaming");
  assert.equal(second.failed(), true);
  assert.equal(begun().next(), "websocket");
  assert.deepEqual([second.next(), second.failed(), second.next()], ["websocket", true, "xhr-polling"]);
});

test("what was kept counts for an hour from when it was found, however often it works", () => {
  mock.timers.enable({ apis: ["Date"], now: 5 * HOUR });
  withStorage();
  const ladder = begun();
  ladder.failed();
  ladder.next();
  ladder.worked();
  mock.timers.tick(HOUR - 1);
  assert.equal(ladder.next(), "xhr-streaming");
  ladder.worked();
  mock.timers.tick(1);
  assert.equal(begun().next(), "websocket");
});

test("a clock that was set back, and what others wrote, count for nothing", () => {
  for (const text of [`xhr-polling ${Date.now() + HOUR}`, "xhr-polling", "pigeon 0", "", `pigeon ${Date.now()}`]) {
    withStorage(storageOf(new Map([[`tokensocket ${URL_OF_SERVER}`, text]])));
    assert.equal(begun().next(), "websocket", text);
  }
});

test("when the best works again, nothing else is kept", () => {
  const items = new Map<string, string>();
  withStorage(storageOf(items));
  const ladder = begun();
  ladder.failed();
  ladder.next();
  ladder.worked();
  assert.equal(items.size, 1);
  ladder.failed();
  assert.equal(ladder.next(), "websocket");
  ladder.worked();
  assert.equal(items.size, 0);
});

test("without a storage, or with one that is denied, a ladder remembers by itself", () => {
  const denied = (): never => {
    throw new Error("denied");
  };
  for (const prepare of [() => {}, () => withStorage({ getItem: denied, setItem: denied, removeItem: denied })]) {
    prepare();
    const ladder = begun();
    ladder.failed();
    ladder.next();
    ladder.worked();
    assert.equal(ladder.next(), "xhr-streaming");
    assert.equal(begun().next(), "websocket");
  }
});
