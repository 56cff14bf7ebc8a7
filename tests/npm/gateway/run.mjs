// Runs scenarios with unmodified Socket.IO clients against a gateway. In: names,
// generations, transports, and where gateway and site are, see USAGE. Out: one
// line for each run on stdout; the exit status is 0 when all passed, 1 when one
// failed, 2 when the arguments are wrong. A scenario may ask whoever started this
// for something: a line `ask WHAT` goes out, and the next line that comes in is
// the answer.

import readline from "node:readline";
import { parseArgs } from "node:util";
import { GENERATIONS, TRANSPORTS } from "./client.mjs";
import * as connect from "./scenarios/connect.mjs";
import * as deliver from "./scenarios/deliver.mjs";
import * as distance from "./scenarios/distance.mjs";
import * as everybody from "./scenarios/everybody.mjs";
import * as heartbeat from "./scenarios/heartbeat.mjs";
import * as nodes from "./scenarios/nodes.mjs";
import * as queue from "./scenarios/queue.mjs";
import * as reload from "./scenarios/reload.mjs";
import * as restart from "./scenarios/restart.mjs";
import * as send from "./scenarios/send.mjs";
import * as sites from "./scenarios/sites.mjs";
import * as tokens from "./scenarios/tokens.mjs";
import { waiting } from "./waiting.mjs";
import { World } from "./world.mjs";

const scenarios = { ...connect, ...send, ...deliver, ...queue, ...sites };
// These want something of whoever starts them, and are run by name only.
const apart = { ...distance, ...nodes, ...reload, ...restart, ...everybody, ...heartbeat, ...tokens };

const USAGE = `usage: node run.mjs SCENARIO...|all --gateway URL --site URL [options]
       node run.mjs --list

  --other URL        another gateway that shares everything with the first
  --clients A,B      generations, of ${Object.keys(GENERATIONS).join(", ")} (default all)
  --transports A,B   of ${Object.keys(TRANSPORTS).join(", ")} (default all)
  --skip A,B         report these scenarios as skipped
  --parallel N       runs at once (default 16)
  --limit S          seconds for one run (default 120)`;

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      gateway: { type: "string" },
      site: { type: "string" },
      other: { type: "string" },
      clients: { type: "string", default: Object.keys(GENERATIONS).join() },
      transports: { type: "string", default: Object.keys(TRANSPORTS).join() },
      skip: { type: "string", default: "" },
      parallel: { type: "string", default: "16" },
      limit: { type: "string", default: "120" },
      list: { type: "boolean", default: false },
    },
  });
  if (values.list) return values;
  const words = (text) => text.split(",").filter((word) => word !== "");
  const names = positionals.includes("all") ? Object.keys(scenarios) : positionals;
  const clients = words(values.clients).sort();
  const [transports, skipped] = [words(values.transports), words(values.skip)];
  const known = { ...scenarios, ...apart };
  const unknown = [...names, ...skipped].filter((name) => !Object.hasOwn(known, name));
  unknown.push(...clients.filter((name) => !Object.hasOwn(GENERATIONS, name)));
  unknown.push(...transports.filter((name) => !Object.hasOwn(TRANSPORTS, name)));
  if (unknown.length > 0) throw new Error(`there is no ${unknown.join(", ")}`);
  if (names.length === 0 || !values.gateway || !values.site) throw new Error("name scenarios, --gateway and --site");
  return { ...values, names, clients, transports, skipped };
}

let answers;
let lastAsk = Promise.resolve();

/** Asks whoever started this, one question at a time. */
function ask(what) {
  lastAsk = lastAsk.then(async () => {
    answers ??= readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    console.log(`ask ${what}`);
    return (await waiting(`an answer to ${what}`, answers.next(), 60_000)).value;
  });
  return lastAsk;
}

/** One line for one failure, whatever was thrown. */
function reason(error) {
  const place = /([^/\\(]+\.[cm]?js:\d+)/.exec(error?.stack?.split("\n").find((line) => line.includes("scenarios/")))?.[1];
  return `${String(error?.message ?? error)} (${place ?? "unknown place"})`.replace(/\s*\n\s*/g, " | ");
}

async function main() {
  let options;
  try {
    options = readArguments();
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options.list) {
    console.log(Object.keys(scenarios).join("\n"));
    return 0;
  }
  const runs = [];
  for (const name of options.names) {
    for (const generation of options.clients) {
      for (const transport of options.transports) runs.push({ name, generation, transport });
    }
  }
  const count = { passed: 0, failed: 0, skipped: 0 };
  const perform = async ({ name, generation, transport }) => {
    const title = `${name} [${generation} ${transport}]`;
    const scenario = scenarios[name] ?? apart[name];
    const why = options.skipped.includes(name) ? "as told" : scenario.not?.(generation, transport);
    if (why) {
      count.skipped += 1;
      console.log(`ok ${title} # skip: ${why}`);
      return;
    }
    const world = new World({ generation, transport, gateway: options.gateway, other: options.other, site: options.site, ask });
    try {
      await waiting("the scenario to end", scenario(world), Number(options.limit) * 1000);
      count.passed += 1;
      console.log(`ok ${title}`);
    } catch (error) {
      count.failed += 1;
      console.log(`not ok ${title}: ${reason(error)}`);
    } finally {
      world.stop();
    }
  };
  const lanes = Array.from({ length: Number(options.parallel) }, async () => {
    for (let run = runs.shift(); run; run = runs.shift()) await perform(run);
  });
  await Promise.all(lanes);
  console.log(`# ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed === 0 ? 0 : 1;
}

main().then((status) => process.exit(status));
