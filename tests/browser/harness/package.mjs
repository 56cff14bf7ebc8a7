// The package under test, as npm would install it: packed, and unpacked into a
// folder of its own beside the optional `ws`. So what the suites see is what
// `files` of its package.json lets out. In: TOKENSOCKET_PACKAGE, the package's
// folder (default js-dist). Out: the folder it is installed in.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const source = path.resolve(import.meta.dirname, process.env.TOKENSOCKET_PACKAGE ?? "../../../js-dist");
const ws = path.resolve(import.meta.dirname, "../node_modules/ws");

let installed;

/**
 * A folder with `node_modules/tokensocket` in it, made once for all suites; `entry` is a module in it that exports
 * what the package exports.
 * @returns {Promise<{folder: string, package: string, dist: string, entry: string}>}
 */
export function installedPackage() {
  installed ??= install();
  return installed;
}

async function install() {
  const folder = await mkdtemp(path.join(tmpdir(), "tokensocket-package-"));
  const target = path.join(folder, "node_modules", "tokensocket");
  await mkdir(target, { recursive: true });
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], { cwd: source });
  const [{ filename }] = JSON.parse(stdout);
  await run("tar", ["-xzf", path.join(folder, filename), "-C", target, "--strip-components=1"]);
  await symlink(ws, path.join(folder, "node_modules", "ws"));
  await writeFile(path.join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const entry = path.join(folder, "entry.mjs");
  await writeFile(entry, 'export * from "tokensocket";\n');
  return { folder, package: target, dist: path.join(target, "dist"), entry };
}

/** Removes the folder, if there is one. */
export async function removeInstalledPackage() {
  if (installed) {
    const { folder } = await installed;
    await rm(folder, { recursive: true, force: true });
  }
}
