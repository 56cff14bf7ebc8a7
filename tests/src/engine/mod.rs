//! Engines of a test's own: Redis and NATS as real processes, which a test may end, pause, fill and start again.
//!
//! ```text
//! Settings ─▶ Server: a process with a free port and a temporary folder, which is killed, paused, started again
//!                ├─▶ Redis ─┬─▶ RedisCluster   three of them
//!                │          └─▶ RedisSentinel  a primary, a replica and those who watch them
//!                └─▶ Nats ─┬─▶ NatsCluster    with JetStream; three of them
//!                           └─▷ NatsWay        to one of them, on which messages are lost or late
//! ```
//!
//! In: settings. Out: a URL, and what can happen to an engine. Each ends when it is dropped, as `kill -9` ends it, and
//! its folder goes with it. Knows nothing of TokenSocket.

mod certificate;
mod cluster;
mod either;
mod nats;
mod nats_cluster;
mod nats_way;
mod redis;
mod sentinel;
mod server;
#[cfg(test)]
mod tests;

pub use certificate::Certificate;
pub use cluster::RedisCluster;
pub use either::{Engine, Kind};
pub use nats::Nats;
pub use nats_cluster::NatsCluster;
pub use nats_way::{Fate, NatsWay};
pub use redis::Redis;
pub use sentinel::{RedisSentinel, SENTINEL_PASSWORD};
pub use server::Server;

use std::path::{Path, PathBuf};

use crate::process::Place;

/// What a Redis keeps on its disk. JetStream keeps what a stream asks it to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: it is empty when it is started again.
    #[default]
    Nothing,
    /// All that was done, written each second (`appendfsync everysec`).
    EachSecond,
    /// All that was done, on the disk before it is answered (`appendfsync always`).
    Always,
}

/// How an engine is started.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    keep: Keep,
    tls: bool,
    clients: Option<PathBuf>,
    password: Option<String>,
    storage: Option<u64>,
    place: Place,
    more: Vec<String>,
}

impl Settings {
    /// Without TLS or password, on 127.0.0.1, keeping nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a Redis keeps.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Speaks TLS only, with a certificate that was made for it.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Lets in only whom this certificate knows, as PEM. For a NATS that speaks TLS.
    #[must_use]
    pub fn clients(mut self, certificate: &Path) -> Self {
        self.clients = Some(certificate.to_owned());
        self
    }

    /// Asks for this password; at NATS of the user `tests`.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// How many bytes it may hold: `maxmemory` of a Redis, `max_file_store` of JetStream (1 GiB if not said).
    #[must_use]
    pub fn storage(mut self, bytes: u64) -> Self {
        self.storage = Some(bytes);
        self
    }

    /// Where it runs.
    #[must_use]
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// Arguments of a Redis beside those, or lines of a `nats-server`'s configuration.
    #[must_use]
    pub fn more<S: Into<String>>(mut self, more: impl IntoIterator<Item = S>) -> Self {
        self.more.extend(more.into_iter().map(Into::into));
        self
    }
}
