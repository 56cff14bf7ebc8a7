// The one Chromium that all suites share. Out: a fresh context for each test,
// or, where a test needs tabs that can be hidden, the browser's own context.
//
// Playwright makes each of its pages believe that it is the visible one. Only
// in the browser's own context, and when asked for no defaults, a tab in the
// background is hidden as a person's would be; hence our own start and CDP.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { chromium } from "playwright-core";

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

let running;

/** A context that shares nothing with another test's, closed when the test ends. */
export async function freshContext(t, options) {
  const { browser } = await browserStarted();
  const context = await browser.newContext(options);
  t.after(() => context.close());
  return context;
}

/** The browser's own context. Its tabs are hidden and shown as `bringToFront` says. */
export async function ownContext() {
  const { browser } = await browserStarted();
  return browser.contexts()[0];
}

/** Starts Chromium when it does not run yet. */
async function browserStarted() {
  running ??= start();
  return running;
}

async function start() {
  const started = await launch();
  const browser = await chromium.connectOverCDP(started.endpoint, { noDefaults: true });
  return { browser, ...started };
}

/**
 * A Chromium with nobody connected to it. It ends with this process at the latest.
 * @returns {Promise<{endpoint: string, end: () => Promise<void>}>} where its DevTools are, and how to end it
 */
export async function launch() {
  const profile = await mkdtemp(path.join(tmpdir(), "tokensocket-chromium-"));
  const stdio = ["ignore", "ignore", "pipe"];
  const program = spawn(PROGRAM, [...ARGUMENTS, `--user-data-dir=${profile}`, "about:blank"], { stdio });
  process.once("exit", () => program.kill());
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

/** Ends the Chromium, if one was started. */
export async function stopChromium() {
  const { browser, end } = (await running) ?? {};
  running = undefined;
  await browser?.close();
  await end?.();
}
