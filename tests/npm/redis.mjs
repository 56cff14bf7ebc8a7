// A real redis-server of one's own. Out: its port, and a way to end it. It keeps
// nothing on disk but an empty folder, which goes with it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";

const ATTEMPTS = 5;

/**
 * Starts Redis on a free port of loopback and resolves once it accepts
 * connections. Throws when there is no redis-server to start.
 * @returns {Promise<{port: number, stop: () => Promise<void>}>}
 */
export async function startRedis() {
  const folder = await mkdtemp(path.join(tmpdir(), "tokensocket-redis-"));
  // Redis cannot choose a port itself, so another program may take ours first.
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    try {
      const redis = await start(port, folder);
      const stop = async () => {
        const ended = once(redis, "exit");
        redis.kill("SIGTERM");
        await ended;
        await rm(folder, { recursive: true, force: true });
      };
      return { port, stop };
    } catch (error) {
      if (error.code === "ENOENT" || attempt === ATTEMPTS) {
        await rm(folder, { recursive: true, force: true });
        throw new Error(`redis-server does not start; is it installed? ${error.message}`);
      }
    }
  }
}

async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

async function start(port, folder) {
  const settings = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"];
  const redis = spawn("redis-server", settings.map(String), { stdio: ["ignore", "pipe", "inherit"] });
  const lines = readline.createInterface({ input: redis.stdout });
  return new Promise((resolve, reject) => {
    redis.once("error", reject);
    redis.once("exit", (status) => reject(new Error(`redis-server ended with status ${status}`)));
    lines.on("line", (line) => {
      if (line.includes("Ready to accept connections")) {
        resolve(redis);
      }
    });
  });
}
