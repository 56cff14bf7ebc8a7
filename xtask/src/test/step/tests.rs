//! Every test of the workspace, then the examples in the documentation.
//!
//! Some tests start the workspace's own programs, so those are built first, and
//! the tests find them through `TOKENSOCKET_BIN_DIR`: the folder holds the
//! programs (`tokensocket`), its folder `examples` holds the examples
//! (`playground`).

use std::path::PathBuf;
use std::thread::available_parallelism;

use anyhow::{Context, Result, ensure};

use crate::report;
use crate::test::step::npm;
use crate::workspace::Workspace;

/// How many tests run at once for each core: most of them mainly wait, for a time limit or another process.
const AT_ONCE: usize = 2;
/// The variable that tells tests where the programs are.
pub(super) const BIN_DIR: &str = "TOKENSOCKET_BIN_DIR";

/// What is built. In other steps too: with other features most of it would be built once more.
const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let missing = npm::not_installed(workspace)?;
    ensure!(
        missing.is_empty(),
        "npm packages are not installed in {}: run `cargo xtask test npm` first",
        missing.join(", ")
    );
    report::note("building the tests, and the programs that they start");
    let programs = build(workspace, &["--bins", "--examples", "--tests"])?;

    let tests = if workspace.answers("cargo", &["nextest", "--version"]) {
        let cores = available_parallelism().context("this machine does not say how many cores it has")?;
        let threads = (AT_ONCE * cores.get()).to_string();
        workspace.cargo(&["nextest", "run", "--no-fail-fast", "--test-threads", &threads])
    } else {
        report::note("cargo-nextest is not installed, cargo test does as well");
        workspace.cargo(&["test", "--no-fail-fast"]).args(["--lib", "--bins", "--tests", "--examples"])
    };
    tests.args(EVERYTHING).env(BIN_DIR, &programs).run()?;

    report::note("the examples in the documentation");
    workspace.cargo(&["test", "--doc", "--no-fail-fast"]).args(EVERYTHING).run()?;
    Ok(())
}

/// Builds the programs that tests start, and says in which folder they are.
pub(super) fn programs(workspace: &Workspace) -> Result<PathBuf> {
    report::note("building the programs that tests start");
    build(workspace, &["--bins", "--examples"])
}

fn build(workspace: &Workspace, targets: &[&str]) -> Result<PathBuf> {
    workspace.cargo(&["build"]).args(targets).args(EVERYTHING).run()?;
    Ok(workspace.target.join("debug"))
}
