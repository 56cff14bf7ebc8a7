//! What the generator does to a server: one file each.
//!
//! In: a dialect, an address and how much load. Out: a `Report`. All tasks of
//! a run live on one thread and end with it.

pub(crate) mod calls;
pub(crate) mod connect;
pub(crate) mod deliver;
pub(crate) mod fan_out;
pub(crate) mod idle;
mod measure;
pub(crate) mod relay;
mod requests;
pub(crate) mod send;
pub(crate) mod sockjs_echo;
pub(crate) mod sockjs_idle;

pub use calls::Calls;
pub use connect::Connect;
pub use deliver::Deliver;
pub use fan_out::FanOut;
pub use idle::Idle;
pub use relay::Relay;
pub use send::{Send, Whom};
pub use sockjs_echo::SockjsEcho;
pub use sockjs_idle::SockjsIdle;

use std::{future::Future, rc::Rc};

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    dialect::Dialect,
    error::BenchError,
    socket::{Address, Connection},
    sockjs::{Message, Session, Transport},
    target::{Options, Target},
};

/// The channel that subscribers follow.
const CHANNEL: &str = "bench";

/// Connections that are opened at the same time.
const OPENING: usize = 64;

/// What is measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, Subcommand)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Calls that come back at once: rate and latency.
    Calls(Calls),
    /// One publisher, many subscribers: deliveries and their latency.
    #[command(name = "fanout")]
    FanOut(FanOut),
    /// Resident memory per idle, authenticated, subscribed socket.
    Memory(Idle),
    /// Token, connect, authenticate, one call, close: how often.
    Connect(Connect),
    /// Publishers and followers of many channels, on different nodes of one
    /// service: publications and their latency.
    Relay(Relay),
    /// Deliveries to devices by an action of the server, on different nodes of
    /// one service: rate, and latency to the devices' handlers.
    Deliver(Deliver),
    /// `POST /send` to devices of a site, which speak Socket.IO: rate, and latency
    /// to the devices' handlers.
    Send(Send),
    /// SockJS messages that a plain service sends back, on one transport: rate
    /// and latency. What the server speaks otherwise does not matter.
    SockjsEcho(SockjsEcho),
    /// Resident memory per idle SockJS session, on one transport.
    SockjsIdle(SockjsIdle),
}

/// What every workload needs.
pub(crate) struct Bench<'a, D> {
    pub(crate) dialect: D,
    pub(crate) address: Address,
    /// Those of the further nodes.
    pub(crate) nodes: Vec<Address>,
    pub(crate) target: &'a Target,
    pub(crate) options: &'a Options,
}

impl<D: Dialect> Bench<'_, D> {
    /// The node on which the `index`th of something is.
    fn node(&self, index: usize) -> &Address {
        match index % (self.nodes.len() + 1) {
            0 => &self.address,
            other => &self.nodes[other - 1],
        }
    }

    async fn open(&self) -> Result<Connection<D>, BenchError> {
        Connection::open(self.dialect.clone(), &self.address).await
    }

    /// Opens `count` connections, many at a time, each following `channels`
    /// channels.
    async fn open_many(&self, count: usize, channels: usize) -> Result<Vec<Connection<D>>, BenchError> {
        let open = |index| {
            let dialect = if channels > 0 { self.dialect.for_follower(index) } else { self.dialect.clone() };
            let address = self.address.clone();
            async move {
                let mut connection = Connection::open(dialect, &address).await?;
                for index in 0..channels {
                    match index {
                        0 => connection.subscribe(CHANNEL).await?,
                        _ => connection.subscribe(&format!("{CHANNEL}-{index}")).await?,
                    }
                }
                Ok(connection)
            }
        };
        open_all(count, open).await
    }

    /// Opens `count` SockJS sessions that `transport` carries, many at a time.
    async fn open_sessions(
        &self,
        count: usize,
        transport: Transport,
        message: &Rc<Message>,
    ) -> Result<Vec<Session>, BenchError> {
        let open = |_| {
            let (address, message) = (self.address.clone(), Rc::clone(message));
            let path = self.target.echo_path.clone();
            async move { Session::open(transport, &address, &path, message).await }
        };
        open_all(count, open).await
    }
}

/// Opens what `open` opens, `count` times, many at a time.
async fn open_all<T: 'static, F>(count: usize, open: impl Fn(usize) -> F) -> Result<Vec<T>, BenchError>
where
    F: Future<Output = Result<T, BenchError>> + 'static,
{
    let turns = Rc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for index in 0..count {
        let (open, turns) = (open(index), Rc::clone(&turns));
        opening.spawn_local(async move {
            // Never closed, so there is always a turn.
            let _turn = turns.acquire().await;
            open.await
        });
    }
    let mut all = Vec::with_capacity(count);
    while let Some(opened) = opening.join_next().await {
        all.push(ended(opened)?);
    }
    Ok(all)
}

/// Runs `work` while `tasks` go on; the first task that fails ends it. Tasks of
/// a workload never end well by themselves.
async fn while_running<T>(
    tasks: &mut JoinSet<Result<(), BenchError>>,
    work: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    tokio::select! {
        found = work => found,
        Some(task) = tasks.join_next() => match ended(task) {
            Ok(()) => Err(BenchError::Stalled),
            Err(error) => Err(error),
        },
    }
}

/// What a task returned; a panic of the task goes on here.
fn ended<T>(task: Result<Result<T, BenchError>, tokio::task::JoinError>) -> Result<T, BenchError> {
    match task {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(BenchError::Stalled),
        },
    }
}

/// A JSON string that is `bytes` long with its quotes.
fn payload(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes.saturating_sub(2)))
}

/// `count`, unless it is zero.
fn at_least_one(what: &'static str, count: usize) -> Result<usize, BenchError> {
    if count == 0 {
        return Err(BenchError::Zero(what));
    }
    Ok(count)
}
