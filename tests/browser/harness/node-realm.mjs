// The inside of a NodeRealm, see realm.mjs. In: which scenario to run, as JSON,
// and the test's replies over the process's channel. Out: one message with the
// outcome. It does not end the process: that the sockets let it end is tested.

import { pathToFileURL } from "node:url";
import { assert } from "chai";

const { entry, module, name, input } = JSON.parse(process.argv[2]);
const waiting = new Map();
let stages = 0;

function stage(stageName, detail) {
  stages += 1;
  const id = stages;
  process.send({ stage: id, name: stageName, detail });
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

process.on("message", ({ stage: id, result, error }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) {
    reject(new Error(error));
  } else {
    resolve(result);
  }
});

try {
  const exports = await import(pathToFileURL(entry));
  const scenarios = await import(pathToFileURL(module));
  const result = await scenarios[name]({ ...exports, assert, stage, ...input });
  process.send({ result }, () => process.disconnect());
} catch (error) {
  // Nothing says that a failed scenario has ended its sockets.
  process.send({ error: error.stack ?? String(error) }, () => process.exit(1));
}
