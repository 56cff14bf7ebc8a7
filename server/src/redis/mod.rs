//! Redis, or Valkey, as the engine that nodes share.
//!
//! In: an address. Out: a broker and stores for each namespace, over the same connections. Knows no socket.

mod broker;
mod devices;
mod error;
mod link;
mod options;
mod presence;
mod script;
mod shards;
mod tokens;

pub use broker::RedisBroker;
pub use devices::RedisDeviceStore;
pub use error::RedisError;
pub use options::RedisOptions;
pub use presence::RedisPresenceStore;
pub use tokens::RedisTokenStore;

use self::link::Link;
use self::script::Script;
use crate::broker::Broker;
use crate::delivery::{DeviceStore, QueueLimits};
use crate::engine::{Engine, EngineStatus};
use crate::presence::PresenceStore;
use crate::token::TokenStore;

/// What every server knows by name, from the first moment on.
const SCRIPTS: &[&[&Script]] = &[broker::SCRIPTS, devices::SCRIPTS, presence::SCRIPTS, tokens::SCRIPTS];

/// A connected engine: one namespace of it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tokensocket_server::{Redis, RedisOptions, Server};
///
/// let redis = Redis::connect("redis://localhost", RedisOptions::new()).await?;
/// for lack in redis.status().lacks {
///     eprintln!("Redis: {lack}");
/// }
/// let server = Server::builder().engine(&redis.namespace("shop")?).build()?;
/// # Ok(())
/// # }
/// ```
///
/// Clones and namespaces share the connections, which end with the last of them. Each namespace has keys of its own; nodes
/// with the same prefix and namespace share everything. What is durable, and what is not, stands at [`RedisBroker`] and
/// [`RedisDeviceStore`].
#[derive(Clone)]
pub struct Redis {
    link: Link,
}

impl Redis {
    /// Connects to Redis, or Valkey, version 7 or later:
    ///
    /// | address | |
    /// | --- | --- |
    /// | `redis://[user:password@]host[:6379][/database]` | one server |
    /// | `redis://a,b,c` | several that know nothing of one another: each has a part of the channels and users, which is decided by the servers' names, so all nodes must have the same list |
    /// | `redis+sentinel://a,b,c/service[/database]` | the primary that Sentinels name, and the next one when it fails; user and password are the primary's |
    /// | `redis+cluster://a,b,c`, or `redis://a,b,c?cluster` | a Redis Cluster, of which these are some |
    /// | `rediss://`, `rediss+sentinel://`, `rediss+cluster://` | the same with TLS |
    ///
    /// After this, what is lost is connected again by itself, at first after 100 ms, then more slowly, up to 5 s. Fails
    /// when a server cannot be reached now, does not let us in, or is too old; [`status`](Self::status) tells what it
    /// lacks.
    ///
    /// Call it on the tokio runtime that the server runs on.
    pub async fn connect(address: &str, options: RedisOptions) -> Result<Self, RedisError> {
        Ok(Self { link: Link::connect(address, options, SCRIPTS).await? })
    }

    /// A namespace of this one, over the same connections. Its name has 1 to 65 letters, digits, and `. _ -`: one more than
    /// 64, so that names of up to 64 have room for one that sets them apart.
    pub fn namespace(&self, name: &str) -> Result<Self, RedisError> {
        Ok(Self { link: self.link.namespace(name)? })
    }

    /// How it stands with the engine. Does not wait.
    pub fn status(&self) -> EngineStatus {
        self.link.status()
    }

    /// Carries publications, and keeps histories.
    pub fn broker(&self) -> RedisBroker {
        RedisBroker::new(self.link.clone())
    }

    /// Keeps tokens, so that each is redeemed on one node only.
    pub fn token_store(&self) -> RedisTokenStore {
        RedisTokenStore::new(self.link.clone())
    }
}

impl Engine for Redis {
    fn tokens(&self) -> Box<dyn TokenStore> {
        Box::new(self.token_store())
    }

    fn broker(&self) -> Box<dyn Broker> {
        Box::new(Self::broker(self))
    }

    fn devices(&self) -> Box<dyn DeviceStore> {
        Box::new(self.device_store(QueueLimits::default()))
    }

    fn presence(&self) -> Box<dyn PresenceStore> {
        Box::new(self.presence_store())
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}
