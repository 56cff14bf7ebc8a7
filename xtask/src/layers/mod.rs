//! `cargo xtask layers`: imports run downward only.
//!
//! ```text
//! docs/layers.toml ──▶ table ─────────┐
//! Cargo.toml of each member ──────────┼──▶ check ──▶ findings, each with file:line
//! src/**/*.rs ──▶ tree ──▶ imports ───┘
//! ```
//!
//! Comes in: the table and the sources. Goes out: what breaks the table. The
//! checking itself ([`check`]) touches no file, so tests hand it small trees.

mod check;
mod imports;
mod table;
mod tree;

#[cfg(test)]
mod tests;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::layers::table::Table;
use crate::report;
use crate::workspace::Workspace;

/// Where the table is, from the workspace's root.
const TABLE: &str = "docs/layers.toml";

/// Checks every crate of the workspace against the table.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let path = workspace.root.join(TABLE);
    let text = fs::read_to_string(&path).with_context(|| format!("{TABLE} could not be read"))?;
    let table = Table::parse(&text).with_context(|| format!("{TABLE} is not as it should be"))?;
    let crates = tree::read(workspace)?;
    let findings = check::check(&table, &crates);
    for finding in &findings {
        report::note(&finding.to_string());
    }
    let files: usize = crates.iter().map(|source| source.files.len()).sum();
    match findings.len() {
        0 => {
            report::note(&format!("{} crates, {files} files: imports run downward only", crates.len()));
            Ok(())
        }
        count => bail!("{count} findings in {files} files, listed above"),
    }
}
