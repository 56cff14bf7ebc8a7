//! What nodes share in a comparison, from its start to its end.
//!
//! In: which engine. Out: a running one, and how nodes find it. It ends when it is dropped.

use tempfile::TempDir;

use super::{
    error::CompareError,
    ground::Ground,
    launch::{self, Running},
    nats,
    redis::{Keeping, Redis},
};
use crate::target::Process;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineKind {
    /// None: what there is, is in memory, or kept by the node itself.
    None,
    /// A Redis that keeps nothing on the disk.
    Redis,
    /// A Redis that answers when it is on the disk.
    StrictRedis,
    /// A NATS server with JetStream, which keeps streams in files.
    Nats,
}

/// Those of `stacks` whose engine is installed; says so where one is not.
pub(super) fn installed<T: Copy>(mut stacks: Vec<T>, engine: impl Fn(T) -> EngineKind) -> Vec<T> {
    let is_nats = |stack: &T| engine(*stack) == EngineKind::Nats;
    if stacks.iter().any(is_nats) && !nats::is_installed() {
        eprintln!("{}", nats::INSTALL);
        stacks.retain(|stack| !is_nats(stack));
    }
    stacks
}

/// A running engine.
#[derive(Debug)]
pub(super) enum Engine {
    None,
    Redis { redis: Redis, port: u16, _folder: Option<TempDir> },
    Nats { running: Running, address: String, _folder: TempDir },
}

impl Engine {
    /// Starts one on the servers' cores.
    pub(super) fn start(kind: EngineKind, ground: &Ground) -> Result<Self, CompareError> {
        let cores = ground.cores.as_ref();
        Ok(match kind {
            EngineKind::None => Self::None,
            EngineKind::Redis => {
                let (redis, port) = Redis::start_on_port(Keeping::Nothing, cores)?;
                Self::Redis { redis, port, _folder: None }
            }
            EngineKind::StrictRedis => {
                let folder = ground.folder("redis")?;
                let (redis, port) = Redis::start_on_port(Keeping::Everything(folder.path()), cores)?;
                Self::Redis { redis, port, _folder: Some(folder) }
            }
            EngineKind::Nats => {
                let folder = ground.folder("nats")?;
                let command = nats::jetstream_command(folder.path(), nats::Sync::Seldom)?;
                let (running, address) = launch::start("nats-server", command, cores, nats::address_in)?;
                Self::Nats { running, address, _folder: folder }
            }
        })
    }

    /// What our nodes are told.
    pub(super) fn url(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Redis { port, .. } => Some(format!("redis://127.0.0.1:{port}")),
            Self::Nats { address, .. } => Some(format!("nats://{address}")),
        }
    }

    /// What a report calls it, and its id.
    pub(super) fn process(&self) -> Option<Process> {
        let (name, pid) = match self {
            Self::None => return None,
            Self::Redis { redis, .. } => ("redis-server", redis.pid()),
            Self::Nats { running, .. } => ("nats-server", running.pid()),
        };
        Some(Process { name: name.to_owned(), pid })
    }
}
