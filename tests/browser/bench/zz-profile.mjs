import { writeFileSync } from "node:fs";
import { installedPackage, removeInstalledPackage } from "../harness/package.mjs";
import { site } from "../harness/site.mjs";
import { measuredChromium } from "./devtools.mjs";
import { folders, pageAt } from "./pages.mjs";
import * as servers from "./servers.mjs";
const ends = []; const owner = { after: (e) => ends.push(e) };
try {
  const { package: ours } = await installedPackage();
  const served = await site(owner, folders(ours), { answer: pageAt });
  const [socketIo, wire] = await Promise.all([servers.socketIo(owner), servers.wire(owner)]);
  const chromium = await measuredChromium(owner);
  const page = await chromium.open(`${served.origin}/all/`);
  for (const [name, server] of [["tokensocket", wire], ["socket.io-client", socketIo]]) {
    await page.run(async (client, host, channel) => { globalThis.connections ??= {}; connections[client] = await measures.open(client, host, channel); }, name, server.origin, servers.CHANNEL);
    const burst = async () => { await page.run((name, count) => void (globalThis.heard = measures.messages(connections[name], count)), name, 20000); server.burst(20000); return page.run(() => heard); };
    await burst();
    await page.send("Profiler.enable"); await page.send("Profiler.setSamplingInterval", { interval: 100 });
    await page.send("Profiler.start");
    const took = await burst(); 
    const { profile } = await page.send("Profiler.stop");
    await page.send("Profiler.disable");
    const self = new Map(); const byId = new Map(profile.nodes.map((n) => [n.id, n]));
    profile.samples.forEach((id, i) => { const n = byId.get(id).callFrame; const k = `${n.functionName || "(anon)"} ${n.url.split("/").pop()}:${n.lineNumber}:${n.columnNumber}`; self.set(k, (self.get(k) ?? 0) + profile.timeDeltas[i]); });
    console.log(`\n${name}: ${took.toFixed(0)} ms for 20000 under the profiler`);
    for (const [k, us] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 22)) console.log(`${(us / 20000).toFixed(2).padStart(7)} µs/msg  ${k}`);
  }
} finally { for (const e of ends.reverse()) await e(); await removeInstalledPackage(); }
