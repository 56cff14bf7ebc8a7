// Runs the suites, each in a process of its own with a Chromium of its own, some
// at a time. In: names of suites as arguments, or none for all. Out: the
// reporter's lines, suite by suite; the exit status is not 0 when a test failed.
//
//     node run.mjs [SUITE...]

import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { installedPackage, removeInstalledPackage } from "./harness/package.mjs";

/** How many suites run at a time for each core: most of a test is waiting. */
const AT_ONCE = 2;
/** What takes longest, so that it does not begin last. */
const FIRST = ["transports", "memory", "api", "history", "console", "reconnecting", "transports-api"];
/** They look at the clock, or try many things at a time themselves. */
const ALONE = ["fallback", "hints", "fallback-kept", "sockjs", "nginx", "original"];

/** Milliseconds after which a suite has failed, whatever keeps it from its end. */
const LIMIT = 900_000;

const ENDING = ".test.mjs";
const folder = path.join(import.meta.dirname, "suites");
const files = (await readdir(folder)).filter((file) => file.endsWith(ENDING)).sort();
const all = files.map((file) => file.slice(0, -ENDING.length));
const named = process.argv.slice(2);
for (const name of [...named, ...FIRST, ...ALONE]) {
  if (!all.includes(name)) {
    throw new Error(`no such suite: ${name}; there are ${all.join(", ")}`);
  }
}
const wanted = (name) => named.length === 0 || named.includes(name);
const alone = ALONE.filter(wanted);
const others = [...new Set([...FIRST, ...all])].filter((name) => wanted(name) && !alone.includes(name));

const file = (name) => path.join(folder, name + ENDING);
/** What happens in suites, of which so many run at a time. */
const events = (suites, concurrency) =>
  suites.length === 0 ? [] : run({ files: suites.map(file), concurrency, timeout: LIMIT });

async function* everything() {
  yield* events(others, AT_ONCE * availableParallelism());
  yield* events(alone, 1);
}

// Installed once, for all of them.
process.env.TOKENSOCKET_INSTALLED = (await installedPackage()).folder;
let failed = false;
const heard = Readable.from(everything()).on("data", ({ type }) => (failed ||= type === "test:fail"));
await heard.compose(new spec()).forEach((text) => void process.stdout.write(text));
await removeInstalledPackage();
process.exitCode = failed ? 1 : 0;
