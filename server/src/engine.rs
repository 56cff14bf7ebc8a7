//! One engine behind everything that is shared between nodes.
//!
//! In: an engine that somebody connected to. Out: the stores and the broker of a server.

use std::time::Duration;

use crate::broker::Broker;
use crate::delivery::DeviceStore;
use crate::presence::PresenceStore;
use crate::token::TokenStore;

/// What keeps everything that nodes share, for [`ServerBuilder::engine`](crate::ServerBuilder::engine).
pub trait Engine {
    /// Keeps the identities of tokens.
    fn tokens(&self) -> Box<dyn TokenStore>;

    /// Carries publications between nodes.
    fn broker(&self) -> Box<dyn Broker>;

    /// Keeps each device's queue.
    fn devices(&self) -> Box<dyn DeviceStore>;

    /// Keeps who is on a channel.
    fn presence(&self) -> Box<dyn PresenceStore>;
}

/// How it stands with an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStatus {
    /// Which: `redis` or `nats`.
    pub name: &'static str,
    /// Where, without secrets.
    pub address: String,
    /// The connected server's own version, once it was known.
    pub version: Option<String>,
    /// For how long it has not been reached; `None` while it is.
    pub away: Option<Duration>,
    /// What it cannot do as it is configured, or cannot keep: a sentence each.
    pub lacks: Vec<String>,
}

impl EngineStatus {
    /// An engine that is there.
    pub fn new(name: &'static str, address: impl Into<String>) -> Self {
        Self { name, address: address.into(), version: None, away: None, lacks: Vec::new() }
    }
}

/// What becomes of publications while the engine cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outage {
    /// They are refused at once, so that whoever published can try again: the default.
    #[default]
    Refuse,
    /// They wait, and are published in their order once the engine is back. What is beyond one of the bounds is refused.
    ///
    /// Whoever publishes waits until his publication is done or refused, however long the outage: the `store_timeout` does
    /// not count. What was on its way when the connection broke, and has no key, is not sent again: he is told that its
    /// outcome is not known. His own limit counts, such as a client's call timeout or that of an HTTP request; a publication
    /// whose publisher has given up is published all the same, so use keys. A server that ends tells those who still wait that
    /// the outcome is not known. Each that waits costs its message and its waiting caller, which the bounds limit; behind the
    /// publications of a connection wait its own subscriptions.
    ///
    /// Broadcasts, and what is said to the sockets of all nodes, wait like publications; what nodes say of themselves, and ask
    /// of all others, is refused. On Redis deliveries and presence are refused as well; on NATS they wait, too, and each of
    /// its brokers and stores has these bounds for itself.
    Buffer {
        /// At most so many of them.
        messages: usize,
        /// At most so many bytes.
        bytes: usize,
    },
}
