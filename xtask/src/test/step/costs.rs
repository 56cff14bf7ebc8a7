//! How many instructions a call and a delivery take, held against `tests/costs.toml`.
//!
//! Counts, not seconds: valgrind's callgrind runs the release build of the test `costs` and counts what
//! happens within a connection's task, which is the same on a busy machine and a quiet one. A change of
//! more than the tolerance, in either direction, fails: fewer is good news that the file should hear.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::report;
use crate::workspace::Workspace;

/// The function within which is counted: the task of one connection.
const COUNTED: &str =
    "--toggle-collect=<tokensocket_server::session::driver::Driver<T> as core::future::future::Future>::poll";

/// `tests/costs.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    tolerance_percent: u64,
    instructions: BTreeMap<String, u64>,
}

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let file = workspace.root.join("tests/costs.toml");
    let text = fs::read_to_string(&file).context("tests/costs.toml cannot be read")?;
    let Baseline { tolerance_percent, instructions } =
        toml::from_str(&text).context("tests/costs.toml cannot be understood")?;
    let program = build(workspace)?;
    let mut changed = Vec::new();
    for (test, expected) in instructions {
        let counted = count(workspace, &program, &test)?;
        let tenths = counted.abs_diff(expected) * 1000 / expected.max(1);
        let sign = if counted < expected { '-' } else { '+' };
        report::note(&format!("{test}: {counted} ({sign}{}.{} %)", tenths / 10, tenths % 10));
        if tenths > tolerance_percent * 10 {
            changed.push(format!("{test} = {counted}"));
        }
    }
    if !changed.is_empty() {
        bail!(
            "more than {tolerance_percent} % away from tests/costs.toml; if this is meant, write there: {}",
            changed.join(", ")
        );
    }
    Ok(())
}

/// Builds the test for release and returns where it is.
fn build(workspace: &Workspace) -> Result<String> {
    // A package of its own: whatever else is built for release costs nothing here but the time to build it.
    let messages = workspace
        .cargo(&["test", "--release", "--package", "tokensocket-costs", "--test", "costs", "--no-run"])
        .args(["--message-format=json-render-diagnostics"])
        .read()?;
    messages
        .lines()
        .filter(|line| line.contains("\"name\":\"costs\""))
        .find_map(|line| line.split("\"executable\":\"").nth(1)?.split('"').next())
        .map(str::to_owned)
        .context("cargo did not say where the test `costs` is")
}

fn count(workspace: &Workspace, program: &str, test: &str) -> Result<u64> {
    let log = workspace.target.join("costs.log");
    let log_file = format!("--log-file={}", log.display());
    workspace
        .program("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", COUNTED, &log_file, program])
        .args([test, "--exact", "--quiet"])
        .run()?;
    let log = fs::read_to_string(&log).context("valgrind wrote no log")?;
    let counted = log.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
    let counted = counted.context("valgrind did not say what it counted")?;
    ensure!(counted > 0, "nothing was counted: has the function another name now? {COUNTED}");
    Ok(counted)
}
