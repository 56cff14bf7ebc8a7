// The package under test, as npm would install it: packed, and unpacked into a
// folder of its own beside the optional `ws`. So what the suites see is what
// `files` of its package.json lets out. In: TOKENSOCKET_PACKAGE, the package's
// folder (default js-dist), or TOKENSOCKET_INSTALLED, where another process has
// installed it. Out: the folder it is installed in.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const source = path.resolve(import.meta.dirname, process.env.TOKENSOCKET_PACKAGE ?? "../../../js-dist");
const ws = path.resolve(import.meta.dirname, "../node_modules/ws");

const ENTRY = "entry.mjs";
const inside = (folder) => path.join(folder, "node_modules", "tokensocket");

let installed;

/**
 * A folder with `node_modules/tokensocket` in it; `entry` is a module in it that exports what the package exports.
 * @returns {Promise<{folder: string, package: string, dist: string, entry: string}>}
 */
export async function installedPackage() {
  const folder = process.env.TOKENSOCKET_INSTALLED ?? (await (installed ??= install()));
  const target = inside(folder);
  return { folder, package: target, dist: path.join(target, "dist"), entry: path.join(folder, ENTRY) };
}

async function install() {
  const folder = await mkdtemp(path.join(tmpdir(), "tokensocket-package-"));
  const target = inside(folder);
  await mkdir(target, { recursive: true });
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: source });
  const [{ filename }] = JSON.parse(stdout);
  await run("tar", ["-xzf", path.join(folder, filename), "-C", target, "--strip-components=1"]);
  await symlink(ws, path.join(folder, "node_modules", "ws"));
  await writeFile(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await writeFile(path.join(folder, ENTRY), 'export * from "tokensocket";\n');
  return folder;
}

/** Removes the folder, if this process made one. */
export async function removeInstalledPackage() {
  if (installed) {
    await rm(await installed, { recursive: true, force: true });
  }
}
