//! Ten thousand simulated worlds: server, clients, stores and network, with everything that can go wrong.

use anyhow::Result;

use crate::simulate;
use crate::workspace::Workspace;

/// How many worlds.
const SEEDS: &str = "10000";

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    simulate::simulate(workspace, &["--seeds".to_owned(), SEEDS.to_owned()])
}
