// The console that `tokensocket serve` serves, driven as a person would: fields
// by their labels, buttons by their names, and the keyboard. Pictures of it are
// left in artefacts, to be looked at.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";
import { freshContext } from "../harness/chromium.mjs";
import { gateway } from "../harness/program.mjs";

const limit = { timeout: 60_000 };
const artefacts = path.resolve(import.meta.dirname, "../artefacts");
const sources = path.resolve(import.meta.dirname, "../../../gateway/console");

/** A tab with the console, and what a person does and sees in it. */
class Console {
  /** What the browser complained about, but for a server that is not there. */
  complaints = [];

  constructor(page) {
    this.page = page;
    page.on("pageerror", (error) => this.complaints.push(error.stack));
    page.on("console", (message) => {
      const gone = /net::ERR_(CONNECTION|SOCKET|EMPTY)/.test(message.text());
      if (message.type() === "error" && !gone) this.complaints.push(message.text());
    });
  }

  /** Opens it. When the test ends, nothing must have been complained about. */
  static async opened(t, origin, { context, ...options } = {}) {
    const page = await (context ?? (await freshContext(t, { viewport: { width: 1360, height: 860 }, ...options }))).newPage();
    const opened = new Console(page);
    await page.goto(origin);
    await opened.is("ready");
    t.after(() => assert.deepEqual(opened.complaints, []));
    return opened;
  }

  field(label) {
    return this.page.getByLabel(label, { exact: true });
  }

  button(name, within = this.page) {
    return within.getByRole("button", { name });
  }

  panel(name) {
    return this.page.getByRole("region", { name: new RegExp(`^${name}`) });
  }

  list(name) {
    return this.page.getByRole("list", { name }).getByRole("listitem");
  }

  get answers() {
    return this.list("Calls and their answers, newest first");
  }

  get messages() {
    return this.list("Messages, newest first");
  }

  get called() {
    return this.list("Calls of this page's actions, newest first");
  }

  /** Waits for a state. */
  is(state) {
    return this.page.getByRole("status").filter({ hasText: new RegExp(`^${state}`) }).waitFor();
  }

  async call(action, data) {
    await this.field("Action").fill(action);
    await this.page.locator("#data").fill(data);
    await this.page.keyboard.press("Control+Enter");
  }

  /** The newest call's text, once it is over. */
  async answer() {
    await this.answers.and(this.page.locator(":first-child:not(.running):not(.nothing)")).waitFor();
    return this.answers.first().innerText();
  }

  async subscribe(channel) {
    await this.field("Subscribe").fill(channel);
    await this.page.keyboard.press("Enter");
    await this.button(`Unsubscribe from ${channel}`).waitFor();
    await this.page.locator("#channel-list .words", { hasText: "waiting" }).waitFor({ state: "detached" });
  }

  async publish(channel, message) {
    await this.field("Publish on").fill(channel);
    await this.page.locator("#message").fill(message);
    await this.button(/^Publish( Ctrl.*)?$/, this.panel("Channels")).click();
    await this.page.getByText(`published on ${channel}`).waitFor();
  }

  /** Leaves a picture of it. */
  picture(name, options) {
    return this.page.screenshot({ path: path.join(artefacts, `console-${name}.png`), ...options });
  }
}

