//! Memory: sockets that are open, authenticated, subscribed, and silent.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::{task::JoinSet, time::sleep};

use super::{Bench, at_least_one, while_running};
use crate::{
    dialect::Dialect,
    error::BenchError,
    process,
    report::{Memory, Report},
    socket::Connection,
};

/// Sockets that are opened before counting begins, so that what a server
/// allocates once is not counted.
const FIRST: usize = 100;

/// How long a server has to settle before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Sockets that do nothing.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// Sockets to add.
    #[arg(long, default_value_t = 2000)]
    pub sockets: usize,
    /// Channels that each follows.
    #[arg(long, default_value_t = 2)]
    pub channels: usize,
}

impl Default for Idle {
    fn default() -> Self {
        Self { sockets: 2000, channels: 2 }
    }
}

pub(crate) async fn run<D: Dialect>(idle: &Idle, bench: &Bench<'_, D>) -> Result<Report, BenchError> {
    let server = bench.target.server.ok_or(BenchError::NoProcess)?;
    let sockets = at_least_one("the number of sockets", idle.sockets)?;
    let mut open = JoinSet::new();
    for connection in bench.open_many(FIRST, idle.channels).await? {
        open.spawn_local(stay(connection));
    }
    while_running(&mut open, settle()).await?;
    let before = process::resident_bytes(server)?;
    for connection in bench.open_many(sockets, idle.channels).await? {
        open.spawn_local(stay(connection));
    }
    while_running(&mut open, settle()).await?;
    let after = process::resident_bytes(server)?;
    Ok(Report {
        unit: "sockets".to_owned(),
        window: None,
        latency: None,
        memory: Some(Memory { sockets: sockets as u64, before, after }),
    })
}

async fn settle() -> Result<(), BenchError> {
    sleep(SETTLE).await;
    Ok(())
}

/// Answers heartbeats and nothing else.
async fn stay<D: Dialect>(mut connection: Connection<D>) -> Result<(), BenchError> {
    loop {
        connection.receive(|_, _| {}).await?;
    }
}
