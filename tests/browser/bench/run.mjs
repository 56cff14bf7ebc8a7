// The figures: `npm run bench`. Prints markdown.
//
// One Chromium, and for calls and messages one page with all clients in it. The
// rounds are interleaved and each begins with another client, so that what
// drifts hits all alike; medians of them. Valid on a quiet machine only.

import { parseArgs } from "node:util";
import { installedPackage, removeInstalledPackage } from "../harness/package.mjs";
import { site } from "../harness/site.mjs";
import { measuredChromium } from "./devtools.mjs";
import { folders, pageAt, STARTING } from "./pages.mjs";
import * as servers from "./servers.mjs";
import { ourSizes, peerSizes } from "./sizes.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "9" },
    only: { type: "string", default: "sizes,start,speed,heap" },
  },
});
/** How often each is measured. */
const ROUNDS = Number(options.rounds);
const CALLS = 10_000;
const IN_FLIGHT = 64;
const SEQUENTIAL_CALLS = 1_000;
/** Less than what a server keeps for a page that reads slowly. */
const MESSAGES = 10_000;
const SOCKETS = 100;

const ends = [];
const owner = { after: (end) => ends.push(end) };
const wanted = new Set(options.only.split(","));

try {
  await print();
} finally {
  for (const end of ends.reverse()) {
    await end();
  }
  await removeInstalledPackage();
}

async function print() {
  const { package: ours, dist } = await installedPackage();
  if (wanted.has("sizes")) {
    printSizes({ ...(await ourSizes(dist)), ...(await peerSizes()) });
  }
  const served = await site(owner, folders(ours), { answer: pageAt });
  const [playground, socketIo, wire, original] = await Promise.all([
    servers.ours(owner),
    servers.socketIo(owner),
    servers.wire(owner),
    servers.original(owner),
  ]);
  /** What is compared: a client and the server it speaks to. */
  const pairs = {
    tokensocket: { client: "tokensocket", server: playground },
    "tokensocket, server on ws": { client: "tokensocket", server: wire },
    "socket.io-client": { client: "socket.io-client", server: socketIo },
    "original client, our server": { client: "original", server: playground },
    "original client and server": { client: "original", server: original },
    "no client, server on ws": { client: "none", server: wire },
  };
  const chromium = await measuredChromium(owner);
  console.log(`\n${await chromium.version()}, Node.js ${process.version}, medians of ${ROUNDS} interleaved rounds.`);
  if (wanted.has("start")) {
    await printStarts(chromium, served, { playground, socketIo });
  }
  if (wanted.has("speed")) {
    await printSpeeds(chromium, served, pairs);
  }
  if (wanted.has("heap")) {
    await printHeap(chromium, served, pairs);
  }
}

function printSizes(sizes) {
  table(["what a page must download", "gzip -9"], Object.entries(sizes).map(([name, bytes]) => [name, `${(bytes / 1000).toFixed(1)} KB`]));
}

async function printStarts(chromium, served, { playground, socketIo }) {
  const times = Object.fromEntries(STARTING.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of rotated(STARTING, round)) {
      const { origin } = name === "socket.io-client" ? socketIo : playground;
      const url = `${served.origin}/start/${encodeURIComponent(name)}?host=${encodeURIComponent(origin)}`;
      const page = await chromium.open(url);
      times[name].push(await page.run(() => started));
      await page.close();
    }
  }
  const reference = median(times["socket.io-client"]);
  table(
    ["from the page's first script to ready, nothing cached", "ms", "of socket.io-client"],
    Object.entries(times).map(([name, list]) => [name, median(list).toFixed(1), ratio(median(list), reference)]),
  );
}

async function printSpeeds(chromium, served, pairs) {
  const page = await chromium.open(`${served.origin}/all/`);
  const names = Object.keys(pairs);
  for (const name of names) {
    const { client, server } = pairs[name];
    const open = async (name, client, host, channel) => {
      globalThis.connections ??= {};
      connections[name] = await measures.open(client, host, channel);
    };
    await page.run(open, name, client, server.origin, name);
  }
  const measured = {
    [`calls, ${IN_FLIGHT} in flight`]: { count: CALLS, run: (name) => calls(page, name, CALLS, IN_FLIGHT) },
    "calls, one after the other": { count: SEQUENTIAL_CALLS, run: (name) => calls(page, name, SEQUENTIAL_CALLS, 1) },
    messages: { count: MESSAGES, run: (name) => messages(page, name, pairs[name].server) },
  };
  for (const [what, { count, run }] of Object.entries(measured)) {
    const rates = Object.fromEntries(names.map((name) => [name, []]));
    const busy = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = -1; round < ROUNDS; round += 1) {
      for (const name of rotated(names, round + 1)) {
        const before = await page.busy();
        const took = await run(name);
        const spent = (await page.busy()) - before;
        // The first round warms up.
        if (round >= 0) {
          rates[name].push((count / took) * 1000);
          busy[name].push((spent / count) * 1e6);
        }
      }
    }
    const [rate, cpu] = [rates, busy].map((all) => median(all["socket.io-client"]));
    table(
      [what, "per second", "of socket.io-client", "µs of CPU of the page's main thread each", "of socket.io-client"],
      names.map((name) => [
        name,
        Math.round(median(rates[name])).toLocaleString("en"),
        ratio(median(rates[name]), rate),
        median(busy[name]).toFixed(1),
        ratio(median(busy[name]), cpu),
      ]),
    );
  }
}

function calls(page, name, count, window) {
  const run = (name, count, window) => measures.calls(connections[name], count, window);
  return page.run(run, name, count, window);
}

async function messages(page, name, server) {
  await page.run((name, count) => void (globalThis.heard = measures.messages(connections[name], count)), name, MESSAGES);
  // A channel for each, so that no other client in the page hears of it.
  server.burst(name, MESSAGES);
  return page.run(() => heard);
}

async function printHeap(chromium, served, pairs) {
  const rows = [];
  for (const name of ["tokensocket", "socket.io-client", "original client, our server"]) {
    const { client, server } = pairs[name];
    const page = await chromium.open(`${served.origin}/alone/${client}`);
    const open = async (client, host, channel, count) => {
      globalThis.opened ??= [];
      for (let n = 0; n < count; n += 1) {
        opened.push(await measures.open(client, host, channel));
      }
    };
    const heap = async () => ({
      engine: await page.heap(),
      wasm: await page.run(() => (watched.instantiated ? watched.memory : 0)),
    });
    await page.run(open, client, server.origin, "bench", SOCKETS);
    const before = await heap();
    await page.run(open, client, server.origin, "bench", SOCKETS);
    const after = await heap();
    const each = (key) => Math.round((after[key] - before[key]) / SOCKETS).toLocaleString("en");
    rows.push([name, each("engine"), each("wasm"), `${Math.round(after.wasm / 1024)} KiB`]);
    await page.close();
  }
  table(
    [`bytes per socket, the second ${SOCKETS} of a page`, "engine's heap", "growth of the wasm memory", "wasm memory in all"],
    rows,
  );
}

function rotated(list, by) {
  const start = by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function ratio(value, reference) {
  return (value / reference).toFixed(2);
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  console.log(["", line(head), line(head.map((_, index) => (index === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n"));
}
