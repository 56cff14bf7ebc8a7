// Chromium's own start, as a person's, with its DevTools open. Out: where those
// are, and how to end it.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";

const PROGRAM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-precise-memory-info",
  "--remote-debugging-port=0",
];

/**
 * A Chromium with nobody connected to it. It ends with this process at the latest.
 * @returns {Promise<{endpoint: string, end: () => Promise<void>}>} where its DevTools are, and how to end it
 */
export async function launch() {
  const profile = await mkdtemp(path.join(tmpdir(), "tokensocket-chromium-"));
  const stdio = ["ignore", "ignore", "pipe"];
  const program = spawn(PROGRAM, [...ARGUMENTS, `--user-data-dir=${profile}`, "about:blank"], { stdio });
  // Before any that ends the process at once.
  process.prependOnceListener("exit", () => program.kill());
  const endpoint = await devtoolsEndpoint(program);
  const end = async () => {
    const ended = new Promise((resolve) => program.once("exit", resolve));
    program.kill();
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { endpoint, end };
}

function devtoolsEndpoint(program) {
  const said = [];
  return new Promise((resolve, reject) => {
    program.once("error", (error) => reject(new Error(`${PROGRAM} does not start: ${error.message}`)));
    program.once("exit", () => reject(new Error(`${PROGRAM} ended at once:\n${said.join("\n")}`)));
    readline.createInterface({ input: program.stderr }).on("line", (line) => {
      said.push(line);
      const endpoint = /^DevTools listening on (ws:\S+)/.exec(line)?.[1];
      if (endpoint) {
        resolve(endpoint);
      }
    });
  });
}
