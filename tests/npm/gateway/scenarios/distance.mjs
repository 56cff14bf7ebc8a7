// Clients that are far away. Whoever starts these puts a slow link before the
// gateway, and a site behind it that lets everybody in as `user_1`.

import { randomUUID } from "node:crypto";

/** Each request takes several ways there and back, and a busy machine its time. */
const LIMIT = 40_000;

/** What 1.x and 2.x show a gateway first is their token for the namespace that they name later. */
export async function a_token_of_the_sites_own_that_looks_like_an_issued_one_gets_in(world) {
  const client = world.open({ token: randomUUID() });
  await client.connected(LIMIT);
  if (client.connects !== 1) throw new Error(`it took ${client.connects} connections`);
}

/** Who means the root is told. */
export async function a_distant_client_that_may_not_be_in_the_root_is_told(world) {
  const client = world.open({ token: randomUUID() }, { namespace: "" });
  const text = await client.refused(LIMIT);
  if (text !== "INVALID_TOKEN") throw new Error(`it was told ${JSON.stringify(text)}`);
}
