//! One of the engines, for tests that are the same for both.

use std::ops::{Deref, DerefMut};

use super::{Nats, Redis, Server, Settings};

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

impl Deref for Engine {
    type Target = Server;

    fn deref(&self) -> &Server {
        of_either!(self, engine => engine)
    }
}

impl DerefMut for Engine {
    fn deref_mut(&mut self) -> &mut Server {
        of_either!(self, engine => engine)
    }
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

    /// Has no room any more.
    pub async fn fill(&self) {
        of_either!(self, engine => engine.fill().await);
    }

    /// Has room again.
    pub async fn empty(&self) {
        of_either!(self, engine => engine.empty().await);
    }
}

/// The same tests for each engine that is built in: functions of the file that take a [`Kind`].
#[macro_export]
macro_rules! of_each_engine {
    ($($name:ident)*) => {
        #[cfg(feature = "redis")]
        mod redis {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::engine::Kind::Redis).await;
                }
            )*
        }

        #[cfg(feature = "nats")]
        mod nats {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name($crate::engine::Kind::Nats).await;
                }
            )*
        }
    };
}
