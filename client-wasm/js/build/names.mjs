// Gives the WebAssembly file's imports and exports short names, and wasm-bindgen's script the same ones. What
// wasm-bindgen writes has names such as `__wbg_get_56f1f87fc3b68c70`, which do not compress.
//
// In: the paths of both. Out: the file's bytes and the script's text. Fails when the script is not of the form
// that is known, rather than write one that does not work.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import binaryen from "binaryen";

/** What WebAssembly every engine of the last years knows; the file uses nothing else. */
const FEATURES = {
  "--enable-bulk-memory": "BulkMemory",
  "--enable-bulk-memory-opt": "BulkMemoryOpt",
  "--enable-call-indirect-overlong": "CallIndirectOverlong",
  "--enable-multivalue": "Multivalue",
  "--enable-mutable-globals": "MutableGlobals",
  "--enable-nontrapping-float-to-int": "NontrappingFPToInt",
  "--enable-reference-types": "ReferenceTypes",
  "--enable-sign-ext": "SignExt",
};

const PASS = "--minify-imports-and-exports-and-modules";

export function shortenNames(wasmFile, scriptFile, wasmOpt) {
  const folder = mkdtempSync(join(tmpdir(), "tokensocket-"));
  try {
    const out = join(folder, "short.wasm");
    const flags = ["--mvp-features", ...Object.keys(FEATURES)];
    const told = execFileSync(process.execPath, [wasmOpt, wasmFile, ...flags, PASS, "-o", out], { encoding: "utf8" });
    const names = JSON.parse(told);
    const script = rename(readFileSync(scriptFile, "utf8"), names);
    return { wasm: withMemory(readFileSync(out), names), script };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The memory keeps its usual name, by which tools look for it. */
function withMemory(bytes, { exports }) {
  const [, short] = exports.find(([name]) => name === "memory");
  const module = binaryen.readBinary(bytes);
  module.setFeatures(Object.values(FEATURES).reduce((all, name) => all | binaryen.Features[name], binaryen.Features.MVP));
  module.removeExport(short);
  module.addMemoryExport("0", "memory");
  const emitted = Buffer.from(module.emitBinary());
  module.dispose();
  if (!WebAssembly.validate(emitted)) throw new Error("binaryen wrote what this engine does not understand");
  return emitted;
}

function rename(script, { imports, exports }) {
  const own = "./tokensocket_bg.js";
  const table = once(script, /return \{\n\s+__proto__: null,\n((?:\s+"[^"]+": import\d+,\n)+)\s+\};/);
  const modules = new Map([...table[1].matchAll(/"([^"]+)": (import\d+)/g)].map(([, path, name]) => [path, name]));
  const direct = [];
  for (const [module, name, short] of imports) {
    if (!modules.has(module)) throw new Error(`the script hands in no module ${module}`);
    if (module === own) script = replaced(script, new RegExp(`^(\\s+)${name}: function\\(`, "m"), `$1${short}: function(`);
    else direct.push(`${short}: ${modules.get(module)}.${name},`);
  }
  for (const [name, short] of exports.filter(([name]) => name !== "memory")) script = script.replaceAll(new RegExp(`\\bwasm\\.${name}\\b`, "g"), `wasm.${short}`);
  const object = modules.get(own);
  script = replaced(script, new RegExp(`const ${object} = \\{\\n\\s+__proto__: null,`), `$& ${direct.join(" ")}`);
  return script.replace(once(script, /return \{\n\s+__proto__: null,\n(?:\s+"[^"]+": import\d+,\n)+\s+\};/)[0], `return { a: ${object} };`);
}

function once(text, pattern) {
  const found = pattern.exec(text);
  if (!found) throw new Error(`wasm-bindgen's script has changed: ${pattern} is not in it`);
  return found;
}

function replaced(text, pattern, by) {
  once(text, pattern);
  return text.replace(pattern, by);
}
