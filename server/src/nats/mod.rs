//! NATS, shared by many nodes: publications, histories, tokens, presence, device queues.
//!
//! ```text
//!                ┌─▶ broker    publications by subjects, histories by one stream or several
//! Nats ─▶ link ──┼─▶ tokens    a stream in NATS' memory, a subject for each
//!                ├─▶ presence  ┐ replica: a stream of calls, which every node
//!                └─▶ devices   ┘ applies to the same state machine as in memory
//! ```
//!
//! Presence and queues are no buckets, since one order of all calls is what makes each of their answers the same for
//! everybody. Tokens are no bucket either: a message of a stream is deleted for one caller. Histories share streams, since a broker does not know which
//! patterns of channels there are.
//!
//! In: what [`Broker`] and the stores are asked. Out: the same, shared with every node that is connected to the same
//! servers and names the same prefix and namespace. Knows no socket.

mod broker;
mod devices;
mod error;
mod fresh;
mod link;
mod names;
mod options;
mod presence;
mod replica;
mod tokens;

use std::sync::Arc;

use crate::broker::Broker;
use crate::delivery::DeviceStore;
use crate::engine::{Engine, EngineStatus};
use crate::presence::PresenceStore;
use crate::token::TokenStore;

pub use broker::NatsBroker;
pub use devices::NatsDeviceStore;
pub use error::NatsError;
pub use options::NatsOptions;
pub use presence::NatsPresenceStore;
pub use replica::NatsReplicaOptions;
pub use tokens::NatsTokenStore;

use link::Link;
use names::Names;

/// A namespace of NATS servers, which many nodes share. Cloning shares the connection.
///
/// It needs NATS 2.9 or later. Without JetStream there is no history, no token, no presence, no device queue and no
/// idempotency key: what needs one is refused with [`BrokerError::Unsupported`](crate::BrokerError::Unsupported) or
/// [`StoreError::Unavailable`](crate::StoreError::Unavailable), and [`status`](Self::status) says so from the start.
///
/// When the connection is lost it connects again by itself, at once and then after 100 ms doubling to 5 s, and follows
/// what it followed.
///
/// # What NATS itself may lose
///
/// JetStream answers when a message is written to its server's file, which it syncs to the disk every two minutes
/// (`sync_interval` of the server): a server that is killed loses nothing, a machine that loses power loses what it did
/// not sync, unless the stream has [`replicas`](NatsOptions::replicas) elsewhere. Nodes that knew of what was lost begin
/// another epoch.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tokensocket_server::{Nats, NatsOptions, Server};
///
/// let nats = Nats::connect("nats://one.example:4222,two.example:4222", NatsOptions::new()).await?;
/// for lack in nats.status().lacks {
///     eprintln!("{lack}");
/// }
/// let server = Server::builder().engine(&nats.namespace("newsite"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Nats {
    link: Arc<Link>,
    names: Names,
}

impl Nats {
    /// Connects to the servers at `address`: `nats://host:port`, `tls://host:port`, several of one cluster divided by
    /// commas, with `user:password@` or `token@` before the first if need be. Must be called within a tokio runtime,
    /// on which the connection lives.
    ///
    /// # Errors
    ///
    /// When the address is none, a file cannot be read, or no server takes the connection within the timeout.
    pub async fn connect(address: &str, options: NatsOptions) -> Result<Self, NatsError> {
        let names = Names::new(&options.prefix, "default");
        Ok(Self { link: Link::connect(address, options).await?, names })
    }

    /// The same connection with subjects and streams of its own; those of `default` are there from the start.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        Self { link: Arc::clone(&self.link), names: Names::new(&self.link.options.prefix, name) }
    }

    /// How it stands, and what the connected server cannot do.
    pub fn status(&self) -> EngineStatus {
        self.link.status()
    }
}

impl Engine for Nats {
    fn tokens(&self) -> Box<dyn TokenStore> {
        Box::new(NatsTokenStore::new(self))
    }

    fn broker(&self) -> Box<dyn Broker> {
        Box::new(NatsBroker::new(self))
    }

    fn devices(&self) -> Box<dyn DeviceStore> {
        Box::new(NatsDeviceStore::new(self))
    }

    fn presence(&self) -> Box<dyn PresenceStore> {
        Box::new(NatsPresenceStore::new(self))
    }
}
