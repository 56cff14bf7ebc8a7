//! No warning from the compiler or Clippy, in any target with every feature.

use anyhow::Result;

use crate::workspace::Workspace;

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    workspace
        .cargo(&["clippy", "--workspace", "--all-targets", "--all-features"])
        .args(["--", "-D", "warnings"])
        .run()?;
    Ok(())
}
