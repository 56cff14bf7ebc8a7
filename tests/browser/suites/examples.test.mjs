// The pages of examples/browser, as their README says to open them.

import assert from "node:assert/strict";
import path from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { createServer } from "vite";
import { freshContext } from "../harness/chromium.mjs";
import { gateway } from "../harness/program.mjs";

const limit = { timeout: 60_000 };
const examples = path.resolve(import.meta.dirname, "../../../examples/browser");

/** Opens a page; when the test ends, it must not have complained, but for an icon or a server that is gone. */
async function opened(t, url) {
  const page = await (await freshContext(t)).newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("console", (message) => {
    const expected = message.location().url.endsWith("/favicon.ico") || /net::ERR_/.test(message.text());
    if (message.type() === "error" && !expected) complaints.push(message.text());
  });
  t.after(() => assert.deepEqual(complaints, []));
  await page.goto(url);
  return page;
}

/** One page publishes, another shows it. */
async function newsSpreads(writer, reader) {
  for (const page of [writer, reader]) {
    await page.getByText("ready").waitFor();
  }
  await writer.getByLabel("News").fill("It works");
  await writer.getByRole("button", { name: "Publish" }).click();
  await reader.getByRole("listitem").filter({ hasText: "It works" }).waitFor();
}

describe("the examples for browsers", () => {
  test("one file, opened from the disk", limit, async (t) => {
    const server = await gateway(t);
    const url = `${pathToFileURL(path.join(examples, "index.html"))}?host=${encodeURIComponent(server.origin)}`;
    const reader = await opened(t, url);
    const greeted = reader.waitForEvent("console", (message) => message.text() === "hello ada, this is a page");
    await newsSpreads(await opened(t, url), reader);
    await greeted;
  });

  test("Vite and TypeScript, with Vite's own server", limit, async (t) => {
    const server = await gateway(t);
    process.env.TOKENSOCKET = server.origin;
    const vite = await createServer({
      root: path.join(examples, "vite"),
      logLevel: "error",
      server: { host: "127.0.0.1", port: 0 },
    });
    t.after(() => vite.close());
    await vite.listen();
    const url = `http://127.0.0.1:${vite.httpServer.address().port}/`;
    const reader = await opened(t, url);
    await newsSpreads(await opened(t, url), reader);
    await reader.getByRole("button", { name: "Be greeted" }).click();
    await reader.getByText("hello grace, this is a page at").waitFor();
  });
});
