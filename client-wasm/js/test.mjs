// Runs the tests: types first, then every tests/*.test.ts, bundled so that Node.js can read it. Arguments are
// given to `node --test`.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "node_modules/.cache/tests");

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit", cwd: here });
  if (status !== 0) process.exit(status ?? 1);
}

run("node_modules/typescript/bin/tsc", "-p", "tsconfig.json");
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: readdirSync(join(here, "tests")).filter((name) => name.endsWith(".test.ts")).map((name) => join(here, "tests", name)),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  target: "node20",
  sourcemap: "inline",
  alias: {
    "tokensocket-fallback": join(here, "../src/fallback/index.js"),
    "tokensocket-transport": join(here, "../src/transport.js"),
  },
  define: { VERSION: '"0.0.0"' },
  logLevel: "warning",
});
run("--enable-source-maps", "--test", ...process.argv.slice(2), ...readdirSync(out).map((name) => join(out, name)));
