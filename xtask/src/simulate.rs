//! `cargo xtask simulate`: many simulated worlds, or one of them aloud.
//!
//! Comes in: arguments it does not look at. Goes out: the simulation's own output. What is simulated is the affair of
//! the crate in tests/simulation; docs/simulation.md explains it.

use anyhow::Result;
use clap::Args;

use crate::workspace::Workspace;

/// What follows `cargo xtask simulate`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Passed to the simulation as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs the simulation.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    simulate(workspace, &arguments.arguments)
}

/// The same with these arguments.
pub(crate) fn simulate(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let run = ["run", "--profile", "simulation", "--package", "tokensocket-simulation", "--"];
    workspace.cargo(&run).args(arguments).run()?;
    Ok(())
}
