"use strict";

// Runs the unmodified token-sockjs-client against a server that speaks like our
// `playground` example. In: scenario names and the server's address, see USAGE.
// Out: one line for each scenario on stdout; the exit status is 0 when all
// passed, 1 when one failed, 2 when the arguments are wrong.

const { randomUUID } = require("node:crypto");
const { parseArgs } = require("node:util");
const { Peer } = require("./peer.cjs");
const { takeAwaited } = require("./record.cjs");
const scenarios = require("./scenarios.cjs");

const USAGE = `usage: node original-client.cjs SCENARIO... --port N [options]
       node original-client.cjs all --port N [--skip A,B] [options]
       node original-client.cjs --list

  --host HOST            without a scheme (default 127.0.0.1)
  --port N               where the server listens
  --token-path PATH      default /socket/token
  --socket-prefix PATH   default /sockets
  --skip A,B             report these scenarios as skipped
  --settle ACTION        call this action after each subscribe, for a server
                         whose subscriptions hold only once it has answered
  --scenario-limit S     seconds for one scenario (default 15)
  --limit S              seconds for all of them (default 120)`;

/** Ends a scenario that still waits when its time is over. */
class TimeLimit extends Error {}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      host: { type: "string", default: "127.0.0.1" },
      port: { type: "string" },
      "token-path": { type: "string", default: "/socket/token" },
      "socket-prefix": { type: "string", default: "/sockets" },
      skip: { type: "string", default: "" },
      settle: { type: "string" },
      "scenario-limit": { type: "string", default: "15" },
      limit: { type: "string", default: "120" },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const names = positionals.includes("all") ? Object.keys(scenarios) : positionals;
  const skipped = values.skip.split(",").filter((name) => name !== "");
  const unknown = [...names, ...skipped].filter((name) => !Object.hasOwn(scenarios, name));
  if (unknown.length > 0) {
    throw new Error(`no such scenario: ${unknown.join(", ")}; --list names them all`);
  }
  if (values.help || values.list) {
    return values;
  }
  if (names.length === 0) {
    throw new Error("name a scenario, or all");
  }
  for (const name of ["port", "limit", "scenario-limit"]) {
    if (!(Number(values[name]) > 0)) {
      throw new Error(`--${name} must be a number above 0`);
    }
  }
  return { ...values, names, skipped };
}

/** Runs one scenario; whatever it opened is stopped afterwards. */
async function run(name, server, seconds) {
  takeAwaited();
  const peers = [];
  const open = (options, actions) => {
    const peer = new Peer(server, options, actions);
    peers.push(peer);
    return peer;
  };
  const connect = async (options, actions) => {
    const peer = open(options, actions);
    await peer.ready();
    return peer;
  };
  const perform = async () => {
    await scenarios[name]({ open, connect, channel: `${name} ${randomUUID()}` });
    await Promise.all(peers.map((peer) => peer.expectSingleAnswers()));
  };
  let watch;
  let crashed;
  const cutShort = new Promise((_, reject) => {
    // The client throws from its event handlers, where no caller can catch it.
    crashed = reject;
    process.on("uncaughtException", crashed);
    watch = setTimeout(() => reject(new TimeLimit()), seconds * 1000);
  });
  try {
    await Promise.race([perform(), cutShort]);
  } finally {
    clearTimeout(watch);
    for (const peer of peers) {
      peer.stop();
    }
    process.off("uncaughtException", crashed);
  }
}

/** One line for one failure, whatever was thrown. */
function reason(error) {
  if (error instanceof TimeLimit) {
    return `out of time, waiting for ${takeAwaited()}`;
  }
  const place = /([^/\\(]+\.[cm]?js:\d+)/.exec(error?.stack)?.[1] ?? "unknown place";
  return `${String(error?.message ?? error)} (${place})`.replace(/\s*\n\s*/g, " | ");
}

async function runAll({ names, skipped, ...options }) {
  const server = {
    host: options.host,
    port: Number(options.port),
    tokenPath: options["token-path"],
    socketPrefix: options["socket-prefix"],
    settle: options.settle,
  };
  const deadline = performance.now() + Number(options.limit) * 1000;
  const count = { passed: 0, failed: 0, skipped: 0 };
  for (const name of names) {
    if (skipped.includes(name)) {
      count.skipped += 1;
      console.log(`ok ${name} # skip`);
      continue;
    }
    const left = (deadline - performance.now()) / 1000;
    try {
      await run(name, server, Math.max(0, Math.min(left, Number(options["scenario-limit"]))));
      count.passed += 1;
      console.log(`ok ${name}`);
    } catch (error) {
      count.failed += 1;
      console.log(`not ok ${name}: ${reason(error)}`);
    }
  }
  console.log(`# ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed === 0 ? 0 : 1;
}

async function main() {
  let options;
  try {
    options = readArguments();
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options.help || options.list) {
    console.log(options.help ? USAGE : Object.keys(scenarios).join("\n"));
    return 0;
  }
  return runAll(options);
}

main().then((status) => process.exit(status));
