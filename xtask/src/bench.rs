//! `cargo xtask bench`: the load generator, built for release.
//!
//! Comes in: arguments it does not look at. Goes out: the load generator's own
//! output. What there is to measure is the benches crate's affair.

use anyhow::Result;
use clap::Args;

use crate::workspace::Workspace;

/// What follows `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Passed to the load generator as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs the load generator.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    workspace
        .cargo(&["run", "--release", "--package", "tokensocket-benches", "--"])
        .args(&arguments.arguments)
        .run()?;
    Ok(())
}
