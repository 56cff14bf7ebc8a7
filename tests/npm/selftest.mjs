// The original client against the original server, with a real Redis: proves
// that the scenarios ask for nothing the originals do not do together, and that
// they notice what the original server gets wrong. Exit status 0 when both hold.

import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import readline from "node:readline";
import { startRedis } from "./redis.mjs";

const here = import.meta.dirname;

// What the original server does wrong every time.
const FAULTS = ["callbacks_released", "inherited_names_are_no_actions", "number_like_text_stays_text"];
// What it does wrong now and then: publish and subscribe race to Redis on two connections.
const RACES = ["publish_right_after_subscribe", "publication_queued_while_disconnected"];

function startServer(redisPort) {
  const program = path.join(here, "original-server.cjs");
  const stdio = ["pipe", "pipe", "inherit"];
  return spawn(process.execPath, [program, "--redis-port", String(redisPort)], { stdio });
}

async function listeningPort(server) {
  for await (const line of readline.createInterface({ input: server.stdout })) {
    const port = /^listening (\d+)$/.exec(line)?.[1];
    if (port) {
      return port;
    }
  }
  throw new Error("the original server ended before it listened");
}

/** Runs scenarios in a process of their own; resolves with its exit status. */
async function runClient(port, stdout, ...args) {
  const program = path.join(here, "original-client.cjs");
  const command = [program, ...args, "--port", port, "--settle", "settled"];
  const client = spawn(process.execPath, command, { stdio: ["ignore", stdout, "inherit"] });
  const [status] = await once(client, "exit");
  return status;
}

async function faultIsNoticed(port, name) {
  const status = await runClient(port, "ignore", name, "--scenario-limit", "2");
  console.log(`${status === 1 ? "ok" : "not ok"} notices that the original lacks ${name}`);
  return status === 1;
}

const redis = await startRedis();
const server = startServer(redis.port);
try {
  const port = await listeningPort(server);
  const passed = await runClient(port, "inherit", "all", "--skip", [...FAULTS, ...RACES].join());
  const noticed = await Promise.all(FAULTS.map((name) => faultIsNoticed(port, name)));
  process.exitCode = passed === 0 && noticed.every(Boolean) ? 0 : 1;
} finally {
  server.kill("SIGTERM");
  await redis.stop();
}
