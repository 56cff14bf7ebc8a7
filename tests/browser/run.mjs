// Runs the suites in one process, so that all share one Chromium. In: names of
// suites as arguments, or none for all. Out: the reporter's lines; the exit
// status is not 0 when a test failed.
//
//     node --test-reporter=spec run.mjs [SUITE...]

import { readdir } from "node:fs/promises";
import path from "node:path";
import { after } from "node:test";
import { stopChromium } from "./harness/chromium.mjs";
import { removeInstalledPackage } from "./harness/package.mjs";

const ENDING = ".test.mjs";
const folder = path.join(import.meta.dirname, "suites");
const wanted = process.argv.slice(2);
const files = (await readdir(folder)).filter((file) => file.endsWith(ENDING)).sort();
const unknown = wanted.filter((name) => !files.includes(name + ENDING));
if (unknown.length > 0) {
  throw new Error(`no such suite: ${unknown.join(", ")}; there are ${files.map((file) => file.slice(0, -ENDING.length)).join(", ")}`);
}
for (const file of files) {
  if (wanted.length === 0 || wanted.includes(file.slice(0, -ENDING.length))) {
    await import(path.join(folder, file));
  }
}

after(stopChromium);
after(removeInstalledPackage);

// A bundler's native part can keep Node.js from ever tearing itself down, which happens after this: so leave
// without that. The runner has set the exit status by now, since it listened first.
process.on("exit", () => process.exit());
