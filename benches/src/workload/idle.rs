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
    target::Target,
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
    let sockets = at_least_one("the number of sockets", idle.sockets)?;
    let open = async |count| bench.open_many(count, idle.channels).await;
    growth("sockets", sockets, bench.target, SETTLE, open, stay).await
}

/// What `count` more of what `open` opens add to the server's memory, while
/// `stay` keeps each of them, and the server has had time to `settle`.
pub(super) async fn growth<T, S>(
    unit: &str,
    count: usize,
    target: &Target,
    settle: Duration,
    open: impl AsyncFn(usize) -> Result<Vec<T>, BenchError>,
    stay: impl Fn(T) -> S,
) -> Result<Report, BenchError>
where
    S: Future<Output = Result<(), BenchError>> + 'static,
{
    let server = target.server.ok_or(BenchError::NoProcess)?;
    let mut staying = JoinSet::new();
    let mut resident = async |count| {
        for one in open(count).await? {
            staying.spawn_local(stay(one));
        }
        let settled = async {
            sleep(settle).await;
            Ok(())
        };
        while_running(&mut staying, settled).await?;
        process::resident_bytes(server)
    };
    let before = resident(FIRST).await?;
    let after = resident(count).await?;
    Ok(Report {
        unit: unit.to_owned(),
        window: None,
        latency: None,
        memory: Some(Memory { sockets: count as u64, before, after }),
    })
}

/// Answers heartbeats and nothing else.
async fn stay<D: Dialect>(mut connection: Connection<D>) -> Result<(), BenchError> {
    loop {
        connection.receive(|_, _| {}).await?;
    }
}
