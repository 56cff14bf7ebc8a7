// The Chromium that all tests of one process share. Out: a fresh context for each
// test, or, where a test needs tabs that can be hidden, the browser's own context.
//
// Playwright makes each of its pages believe that it is the visible one. Only
// in the browser's own context, and when asked for no defaults, a tab in the
// background is hidden as a person's would be; hence our own start and CDP.

import { after } from "node:test";
import { chromium } from "playwright-core";
import { launch } from "./launch.mjs";

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

after(async () => {
  const { browser, end } = (await running) ?? {};
  try {
    await browser?.close();
  } finally {
    await end?.();
  }
});

// Node.js has been seen to hang while it tears itself down, which happens after this, with bundlers and without: so leave
// without that. The runner has set the exit status by now, since it listened first.
process.on("exit", () => process.exit());
// What a suite that took too long is ended with. Nothing would be ended with it.
process.once("SIGTERM", () => process.exit(1));
