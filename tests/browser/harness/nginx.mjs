// A real nginx with the configuration of docs/deploy.md, so that what is tested
// is what is written there. In: the nodes, and how the configuration is varied.
// Out: where it listens.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { promisify } from "node:util";

const PROGRAM = process.env.NGINX ?? "/usr/sbin/nginx";
const PAGE = path.resolve(import.meta.dirname, "../../../docs/deploy.md");
const ATTEMPTS = 5;

/** First lines of the page's blocks. */
const SITE = "# /etc/nginx/conf.d/tokensocket.conf";
const NODES = {
  one: "# /etc/nginx/conf.d/tokensocket-nodes.conf, one node",
  bySession: "# /etc/nginx/conf.d/tokensocket-nodes.conf, several nodes, by session",
  byAddress: "# /etc/nginx/conf.d/tokensocket-nodes.conf, several nodes, by address",
};

/**
 * @param {object} front
 * @param {string[]} front.nodes `HOST:PORT` of each node, as many as the block names
 * @param {keyof typeof NODES} [front.spread] which block says where they are
 * @param {boolean} [front.tls] with a certificate of its own making
 * @param {[string, string][]} [front.changes] what is said differently: a text of the block, and another for it
 * @returns {Promise<{origin: string}>}
 */
export async function nginx(t, { nodes, spread = "one", tls = false, changes = [] }) {
  const folder = await mkdtemp(path.join(tmpdir(), "tokensocket-nginx-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const blocks = await blocksOf(PAGE);
  await writeFile(path.join(folder, "nodes.conf"), upstream(block(blocks, NODES[spread]), nodes));
  const site = replaced(block(blocks, SITE), changes);
  // nginx cannot choose a port itself, so another program may take ours first.
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const listening = tls ? await withCertificate(site, folder, port) : withoutTls(site, port);
    await writeFile(path.join(folder, "site.conf"), listening);
    try {
      await start(t, folder);
      return { origin: `http${tls ? "s" : ""}://127.0.0.1:${port}` };
    } catch (error) {
      if (error.code === "ENOENT" || attempt === ATTEMPTS) {
        throw new Error(`nginx does not start; is it installed? ${error.message}`);
      }
    }
  }
}

/** The page's blocks for nginx, by their first lines. */
async function blocksOf(page) {
  const text = await readFile(page, "utf8");
  const found = [...text.matchAll(/^```nginx\n(.*?)^```$/gms)].map(([, source]) => source);
  return new Map(found.map((source) => [source.slice(0, source.indexOf("\n")), source]));
}

function block(blocks, firstLine) {
  const found = blocks.get(firstLine);
  if (found === undefined) {
    throw new Error(`${PAGE} has no block that begins with "${firstLine}"`);
  }
  return found;
}

/** `source` with other texts for some of its own, each of which must be there. */
function replaced(source, changes) {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) {
      throw new Error(`the configuration has no "${from}"`);
    }
    return text.replaceAll(from, to);
  }, source);
}

/** The block with these nodes for the ones it names. */
function upstream(source, nodes) {
  const named = [...source.matchAll(/^ *server (\S+);$/gm)].map(([, node]) => node);
  if (named.length !== nodes.length) {
    throw new Error(`the block names ${named.length} nodes, the test has ${nodes.length}`);
  }
  return replaced(source, named.map((node, n) => [`server ${node};`, `server ${nodes[n]};`]));
}

function withoutTls(site, port) {
  return replaced(site, [["listen 443 ssl http2;", `listen 127.0.0.1:${port};`]]).replaceAll(/^ *ssl_certificate.*\n/gm, "");
}

async function withCertificate(site, folder, port) {
  const [certificate, key] = ["crt", "key"].map((ending) => path.join(folder, `own.${ending}`));
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  await promisify(execFile)("openssl", [...request, ...subject, "-keyout", key, "-out", certificate]);
  return replaced(site, [
    ["listen 443 ssl http2;", `listen 127.0.0.1:${port} ssl http2;`],
    ["/etc/ssl/sockets.example.com.crt", certificate],
    ["/etc/ssl/sockets.example.com.key", key],
  ]);
}

/** Starts it in the foreground and resolves once it serves. */
async function start(t, folder) {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  await Promise.all(temporary.map((kind) => mkdir(path.join(folder, kind), { recursive: true })));
  const main = [
    // Its workers would else be another user's, who may not enter the folder.
    process.getuid() === 0 ? "user root;" : "",
    "daemon off;",
    "worker_processes 2;",
    `pid ${folder}/nginx.pid;`,
    "error_log stderr notice;",
    "events { worker_connections 1024; }",
    "http {",
    "access_log off;",
    ...temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`),
    `include ${folder}/nodes.conf;`,
    `include ${folder}/site.conf;`,
    "}",
  ];
  await writeFile(path.join(folder, "nginx.conf"), main.join("\n"));
  const program = spawn(PROGRAM, ["-p", folder, "-c", path.join(folder, "nginx.conf"), "-e", "stderr"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const said = [];
  await new Promise((resolve, reject) => {
    program.once("error", reject);
    program.once("exit", () => reject(new Error(said.join("\n"))));
    readline.createInterface({ input: program.stderr }).on("line", (line) => {
      said.push(line);
      if (line.includes("start worker process ")) {
        resolve();
      }
    });
  });
  t.after(async () => {
    if (program.exitCode === null) {
      const ended = once(program, "exit");
      program.kill("SIGTERM");
      await ended;
    }
  });
}

async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}
