// What clients see when the gateway's configuration changes. Whoever starts these
// changes it when asked to, and answers.

import assert from "node:assert/strict";

export async function a_changed_site_tells_its_settings_again(world) {
  const client = await world.join({ deviceId: "phone" });
  const before = client.settings.device_ttl;
  const other = await world.join({}, { namespace: "site2" });
  await world.ask("another deviceTtl for newsite");
  // Its site begins anew, and it comes back by itself.
  const { event, args } = await client.next();
  assert.equal(event, "_settings");
  assert.notEqual(args[0].device_ttl, before);
  assert.equal(client.connects, 2);
  await world.send([world.user], "e", [1]);
  const delivered = await client.next();
  assert.deepEqual([delivered.event, delivered.args], ["e", [1]]);
  delivered.ack();
  // The other site was never away.
  await world.nothingBefore(other, world.user, { site: "site2", apiKey: "98765" });
  assert.equal(other.connects, 1);
}
