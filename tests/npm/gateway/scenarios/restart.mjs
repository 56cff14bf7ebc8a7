// What remains when the gateway is killed and started again, on its port. Whoever
// starts these does it when asked to, and answers.

import assert from "node:assert/strict";

export async function nothing_is_lost_when_the_gateway_is_killed(world) {
  const live = await world.join({ deviceId: "live" });
  const away = await world.join({ deviceId: "away" });
  await world.send([world.user], "e", [1]);
  const first = await live.next();
  first.ack();
  await world.nothingBefore(live);
  await away.next();
  await away.next();
  away.stop();
  // Each of these was answered with OK.
  for (let n = 2; n <= 20; n += 1) await world.send([world.user], n % 2 ? "e" : "f", [n, { n }]);
  await world.ask("kill");
  const expected = Array.from({ length: 19 }, (_, n) => [(n + 2) % 2 ? "e" : "f", n + 2, { n: n + 2 }]);
  // It comes back by itself. What came before the kill may come again, and nothing is missing.
  const seen = [];
  for (;;) {
    const { event, args, ack } = await live.next();
    if (event === "_batch") {
      seen.push(...args[0]);
      ack();
      break;
    }
    if (event !== "_settings") seen.push([event, ...args]);
  }
  const numbers = new Set(seen.map(([, n]) => n));
  assert.deepEqual(expected.filter(([, n]) => !numbers.has(n)), []);
  const again = await world.join({ deviceId: "away" });
  const { event, args, ack } = await again.next();
  assert.equal(event, "_batch");
  assert.deepEqual(args[0].filter(([name]) => name !== "barrier"), [["e", 1], ...expected]);
  ack();
  await world.nothingBefore(again);
}
