// old bundle, new bundle, raw socket, socket.io, original; each with a server process of its own.
import { installedPackage, removeInstalledPackage } from "../harness/package.mjs";
import { site } from "../harness/site.mjs";
import { measuredChromium } from "./devtools.mjs";
import { folders, pageAt } from "./pages.mjs";
import * as servers from "./servers.mjs";
const ROUNDS = Number(process.argv[2] ?? 9), N = 10000;
const ends = []; const owner = { after: (e) => ends.push(e) };
const med = (l) => { const s = [...l].sort((a, b) => a - b); const m = s.length >> 1; return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2; };
try {
  const { package: ours } = await installedPackage();
  const f = { ...folders(ours), "/old/": (process.env.OLD ?? "/tmp/dist-old") + "/" };
  const answer = (p) => { const page = pageAt(p); if (!page) return page; page.body = page.body.replace('<script src="/package/', '<script src="/old/dist/tokensocket.min.js"></script><script>globalThis.OldTS = globalThis.TokenSocket.TokenSocket ?? globalThis.TokenSocket;</script><script src="/package/'); return page; };
  const served = await site(owner, f, { answer });
  const chromium = await measuredChromium(owner);
  const page = await chromium.open(`${served.origin}/all/`);
  await page.run(() => {
    const c = clients.tokensocket.connect;
    clients.old = { connect: async (host) => { const New = globalThis.TokenSocket; globalThis.TokenSocket = OldTS; try { return await c(host); } finally { globalThis.TokenSocket = New; } } };
    clients.raw = { connect: (host) => new Promise((resolve) => { const s = new WebSocket(host.replace("http", "ws") + "/sockets/websocket"); let heard; s.onmessage = (e) => { const m = JSON.parse(e.data); if (m.channel) heard(m.channel, m.message); };
      s.onopen = () => resolve({ call: async () => {}, follow: async (_, h) => { heard = h; } }); }) };
  });
  const kinds = { tokensocket: "wire", old: "wire", raw: "wire", "socket.io-client": "socketIo" };
  const on = {};
  for (const [name, kind] of Object.entries(kinds)) {
    if (process.argv[3] && !process.argv[3].split(",").includes(name)) continue;
    on[name] = await servers[kind](owner);
    try { await page.run(async (client, host, channel) => { globalThis.connections ??= {}; connections[client] = await measures.open(client, host, channel); }, name, on[name].origin, servers.CHANNEL); }
    catch (e) { console.log(name, String(e).slice(0, 100)); delete on[name]; }
  }
  const names = Object.keys(on); const rate = {}, busy = {}, c1 = {}, c64 = {};
  for (const n of names) rate[n] = [], busy[n] = [], c1[n] = [], c64[n] = [];
  for (let r = -1; r < ROUNDS; r++) for (let i = 0; i < names.length; i++) {
    const name = names[(i + r + 1) % names.length];
    const before = await page.busy();
    await page.run((name, count) => void (globalThis.heard = measures.messages(connections[name], count)), name, N);
    on[name].burst(N); const took = await page.run(() => heard);
    const spent = (await page.busy()) - before;
    if (r >= 0) rate[name].push(N / took * 1000), busy[name].push(spent / N * 1e6);
  }
  if (process.argv[4]) for (let r = -1; r < ROUNDS; r++) for (let i = 0; i < names.length; i++) {
    const name = names[(i + r + 1) % names.length]; if (name === "raw") continue;
    const a = await page.run((n) => measures.calls(connections[n], 10000, 64), name), b = await page.run((n) => measures.calls(connections[n], 1000, 1), name);
    if (r >= 0) c64[name].push(1e7 / a), c1[name].push(1e6 / b);
  }
  const ref = "socket.io-client";
  for (const n of names) console.log(`${n.padEnd(18)} ${med(rate[n]).toFixed(0)}/s  x${(med(rate[n]) / med(rate[ref] ?? [NaN])).toFixed(3)}   ${med(busy[n]).toFixed(2)} µs  x${(med(busy[n]) / med(busy[ref] ?? [NaN])).toFixed(3)}   ${process.argv[4] ? `calls64 x${(med(c64[n]) / med(c64[ref])).toFixed(3)}  seq x${(med(c1[n]) / med(c1[ref])).toFixed(3)}` : ""}`);
} finally { for (const e of ends.reverse()) await e(); await removeInstalledPackage(); }
