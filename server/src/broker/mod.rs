//! Between nodes: publications and control messages.
//!
//! In: what this node publishes, and which channels its sockets follow. Out: what all nodes publish on
//! those channels, this node included, to the [`BrokerHandler`]. Knows no socket.

mod memory;

use std::sync::Weak;

use futures_util::future::BoxFuture;
use tokensocket_protocol::{Channel, RawJson};

pub use memory::MemoryBroker;

/// One message on one channel.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where it was published.
    pub channel: Channel,
    /// What was published.
    pub message: RawJson,
}

/// What one node tells all nodes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Control {
    /// Every socket leaves this channel.
    UnsubscribeAll(Channel),
}

/// Carries publications between nodes.
///
/// Duties of an implementation:
/// - Publications of one channel reach every node that follows it in one and the same order.
/// - What this node publishes comes back to its own handler too, once, if the node follows the channel.
/// - [`subscribe`](Broker::subscribe) and [`unsubscribe`](Broker::unsubscribe) take effect in the order in
///   which they are *called*: each notes the node's wish before it returns its future, and never blocks.
///   The future only tells when, or whether, it is so. A publication made after that arrives.
/// - `subscribe` is called for each new follower on this node, `unsubscribe` once when the last has left.
/// - A publication whose future resolves to `Ok` was accepted. One that cannot be accepted is an error,
///   never silence.
/// - Nothing in here blocks or panics; work in the background belongs to the broker and ends with it.
pub trait Broker: Send + Sync + 'static {
    /// Begins to deliver to `handler`. Called once, before all else.
    fn start(&self, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError>;

    /// Publishes to every node that follows the channel.
    fn publish(&self, publication: Publication) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Publishes to every channel of every node.
    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Tells every node, this one included.
    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// This node follows the channel. It may do so already; then the future is ready, or waits with those
    /// before it.
    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// This node no longer follows the channel.
    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>>;
}

/// Receives from a [`Broker`]. Its methods return quickly and never wait for a socket.
pub trait BrokerHandler: Send + Sync {
    /// A publication on a channel that this node follows.
    fn handle_publication(&self, publication: &Publication);

    /// A message for every channel.
    fn handle_broadcast(&self, message: &RawJson);

    /// Another node, or this one, says so.
    fn handle_control(&self, control: Control);
}

/// Why a broker did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The engine cannot be reached, or refuses. Try again later.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
}
