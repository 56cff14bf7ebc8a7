// What else the gateway answers beside its sites.

import assert from "node:assert/strict";

export async function the_health_check_says_ok(world) {
  const answer = await fetch(`${world.gateway}/healthcheck`);
  assert.deepEqual([answer.status, await answer.text()], [200, "ok"]);
}
the_health_check_says_ok.not = once;

export async function the_client_is_not_served_unless_configured(world) {
  const answer = await fetch(`${world.gateway}/socket.io/socket.io.js`);
  assert.equal(answer.status, 404);
  assert.ok((await answer.text()).length > 0, "the 404 says nothing");
}
the_client_is_not_served_unless_configured.not = once;

/** What depends on no client needs one run. */
function once(generation, transport) {
  return !(generation === "4.8" && transport === "websocket") && "it depends on no client";
}
