// Where a scenario runs: a page that has loaded one of the package's entries,
// or a Node.js process that has imported it. In: the entry, a scenario's name,
// its input, and what the test does at the stages that the scenario announces.
// Out: what the scenario returns, or its failure. A realm also fails its test
// when an error in it was caught by nobody.
//
// A scenario is a function of scenarios/*.mjs: it is given the entry's exports,
// chai's `assert`, its input and `stage(name)`, which resolves once the test has
// done what that stage asks for.

import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { freshContext } from "./chromium.mjs";
import { installedPackage } from "./package.mjs";
import { site } from "./site.mjs";

/** The entries that a page can load. */
export const PAGE_ENTRIES = ["esm", "inline", "iife"];
/** All entries of the package. */
export const ENTRIES = [...PAGE_ENTRIES, "node"];
/** The transports of an entry but for the WebSocket. There is no EventSource in Node.js. */
export const transportsIn = (entry) => ["xhr-streaming", "xhr-polling", ...(entry === "node" ? [] : ["eventsource"])];

const here = path.resolve(import.meta.dirname, "..");

/** The web server of the suites' pages, with the package under test in it. */
export async function packageSite(t, differently) {
  const { package: folder } = await installedPackage();
  const folders = {
    "/package/": folder,
    "/pages/": path.join(here, "pages"),
    "/scenarios/": path.join(here, "scenarios"),
    "/chai/": path.join(here, "node_modules", "chai"),
  };
  return site(t, folders, differently);
}

/**
 * A realm with `entry` loaded.
 * @param {object} [differently] what the web server of a page says differently, see site.mjs, and
 * @param {(context) => Promise<void>} [differently.prepare] what is to be done before the page is opened
 */
export async function realm(t, entry, { prepare, ...differently } = {}) {
  if (entry === "node") {
    return new NodeRealm(t);
  }
  const context = await freshContext(t);
  await prepare?.(context);
  const served = await packageSite(t, differently);
  return PageRealm.opened(t, context, `${served.origin}/pages/${entry}.html`);
}

/** A context of its own, in which pages can be opened that keep things for each other. */
export async function visitor(t, differently) {
  const context = await freshContext(t);
  const served = await packageSite(t, differently);
  const open = () => PageRealm.opened(t, context, `${served.origin}/pages/esm.html`);
  return { context, served, open };
}

/** A scenario's realm that is a page. */
export class PageRealm {
  /** Playwright's page. */
  page;
  /** Errors that nobody in the page caught; a test that expects one empties it. */
  uncaught = [];
  #stages = {};
  #scenarios;

  /** Opens `url` in a new page of `context`; the scenarios are at `origin`, by default the page's own. */
  static async opened(t, context, url, { origin = new URL(url).origin } = {}) {
    const realm = new PageRealm();
    realm.#scenarios = origin;
    realm.page = await context.newPage();
    realm.page.on("pageerror", (error) => realm.uncaught.push(error));
    await realm.page.exposeFunction("stage", (name, detail) => performed(realm.#stages, name, detail));
    await realm.page.goto(url);
    t.after(() => realm.#expectNothingUncaught());
    return realm;
  }

  /** Runs one scenario to its end. */
  run(file, name, input = {}, stages = {}) {
    this.#stages = stages;
    return this.page.evaluate(
      async ([origin, file, name, input]) => {
        const entry = await globalThis.entry;
        const { assert } = await import(`${origin}/chai/index.js`);
        const scenarios = await import(`${origin}/scenarios/${file}`);
        return scenarios[name]({ ...entry, assert, stage: globalThis.stage, ...input });
      },
      [this.#scenarios, file, name, input],
    );
  }

  /** Resolves once what the page has reported so far has been heard. */
  async settled() {
    const last = this.page.waitForEvent("console", (message) => message.text() === "settled");
    await this.page.evaluate(() => setTimeout(() => console.debug("settled")));
    await last;
  }

  #expectNothingUncaught() {
    if (this.uncaught.length > 0) {
      throw new Error(`the page has errors that nobody caught: ${this.uncaught.map((error) => error.stack)}`);
    }
  }
}

/** A scenario's realm that is a process of Node.js. It must end by itself. */
class NodeRealm {
  constructor(t) {
    this.t = t;
    this.uncaught = [];
  }

  async run(file, name, input = {}, stages = {}) {
    const { entry } = await installedPackage();
    const scenario = JSON.stringify({ entry, module: path.join(here, "scenarios", file), name, input });
    const program = spawn(process.execPath, [path.join(here, "harness", "node-realm.mjs"), scenario], {
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    });
    this.t.after(() => program.kill());
    let outcome;
    let said = "";
    program.stderr.setEncoding("utf8").on("data", (text) => (said += text));
    program.on("message", (message) => {
      if (message.stage !== undefined) {
        const answer = (reply) => program.connected && program.send({ stage: message.stage, ...reply });
        performed(stages, message.name, message.detail).then(
          (result) => answer({ result }),
          (error) => answer({ error: error.message }),
        );
      } else {
        outcome = message;
      }
    });
    const [status] = await once(program, "close");
    if (outcome?.error) {
      throw new Error(outcome.error);
    }
    if (status !== 0 || !outcome) {
      throw new Error(`the process ended with status ${status}: ${said}`);
    }
    return outcome.result;
  }
}

async function performed(stages, name, detail) {
  if (!Object.hasOwn(stages, name)) {
    throw new Error(`the test has no stage "${name}"`);
  }
  return stages[name](detail);
}
