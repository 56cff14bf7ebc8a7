// The unmodified sockjs-client where nobody told it what comes through.

import { expectEcho, scenario } from "./connection.mjs";

/** Milliseconds until it gives up a transport that is silent. */
const PATIENCE = 3000;

/** @returns {Promise<string>} the transport that it found */
export const worksByWhatItFinds = scenario(async ({ open, assert }) => {
  const connection = await open("echo", { timeout: PATIENCE });
  await expectEcho(assert, connection, "hello");
  await expectEcho(assert, connection, "x".repeat(100_000), ...Array.from({ length: 1000 }, (_, n) => `message ${n}`));
  return connection.transport;
});
