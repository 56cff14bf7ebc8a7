// The page of examples/browser/rust: the client's Rust face in a browser.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { freshContext } from "../harness/chromium.mjs";
import { playground } from "../harness/program.mjs";
import { site } from "../harness/site.mjs";

const folder = path.resolve(import.meta.dirname, "../../../examples/browser/rust");
const built = existsSync(path.join(folder, "pkg/page.js"));

// `cargo xtask test browser` builds it; there is nothing to see before.
test("a page written in Rust calls, is called, handles what is delivered, and comes back", { timeout: 60_000, skip: built ? false : "examples/browser/rust/pkg is not built" }, async (t) => {
  const server = await playground(t);
  const served = await site(t, { "/": folder });
  const page = await (await freshContext(t)).newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.stack));
  const says = (text) => page.getByRole("listitem").filter({ hasText: text }).first().waitFor();
  await page.goto(`${served.origin}/index.html?server=${server.origin}`);
  for (const line of [
    "ready",
    'echo answers {"sum":3}',
    "the server greets as Ada",
    'and was answered "Hello, Ada"',
    "delivered to 1 device",
    "order 7: 12.5",
    "1 of us here",
    'the history ends with "something happened"',
    "news: something happened",
  ]) {
    await says(line);
  }
  await server.restart();
  await says("disconnected: ");
  await says("reconnected: true");
  // The server began anew, and says so.
  await says("news: publications");
  assert.deepEqual(errors, []);
});
