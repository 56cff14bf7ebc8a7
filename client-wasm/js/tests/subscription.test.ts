import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Channels } from "../src/channels.js";
import { TokenSocketError } from "../src/error.js";
import { BUFFER } from "../src/mailbox.js";
import type { Subscription } from "../src/subscription.js";
import { turn } from "./uncaught.js";

const lost = new TokenSocketError("gone", "closed");

/** Reads until the end. */
async function all(subscription: Subscription): Promise<unknown[]> {
  const seen: unknown[] = [];
  for await (const message of subscription) seen.push(message);
  return seen;
}

/** Publishes an object that nobody else holds. */
function publish(channels: Channels): object {
  const message = { large: "object" };
  channels.deliver("a", message);
  return message;
}

test("messages wait for their reader, in order", async () => {
  const channels = new Channels(() => {});
  const { subscription } = channels.join("a");
  channels.deliver("a", 1);
  channels.deliver("b", "not mine");
  const reading = all(subscription);
  await turn();
  channels.deliver("a", 2);
  channels.deliver("a", 3);
  channels.finish("a");
  assert.deepEqual(await reading, [1, 2, 3]);
});

test("the oldest are dropped and counted when the reader is slow", async () => {
  const channels = new Channels(() => {});
  const { subscription } = channels.join("a");
  for (let n = 0; n < BUFFER + 3; n++) channels.deliver("a", n);
  channels.finish("a");
  assert.equal(subscription.missed, 3);
  const seen = await all(subscription);
  assert.deepEqual(seen, Array.from({ length: BUFFER }, (_, n) => n + 3));
});

test("who reads on after messages were dropped gets the rest in order", async () => {
  const channels = new Channels(() => {});
  const { subscription } = channels.join("a");
  let sent = 0;
  const deliver = (count: number) => {
    for (const end = sent + count; sent < end; sent++) channels.deliver("a", sent);
  };
  const seen: unknown[] = [];
  const read = async (count: number) => {
    for (let n = 0; n < count; n++) seen.push((await subscription.next()).value);
  };
  deliver(BUFFER + 5);
  await read(2);
  deliver(4);
  await read(BUFFER);
  assert.equal(subscription.missed, 7);
  assert.deepEqual(seen.slice(0, 3), [5, 6, 9]);
  assert.deepEqual(seen.slice(2), Array.from({ length: BUFFER }, (_, n) => n + 9));
});

test("every subscription of a channel gets every message", async () => {
  const channels = new Channels(() => {});
  const [one, two] = [channels.join("a").subscription, channels.join("a").subscription];
  channels.deliver("a", 1);
  channels.finish("a");
  assert.deepEqual([await all(one), await all(two)], [[1], [1]]);
});

test("concurrent reads are answered in order", async () => {
  const channels = new Channels(() => {});
  const { subscription } = channels.join("a");
  const reads = [subscription.next(), subscription.next(), subscription.next()];
  channels.deliver("a", 1);
  channels.deliver("a", 2);
  channels.finish("a");
  assert.deepEqual(await Promise.all(reads), [
    { value: 1, done: false },
    { value: 2, done: false },
    { value: undefined, done: true },
  ]);
});

test("a loss is thrown once, after what was waiting", async () => {
  const channels = new Channels(() => {});
  const { subscription } = channels.join("a");
  channels.deliver("a", 1);
  channels.finish("a", lost);
  assert.deepEqual(await subscription.next(), { value: 1, done: false });
  await assert.rejects(subscription.next(), lost);
  assert.deepEqual(await subscription.next(), { value: undefined, done: true });
});

test("a refusal ends that subscription and keeps the channel's others", async () => {
  const unwanted: string[] = [];
  const channels = new Channels((name) => unwanted.push(name));
  const first = channels.join("a");
  first.confirmed();
  await first.subscription.ready;
  const second = channels.join("a");
  second.refused(lost);
  await assert.rejects(second.subscription.ready, lost);
  await assert.rejects(all(second.subscription), lost);
  channels.deliver("a", 1);
  assert.deepEqual(await first.subscription.next(), { value: 1, done: false });
  assert.deepEqual(unwanted, []);
  assert.deepEqual(channels.names(), ["a"]);
});

test("the channel is unwanted when the last subscription is given up", () => {
  const unwanted: string[] = [];
  const channels = new Channels((name) => unwanted.push(name));
  const [one, two] = [channels.join("a").subscription, channels.join("a").subscription];
  one.unsubscribe();
  one.unsubscribe();
  assert.deepEqual(unwanted, []);
  two.unsubscribe();
  assert.deepEqual(unwanted, ["a"]);
  assert.deepEqual(channels.names(), []);
});

test("one that was given up does not touch the channel's next life", () => {
  const unwanted: string[] = [];
  const channels = new Channels((name) => unwanted.push(name));
  const old = channels.join("a").subscription;
  channels.finish("a");
  channels.join("a");
  old.unsubscribe();
  assert.deepEqual(unwanted, []);
  assert.deepEqual(channels.names(), ["a"]);
});

test("leaving the loop unsubscribes", async () => {
  const unwanted: string[] = [];
  const channels = new Channels((name) => unwanted.push(name));
  const { subscription } = channels.join("a");
  channels.deliver("a", 1);
  for await (const _ of subscription) break;
  assert.deepEqual(unwanted, ["a"]);
});

test("one whose next message somebody waits for is not collected", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const channels = new Channels(() => {});
  // Nobody holds the subscription itself.
  const next = [0, 1].map(() => channels.join("a").subscription.next());
  for (let n = 0; n < 10; n++) {
    await turn();
    collect();
  }
  await turn();
  channels.deliver("a", "still here");
  channels.clear();
  const wanted = { value: "still here", done: false };
  const late = new Promise((resolve) => setTimeout(resolve, 1000, "nothing came"));
  assert.deepEqual(await Promise.race([Promise.all(next), late]), [wanted, wanted]);
});

test("one that nobody holds is collected, and one that is read is not", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const channels = new Channels(() => {});
  const dropped = new WeakRef(channels.join("a").subscription);
  const waiting = new WeakRef(publish(channels));
  let seen: unknown;
  void (async () => {
    for await (const message of channels.join("a").subscription) seen = message;
  })();
  for (let n = 0; n < 10 && (dropped.deref() || waiting.deref()); n++) {
    await turn();
    collect();
  }
  assert.equal(dropped.deref(), undefined);
  assert.equal(waiting.deref(), undefined, "nor is what waited for it kept");
  channels.deliver("a", "still here");
  await turn();
  assert.equal(seen, "still here");
});
