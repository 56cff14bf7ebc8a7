//! One of the engines, for tests that are the same for all.

use std::net::SocketAddr;

use super::{Nats, Redis, RedisCluster, Server, Settings};

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Redis.
    Redis,
    /// A Redis Cluster of three. What happens to the engine happens to all of them.
    RedisCluster,
    /// NATS with JetStream.
    Nats,
}

/// One of them. It ends when this is dropped.
#[derive(Debug)]
pub enum Engine {
    /// A Redis.
    Redis(Redis),
    /// A Redis Cluster.
    RedisCluster(RedisCluster),
    /// A NATS.
    Nats(Nats),
}

impl Engine {
    /// Starts one.
    pub async fn start(kind: Kind, settings: Settings) -> Self {
        match kind {
            Kind::Redis => Self::Redis(Redis::with(settings).await),
            Kind::RedisCluster => Self::RedisCluster(RedisCluster::with(settings).await),
            Kind::Nats => Self::Nats(Nats::with(settings).await),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        match self {
            Self::Redis(redis) => redis.url(),
            Self::RedisCluster(cluster) => cluster.url(),
            Self::Nats(nats) => nats.url(),
        }
    }

    /// Where its first server listens.
    pub fn address(&self) -> SocketAddr {
        self.servers()[0].address
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) {
        for server in self.servers_mut() {
            server.stop().await;
        }
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        for server in self.servers_mut() {
            server.kill();
        }
    }

    /// Starts it where it was, with what it has kept.
    pub async fn start_again(&mut self) {
        for server in self.servers_mut() {
            server.start_again().await;
        }
        if let Self::RedisCluster(cluster) = self {
            cluster.is_whole().await;
        }
    }

    /// Stops it in its tracks: when this returns it does nothing any more. Its connections stay.
    pub fn pause(&self) {
        for server in self.servers() {
            server.pause();
        }
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        for server in self.servers() {
            server.unpause();
        }
    }

    /// Has no room any more.
    pub async fn fill(&self) {
        match self {
            Self::Redis(redis) => redis.fill().await,
            Self::RedisCluster(cluster) => cluster.fill().await,
            Self::Nats(nats) => nats.fill().await,
        }
    }

    /// Has room again.
    pub async fn empty(&self) {
        match self {
            Self::Redis(redis) => redis.empty().await,
            Self::RedisCluster(cluster) => cluster.empty().await,
            Self::Nats(nats) => nats.empty().await,
        }
    }

    fn servers(&self) -> Vec<&Server> {
        match self {
            Self::Redis(redis) => vec![&**redis],
            Self::RedisCluster(cluster) => cluster.nodes.iter().map(|node| &**node).collect(),
            Self::Nats(nats) => vec![&**nats],
        }
    }

    fn servers_mut(&mut self) -> Vec<&mut Server> {
        match self {
            Self::Redis(redis) => vec![&mut **redis],
            Self::RedisCluster(cluster) => cluster.nodes.iter_mut().map(|node| &mut **node).collect(),
            Self::Nats(nats) => vec![&mut **nats],
        }
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
