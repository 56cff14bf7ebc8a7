import assert from "node:assert/strict";
import { test } from "node:test";
import { Channels } from "../src/channels.js";
import { BUFFER } from "../src/mailbox.js";
import { covers } from "../src/pattern.js";

test("a pattern covers by segments", () => {
  for (const [pattern, channel, expected] of [
    ["news", "news", true],
    ["news", "news.a", false],
    ["news.*", "news.a", true],
    ["news.*", "news", false],
    ["news.*", "news.a.b", false],
    ["news.>", "news", false],
    ["news.>", "news.a", true],
    ["news.>", "news.a.b", true],
    ["*.a", "news.a", true],
    ["*.a", "news.b", false],
    ["news.>.a", "news.b.a", false],
    [">", "news", true],
  ] as const) {
    assert.equal(covers(pattern, channel), expected, `${pattern} ${channel}`);
  }
});

test("a name is a pattern once the server says so, until nobody wants it", async () => {
  const channels = new Channels(() => {});
  const { subscription } = channels.join("news.*");
  channels.deliver("news.a", 1);
  channels.take("news.*");
  channels.deliver("news.a", 2);
  channels.deliver("news.*", 3);
  subscription.unsubscribe();
  channels.join("news.*");
  channels.deliver("news.a", 4);
  const read = [];
  for await (const message of subscription) read.push(message);
  assert.deepEqual(read, [2, 3]);
});

test("what was missed has room of its own, until it is read", async () => {
  const channels = new Channels(() => {});
  const { subscription } = channels.join("a");
  channels.recover("a", Array.from({ length: 2 * BUFFER }, (_, n) => n));
  for (let n = 0; n < BUFFER; n++) channels.deliver("a", n);
  assert.equal(subscription.missed, 0);
  channels.deliver("a", "one too many");
  assert.equal(subscription.missed, 1);
  for (let n = 1; n < 2 * BUFFER; n++) assert.equal((await subscription.next()).value, n);
  channels.deliver("a", "its room is gone");
  assert.equal(subscription.missed, 2);
});
