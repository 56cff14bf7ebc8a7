//! The documentation builds without a warning: no broken link, nothing public undocumented.

use anyhow::Result;

use crate::workspace::Workspace;

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    workspace
        .cargo(&["doc", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-Dwarnings")
        .run()?;
    Ok(())
}
