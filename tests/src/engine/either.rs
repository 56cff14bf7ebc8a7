//! One of the engines, for tests that are the same for both.

use super::{Nats, Redis, Settings};

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Redis.
    Redis,
    /// NATS with JetStream.
    Nats,
}

/// A Redis or a NATS. It ends when this is dropped.
#[derive(Debug)]
pub enum Engine {
    /// A Redis.
    Redis(Redis),
    /// A NATS.
    Nats(Nats),
}

/// The same for both.
macro_rules! of_either {
    ($engine:expr, $of:ident => $what:expr) => {
        match $engine {
            Engine::Redis($of) => $what,
            Engine::Nats($of) => $what,
        }
    };
}

impl Engine {
    /// Starts one.
    pub async fn start(kind: Kind, settings: Settings) -> Self {
        match kind {
            Kind::Redis => Self::Redis(Redis::with(settings).await),
            Kind::Nats => Self::Nats(Nats::with(settings).await),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        of_either!(self, engine => engine.url())
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        of_either!(self, engine => engine.address)
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) {
        of_either!(self, engine => engine.stop().await);
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        of_either!(self, engine => engine.kill());
    }

    /// Starts it where it was, with what it has kept.
    pub async fn start_again(&mut self) {
        of_either!(self, engine => engine.start_again().await);
    }

    /// Stops it in its tracks. Its connections stay.
    pub fn pause(&self) {
        of_either!(self, engine => engine.pause());
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        of_either!(self, engine => engine.unpause());
    }

    /// Has no room any more.
    pub async fn fill(&self) {
        of_either!(self, engine => engine.fill().await);
    }

    /// Has room again.
    pub async fn empty(&self) {
        of_either!(self, engine => engine.empty().await);
    }
}
