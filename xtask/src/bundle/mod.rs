//! `cargo xtask bundle`: the browser client, from its sources to the npm package.
//!
//! ```text
//! client-wasm ──cargo──▶ .wasm ──wasm-bindgen──▶ .wasm + glue ──wasm-opt──▶ smaller ──npm run build──▶ js-dist/dist
//! ```
//!
//! Comes in: the workspace. Goes out: the package's built files, with `build.json` beside them, and the
//! gateway's console, which has a copy of them. It must not know what the package's JavaScript does with the
//! `.wasm`: that is `client-wasm/js`.

mod record;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::toolchain::Toolchain;
use crate::report;
use crate::workspace::Workspace;

/// The crate whose `.wasm` this is.
const CRATE: &str = "tokensocket-wasm";
/// What wasm-bindgen's files are called.
const NAME: &str = "tokensocket";
/// What every engine of the last years has. Named one by one, since wasm-opt would use what it is allowed.
const WASM_FEATURES: [&str; 8] = [
    "--mvp-features",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// What follows `cargo xtask bundle`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Where the package's files go, instead of js-dist/dist
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Stop at the .wasm and its glue, in target/wasm-bundle
    #[arg(long)]
    wasm_only: bool,
}

/// Builds everything.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.wasm_only {
        return build(workspace, None);
    }
    if let Some(out) = &arguments.out {
        return build_into(workspace, out);
    }
    build_into(workspace, &workspace.root.join("js-dist/dist"))?;
    console(workspace)
}

/// Builds the console anew, which brings a copy of the package along.
fn console(workspace: &Workspace) -> Result<()> {
    let npm = workspace.root.join("gateway/console");
    install(workspace, &npm)?;
    workspace.run_in(&npm, "npm", &["run", "--silent", "build"]).context("npm run build in gateway/console")
}

/// Builds the package's files into a folder, and leaves js-dist/dist as it is.
pub(crate) fn build_into(workspace: &Workspace, out: &Path) -> Result<()> {
    build(workspace, Some(out))
}

/// Builds a page written in Rust into a folder, as `NAME.js` and `NAME_bg.wasm`.
pub(crate) fn build_page(workspace: &Workspace, package: &str, folder: &Path, name: &str) -> Result<()> {
    let compiled = Toolchain::find(workspace)?.build_page(workspace, package)?;
    bind_as(workspace, &compiled, folder, name)
}

/// Whether there is a toolchain that builds for browsers.
pub(crate) fn has_toolchain(workspace: &Workspace) -> bool {
    Toolchain::find(workspace).is_ok()
}

/// Builds the `.wasm`, and the package's files into a folder unless there is none.
fn build(workspace: &Workspace, out: Option<&Path>) -> Result<()> {
    let npm = workspace.root.join("client-wasm/js");
    install(workspace, &npm)?;
    let toolchain = Toolchain::find(workspace)?;
    report::note(&format!("toolchain: {}", toolchain.about));
    let compiled = toolchain.build(workspace, CRATE)?;
    let folder = workspace.target.join("wasm-bundle");
    bind(workspace, &compiled, &folder)?;
    optimize(workspace, &npm, &folder)?;
    check(&folder.join(format!("{NAME}_bg.wasm")), workspace)?;
    let Some(out) = out else {
        report::note(&format!("the .wasm and its glue are in {}", folder.display()));
        return Ok(());
    };
    let run = workspace.program("npm").args(["run", "--silent", "build", "--prefix"]).arg(&npm);
    run.env("TOKENSOCKET_WASM_DIR", &folder).env("TOKENSOCKET_DIST_DIR", out).run()?;
    record::write(workspace, &toolchain, &npm, out)
}

fn install(workspace: &Workspace, npm: &Path) -> Result<()> {
    let changed = |file: &str| fs::metadata(npm.join(file)).and_then(|file| file.modified()).ok();
    if changed("node_modules/.package-lock.json") < changed("package-lock.json") {
        workspace
            .run_in(npm, "npm", &["ci", "--no-audit", "--no-fund"])
            .with_context(|| format!("npm ci in {}", npm.display()))?;
    }
    Ok(())
}

fn bind(workspace: &Workspace, compiled: &Path, folder: &Path) -> Result<()> {
    bind_as(workspace, compiled, folder, NAME)
}

fn bind_as(workspace: &Workspace, compiled: &Path, folder: &Path, name: &str) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    workspace
        .cargo(&["run", "--quiet", "--package", "xtask-bindgen", "--"])
        .arg(compiled)
        .arg(folder)
        .arg(name)
        .run()
        .context("wasm-bindgen failed; its two crates have to be of one version in Cargo.lock")
}

fn optimize(workspace: &Workspace, npm: &Path, folder: &Path) -> Result<()> {
    let wasm = folder.join(format!("{NAME}_bg.wasm"));
    workspace
        .program(npm.join("node_modules/.bin/wasm-opt"))
        .args(WASM_FEATURES)
        .args(["--strip-debug", "--strip-producers", "--strip-target-features"])
        // A larger function in the place of its only call compresses worse than one of its own.
        .args(["-Oz", "--converge", "--one-caller-inline-max-function-size", "20"])
        .arg(&wasm)
        .arg("--output")
        .arg(&wasm)
        .run()?;
    Ok(())
}

/// Nothing in the `.wasm` may tell of the machine that it was built on.
fn check(wasm: &Path, workspace: &Workspace) -> Result<()> {
    let bytes = fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let home = std::env::var("HOME").unwrap_or_default();
    for path in [workspace.root.to_string_lossy().as_ref(), &home] {
        let is_there = path.len() > 1 && bytes.windows(path.len()).any(|window| window == path.as_bytes());
        ensure!(!is_there, "{} contains `{path}`, which is a folder of this machine", wasm.display());
    }
    Ok(())
}
