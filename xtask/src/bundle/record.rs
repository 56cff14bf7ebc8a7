//! `build.json`: what the package's files were built with, and how large they are.
//!
//! Comes in: the built files. Goes out: the file. Whoever builds again with the same versions may expect
//! the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::toolchain::Toolchain;
use crate::report;
use crate::workspace::Workspace;

/// Prints how many bytes a file has after gzip -9.
const GZIP: &str =
    "console.log(require('zlib').gzipSync(require('fs').readFileSync(process.argv[1]),{level:9}).length)";

#[derive(Serialize)]
struct Build {
    rustc: String,
    /// Whether the standard library was built along, for size.
    builds_std: bool,
    wasm_bindgen: String,
    binaryen: String,
    esbuild: String,
    typescript: String,
    /// By file, what a page downloads.
    sizes: BTreeMap<String, Size>,
}

#[derive(Serialize)]
struct Size {
    bytes: usize,
    gzip: usize,
}

#[derive(Deserialize)]
struct Lockfile {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// Writes it, and says the sizes.
pub(super) fn write(workspace: &Workspace, toolchain: &Toolchain, npm: &Path, out: &Path) -> Result<()> {
    let build = Build {
        rustc: toolchain.version.clone(),
        builds_std: toolchain.builds_std,
        wasm_bindgen: locked(workspace, "wasm-bindgen")?,
        binaryen: installed(npm, "binaryen")?,
        esbuild: installed(npm, "esbuild")?,
        typescript: installed(npm, "typescript")?,
        sizes: sizes(workspace, out)?,
    };
    for (file, Size { bytes, gzip }) in &build.sizes {
        report::note(&format!("{file:<24} {bytes:>7} bytes, {gzip:>6} after gzip -9"));
    }
    let text = serde_json::to_string_pretty(&build)? + "\n";
    fs::write(out.join("build.json"), text).with_context(|| format!("cannot write to {}", out.display()))
}

fn sizes(workspace: &Workspace, out: &Path) -> Result<BTreeMap<String, Size>> {
    let mut sizes = BTreeMap::new();
    for entry in fs::read_dir(out).with_context(|| format!("cannot read {}", out.display()))? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        if !matches!(extension.as_ref(), "js" | "mjs" | "cjs" | "wasm") {
            continue;
        }
        let bytes = fs::read(&path)?.len();
        let gzip = workspace.program("node").args(["--eval", GZIP]).arg(&path).quiet().read()?.parse()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        sizes.insert(name, Size { bytes, gzip });
    }
    Ok(sizes)
}

fn locked(workspace: &Workspace, name: &str) -> Result<String> {
    let text = fs::read_to_string(workspace.root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let lockfile: Lockfile = toml::from_str(&text).context("Cargo.lock is of an unknown format")?;
    let package = lockfile.package.into_iter().find(|package| package.name == name);
    Ok(package.with_context(|| format!("{name} is not in Cargo.lock"))?.version)
}

fn installed(npm: &Path, name: &str) -> Result<String> {
    let manifest = npm.join("node_modules").join(name).join("package.json");
    let text = fs::read_to_string(&manifest).with_context(|| format!("npm did not install {name}"))?;
    let package: Package = serde_json::from_str(&text).with_context(|| format!("{name}'s package.json"))?;
    Ok(package.version)
}
