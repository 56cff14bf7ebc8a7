// The unmodified npm server `node-token-sockjs` with a Redis of its own, as
// tests/npm starts it. Out: where it listens.

import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import readline from "node:readline";
import { startRedis } from "../../npm/redis.mjs";

const program = path.resolve(import.meta.dirname, "../../npm/original-server.cjs");

/** @returns {Promise<{origin: string}>} */
export async function originalServer(t) {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const server = spawn(process.execPath, [program, "--redis-port", String(redis.port)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(async () => {
    if (server.exitCode === null) {
      const ended = once(server, "exit");
      server.kill("SIGTERM");
      await ended;
    }
  });
  for await (const line of readline.createInterface({ input: server.stdout })) {
    const port = /^listening (\d+)$/.exec(line)?.[1];
    if (port) {
      return { origin: `http://127.0.0.1:${port}` };
    }
  }
  throw new Error("the original server ended before it listened; is tests/npm installed?");
}
