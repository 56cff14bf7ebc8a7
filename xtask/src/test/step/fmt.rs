//! The layout of the Rust sources is what `cargo fmt` makes of them.

use std::io::{self, IsTerminal};

use anyhow::Result;

use crate::workspace::Workspace;

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    // rustfmt colours its differences even when nobody sees them.
    let colour = if io::stdout().is_terminal() { "auto" } else { "never" };
    workspace.cargo(&["fmt", "--all", "--check", "--", "--color", colour]).run()?;
    Ok(())
}