describe("the console", () => {
  before(async () => {
    await mkdir(artefacts, { recursive: true });
    await writeFile(path.join(artefacts, ".gitignore"), "*\n");
  });

  test("connects by itself and measures the round trip", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.page.getByText(/^\d+(\.\d)? m?s · median .* · worst/).waitFor();
    assert.match(await tab.page.locator("#plot").getAttribute("aria-label"), /last minute: \d/);
  });

  test("connects as whom one says, with whatever else one says", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    const asked = tab.page.waitForRequest((request) => request.url().includes("user=grace"));
    await tab.page.getByText("More authentication").click();
    await tab.field("A JSON object, sent with the token request").fill('{"team": {"colour": "blue"}}');
    await tab.field("User").fill("grace");
    await tab.page.keyboard.press("Enter");
    assert.equal(new URL((await asked).url()).searchParams.get("team[colour]"), "blue");
    await tab.is("ready");
    await tab.call("whoami", "");
    assert.match(await tab.answer(), /"user": "grace"/);

    await tab.field("A JSON object, sent with the token request").fill("[1]");
    await tab.button("Connect anew").click();
    await tab.page.getByText("must be a JSON object").waitFor();
  });

  test("ends the connection, and says so to a call", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.button("Disconnect").click();
    await tab.is("not connected");
    await tab.call("echo", "1");
    assert.match(await tab.answer(), /press Connect/);
    await tab.button("Connect", tab.panel("Connection")).click();
    await tab.is("ready");
  });

  test("calls by the keyboard alone, and goes back to earlier calls", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    const { keyboard } = tab.page;
    await keyboard.press("c");
    await keyboard.press("Control+A");
    await keyboard.type("time");
    await keyboard.press("Tab");
    await tab.page.locator("#suggestions button").last().focus();
    await keyboard.press("Tab");
    await keyboard.press("Control+A");
    await keyboard.press("Delete");
    await keyboard.press("Control+Enter");
    assert.match(await tab.answer(), /time[^]*ms[^]*"\d{4}-\d\d-\d\dT/);

    await tab.call("echo", '{"a":1}');
    assert.match(await tab.answer(), /"a": 1/);
    await keyboard.press("ArrowUp");
    assert.equal(await tab.field("Action").inputValue(), "time");
    await keyboard.press("ArrowDown");
    assert.equal(await tab.field("Action").inputValue(), "echo");
    assert.equal(await tab.page.locator("#data").inputValue(), '{"a":1}');
  });

  test("offers the server's actions", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.button("whoami", tab.panel("Call$")).click();
    await tab.page.keyboard.press("Control+Enter");
    assert.match(await tab.answer(), /"channels": \[\]/);
  });

  test("refuses JSON that is none, while one types and where it stops being it", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    const data = tab.page.locator("#data");
    for (const [text, words] of [
      ['{"a": 1 "b": 2}', "line 1, column 9: a comma is missing"],
      ['{\n  "a": [1,]\n}', "line 2, column 11: a value is missing"],
      ["{a: 1}", "line 1, column 2: texts and names need double quotes"],
      ['{"a": "b', "line 1, column 7: the closing double quote is missing"],
    ]) {
      await data.fill(text);
      await tab.panel("Call$").getByText(words).waitFor();
      assert.equal(await data.getAttribute("aria-invalid"), "true");
    }
    await tab.page.keyboard.press("Control+Enter");
    assert.equal(await data.evaluate((area) => area.selectionStart), 6);
    await tab.answers.getByText("Nothing called yet").waitFor();

    await data.fill('{"a": "b"}');
    assert.equal(await data.getAttribute("aria-invalid"), "false");
    await tab.page.keyboard.press("Control+Enter");
    assert.match(await tab.answer(), /"a": "b"/);
  });

  test("says an error's code and what to do next", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.call("nonsense", "1");
    assert.match(await tab.answer(), /Function not found not_found[^]*Choose one of the names/);
    await tab.call("sockets.offer", '{"actions": 1}');
    assert.match(await tab.answer(), /bad_request[^]*shape[^]*expected/);
  });

  test("cancels a call, down to the page that was asked", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    const question = tab.page.getByRole("alertdialog");
    await tab.call("sockets.call", '{"action": "confirm", "data": "Really?"}');
    await question.waitFor();
    await tab.page.keyboard.press("Escape");
    assert.match(await tab.answer(), /cancelled/);
    await question.waitFor({ state: "detached" });
    await tab.called.getByText("nobody waits any more").waitFor();
  });

  test("is called by the server, and answers by a key", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.button("Call greet on this tab").click();
    assert.match(await tab.answer(), /Hello you/);
    await tab.button("Call notify on this tab").click();
    await tab.page.getByRole("region", { name: "What the server says" }).getByText("It works").waitFor();
    await tab.button("Call confirm on this tab").click();
    await tab.page.getByRole("alertdialog", { name: /Shall we/ }).waitFor();
    await tab.page.keyboard.press("y");
    assert.match(await tab.answer(), /true/);
    assert.equal(await tab.called.count(), 3);
  });

  test("one tab shows what another publishes and broadcasts", limit, async (t) => {
    const server = await gateway(t);
    const [reader, writer] = [await Console.opened(t, server.origin), await Console.opened(t, server.origin)];
    await reader.subscribe("news");
    await reader.subscribe("weather");
    await writer.publish("news", '{"title": "It works"}');
    await reader.messages.getByText('{"title":"It works"}').waitFor();
    await writer.page.locator("#message").fill('"to all"');
    await writer.button("Broadcast to all channels").click();
    await writer.page.getByText("broadcast to every channel").waitFor();
    await reader.messages.filter({ hasText: "to all" }).nth(1).waitFor();
    const counts = await reader.page.locator("#channel-list .count").allInnerTexts();
    assert.deepEqual(counts, ["2", "1"]);

    await reader.button("Unsubscribe from news").click();
    await writer.publish("news", "2");
    await writer.publish("weather", "3");
    await reader.messages.getByText("3", { exact: true }).waitFor();
    assert.equal(await reader.messages.count(), 4);
  });

  test("shows who is on a channel and what was kept of it, as it changes", limit, async (t) => {
    const server = await gateway(t);
    const writer = await Console.opened(t, server.origin);
    await writer.publish("news", '"before"');
    const reader = await Console.opened(t, server.origin);
    await reader.subscribe("news");
    await reader.page.getByText("Who is here, and what is kept").click();
    await reader.page.getByText("1 connection of 1 user").waitFor();
    const kept = reader.list("What the server kept of news, newest first");
    await kept.first().getByText('"before"').waitFor();
    await writer.subscribe("news");
    await reader.page.getByText("2 connections of").waitFor();
    await writer.publish("news", '"after"');
    await kept.first().getByText('"after"').waitFor();
    assert.equal(await kept.count(), 2);
  });

  test("pauses and filters its messages, and keeps the last 500", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.subscribe("news");
    await tab.publish("news", '"one"');
    await tab.publish("news", '"two"');
    await tab.messages.nth(1).waitFor();
    await tab.field("Show only messages that contain").fill("ONE");
    await tab.messages.nth(1).waitFor({ state: "detached" });
    assert.match(await tab.messages.first().innerText(), /"one"/);
    await tab.field("Show only messages that contain").fill("");
    await tab.messages.nth(1).waitFor();

    await tab.button("Pause").click();
    await tab.publish("news", '"three"');
    await tab.panel("Messages").getByText("1 while paused").waitFor();
    assert.equal(await tab.messages.count(), 2);
    await tab.button("Go on").click();
    await tab.messages.getByText('"three"').waitFor();

    await tab.page.evaluate(async () => {
      const { TokenSocket } = await import("/console/tokensocket.mjs");
      const socket = new TokenSocket();
      await Promise.all(Array.from({ length: 600 }, (_, number) => socket.publish("news", number)));
      await socket.end();
    });
    await tab.messages.getByText("599", { exact: true }).waitFor();
    assert.equal(await tab.messages.count(), 500);
    await tab.panel("Messages").getByText("500 of 603").waitFor();
  });

  test("a channel that is none is refused with a reason", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.field("Subscribe").fill("___all___");
    await tab.page.keyboard.press("Enter");
    await tab.panel("Channels").getByText(/\((forbidden|bad_request)\)/).waitFor();
  });

  test("two tabs see each other and call each other", limit, async (t) => {
    const server = await gateway(t);
    const [one, two] = [await Console.opened(t, server.origin), await Console.opened(t, server.origin)];
    await two.field("User").fill("second");
    await two.page.keyboard.press("Enter");
    await one.button("Call confirm on second").click();
    await two.page.getByRole("alertdialog").waitFor();
    await two.button(/^No$/).click();
    assert.match(await one.answer(), /false/);

    await two.field("Let others call this tab").uncheck();
    await one.button("Call confirm on second").waitFor({ state: "detached" });
    await two.field("Let others call this tab").check();
    await one.button("Call confirm on second").waitFor();
    await two.page.close();
    await one.button("Call confirm on second").waitFor({ state: "detached" });
  });

  test("says that the server is gone, and comes back by itself with its channels", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    await tab.subscribe("news");
    await server.stop();
    await tab.is("reconnecting");
    await tab.panel("Connection").getByText("See that the server runs").waitFor();
    await server.start();
    await tab.is("ready");
    await tab.page.getByText("1 ×").waitFor();
    await tab.publish("news", '"again"');
    await tab.messages.getByText('"again"').waitFor();
  });

  test("keys do nothing while one types, nor when they are switched off", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin);
    const theme = () => tab.page.locator("html").getAttribute("data-theme");
    await tab.page.keyboard.press("t");
    assert.equal(await theme(), "light");
    await tab.field("Filter", { exact: false }).or(tab.field("Show only messages that contain")).focus();
    await tab.page.keyboard.press("t");
    assert.equal(await theme(), "light");

    await tab.page.locator("body").click({ position: { x: 2, y: 300 } });
    await tab.page.keyboard.press("?");
    await tab.field("Single keys do something").uncheck();
    await tab.page.keyboard.press("Escape");
    await tab.page.keyboard.press("t");
    assert.equal(await theme(), "light");
    await tab.page.reload();
    await tab.is("ready");
    assert.equal(await theme(), "light");
  });

  test("everything that can be used has a name, and all fits on a phone", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await tab.subscribe("a-channel-with-a-rather-long-name-that-goes-on-and-on");
    await tab.publish("a-channel-with-a-rather-long-name-that-goes-on-and-on", JSON.stringify("x".repeat(300)));
    await tab.call("echo", JSON.stringify({ ["y".repeat(200)]: "z".repeat(400) }));
    await tab.answer();
    const width = await tab.page.evaluate(() => document.scrollingElement.scrollWidth);
    assert.equal(width, 360);
    const nameless = await tab.page.locator("button, input, textarea, select, a").evaluateAll((all) =>
      all.filter((one) => !(one.labels?.length || one.getAttribute("aria-label") || one.innerText.trim() || one.hidden)).map((one) => one.outerHTML),
    );
    assert.deepEqual(nameless, []);
  });

  test("its files are what the sources build, and compressed the same as plain", limit, async (t) => {
    const server = await gateway(t);
    await promisify(execFile)("npm", ["run", "check"], { cwd: sources });
    const { request } = await freshContext(t);
    for (const name of ["console.js", "console.css", "tokensocket.mjs", "tokensocket_bg.wasm", "fallback.mjs"]) {
      const plain = await (await fetch(`${server.origin}/console/${name}`, { headers: { "accept-encoding": "identity" } })).arrayBuffer();
      const gzip = await request.get(`${server.origin}/console/${name}.gz`);
      assert.equal(gzip.status(), 404);
      const same = await (await fetch(`${server.origin}/console/${name}`, { headers: { "accept-encoding": "gzip" } })).arrayBuffer();
      assert.deepEqual(Buffer.from(same), Buffer.from(plain), name);
    }
  });

  test("leaves pictures of itself", limit, async (t) => {
    const server = await gateway(t);
    const tab = await Console.opened(t, server.origin, { colorScheme: "light" });
    const phone = await Console.opened(t, server.origin, {
      viewport: { width: 360, height: 740 },
      deviceScaleFactor: 2,
      hasTouch: true,
      isMobile: true,
      colorScheme: "dark",
    });
    await phone.field("User").fill("grace");
    await phone.button("Connect anew").click();
    await tab.subscribe("news");
    await tab.subscribe("weather");
    await tab.publish("weather", '"rain"');
    await tab.publish("news", '{"title": "It works", "by": "ada", "tags": ["rust", "wasm"]}');
    await tab.messages.first().click();
    await tab.call("nonsense", "");
    await tab.answer();
    await tab.call("echo", '{"hello": "world", "list": [1, 2.5, true, null]}');
    await tab.answer();
    await tab.button("Call greet on this tab").click();
    await tab.answer();
    await tab.button("Call confirm on grace").click();
    await phone.page.getByRole("alertdialog").waitFor();
    await phone.page.evaluate(() => scrollTo(0, 0));
    await phone.picture("phone");
    await tab.page.locator("#data").fill('{"a": 1 "b": 2}');
    // Some seconds of the plot.
    await tab.page.waitForFunction(() => document.querySelectorAll("#plot canvas").length > 0 && performance.now() > 9_000);
    await tab.picture("light");
    await tab.page.emulateMedia({ colorScheme: "dark" });
    await tab.picture("dark");
    await phone.button(/^Yes$/).click();
    assert.match(await tab.answer(), /true/);
  });
});
