//! Between nodes: publications and control messages, and what channels keep.
//!
//! In: what this node publishes, and which channels its sockets follow. Out: what all nodes publish on
//! those channels, this node included, to the [`BrokerHandler`], and what they published before. Knows no
//! socket.
//!
//! History lives here, because to append a publication and to publish it must be one step: then everybody sees
//! one order, and positions follow it.

mod control;
mod memory;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_protocol::{Channel, Pattern, Position, RawJson};

use crate::history::{History, HistoryPage, HistoryQuery};
use crate::node_id::NodeId;
use crate::timestamp::Timestamp;

pub use control::Control;
pub use memory::MemoryBroker;

/// One message on one channel.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where it was published.
    pub channel: Channel,
    /// What was published.
    pub message: RawJson,
    /// Its own place, on a channel with history: its offset is its own number.
    pub position: Option<Position>,
}

/// A message to be published.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where.
    pub channel: Channel,
    /// What.
    pub message: RawJson,
    /// How much the channel keeps; `None`: nothing, and its publications have no positions.
    pub history: Option<History>,
    /// Within its window, a publication of the same key on the same channel is the same publication.
    pub key: Option<Key>,
    /// When.
    pub at: Timestamp,
}

/// Makes it safe to send something again.
#[derive(Debug, Clone)]
pub struct Key {
    /// The sender's name for it.
    pub text: Arc<str>,
    /// For how long it is remembered.
    pub window: Duration,
}

/// What became of a message that was accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Its place, on a channel with history.
    pub position: Option<Position>,
    /// A publication of this key had been accepted before; nothing was published now.
    pub duplicate: bool,
}

/// Where publications may have been missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// On every channel that this node follows.
    All,
    /// On these.
    Channels(Vec<Channel>),
}

/// Carries publications between nodes.
///
/// Duties of an implementation:
/// - Publications of one channel reach every node that follows it in one and the same order; on a channel with
///   history that is the order of their offsets, which are contiguous within an epoch.
/// - Publications of one channel, with history or without a key, whose futures are polled for the first time one after
///   the other, keep that order, also when the earlier ones have not resolved yet.
/// - A publication is kept before anybody sees it, so that nobody holds a position that the broker forgets when it
///   is killed; where it cannot promise that, it says so.
/// - [`history`](Broker::history) gives every publication whose future has resolved, and each that the handler
///   was given before it was asked: it can be read there as soon as the call of the handler begins.
/// - What this node publishes comes back to its own handler too, once, if the node follows the channel.
/// - [`subscribe`](Broker::subscribe) and [`unsubscribe`](Broker::unsubscribe) take effect in the order in
///   which they are *called*: each notes the node's wish before it returns its future, and never blocks.
///   The future only tells when, or whether, it is so. A publication made after that arrives.
/// - `subscribe` is called for each new follower on this node, `unsubscribe` once when the last has left.
/// - A publication whose future resolves to `Ok` was accepted. One that cannot be accepted is an error,
///   never silence.
/// - Nothing in here blocks or panics; work in the background belongs to the broker and ends with it.
pub trait Broker: Send + Sync + 'static {
    /// Begins to deliver to `handler`, which is `node`'s. Called once, before all else.
    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError>;

    /// Publishes to every node that follows the channel.
    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>>;

    /// Whether publications and broadcasts that are made while its engine is away wait for it, no more than so many, as
    /// [`Outage::Buffer`](crate::Outage::Buffer) has it. Whoever publishes waits then until it is done or refused, with no
    /// limit of time but his own, so each must come to an end once the engine is back; otherwise he waits for the
    /// `store_timeout`.
    fn holds(&self) -> bool {
        false
    }

    /// Reads what a channel has kept, by the same options that its publications come with. A channel on which
    /// nothing was published yet has an epoch, too: its place is offset 0.
    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>>;

    /// Publishes to every channel of every node. Channels do not keep it.
    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Tells every node, this one included.
    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Whether there may be other nodes. Where there are none, a node says nothing of itself.
    fn has_others(&self) -> bool {
        true
    }

    /// Tells one other node. Resolves when it is on its way: whether that node is there is not known. By default there
    /// are no others.
    fn tell(&self, node: NodeId, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        let _ = control;
        ready(Err(BrokerError::NoSuchNode(node))).boxed()
    }

    /// Tells all *other* nodes that follow the channel; they get it by
    /// [`handle_announcement`](BrokerHandler::handle_announcement), in order as far as they get it: one that is lost is
    /// not sent again. By default there are no others.
    fn announce(&self, channel: &Channel, announcement: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        let _ = (channel, announcement);
        ready(Ok(())).boxed()
    }

    /// This node follows the channel. It may do so already; then the future is ready, or waits with those
    /// before it.
    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// This node no longer follows the channel.
    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// This node follows every channel that the pattern covers, beside those that it follows by name. Each of
    /// their publications still reaches the handler once. Refused by a broker that cannot.
    fn subscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Err(BrokerError::Unsupported(format!(
            "no wildcard subscriptions, such as {}",
            pattern.as_str()
        ))))
        .boxed()
    }

    /// This node no longer follows the pattern.
    fn unsubscribe_pattern(&self, _: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    /// Drops what is past its time. Called about every ten seconds.
    fn expire(&self, _: Timestamp) {}
}

/// Receives from a [`Broker`]. Its methods return quickly and never wait for a socket.
pub trait BrokerHandler: Send + Sync {
    /// A publication on a channel that this node follows.
    fn handle_publication(&self, publication: &Publication);

    /// Several publications, in their order: cheaper than one after the other.
    fn handle_publications(&self, publications: &[Publication]) {
        for publication in publications {
            self.handle_publication(publication);
        }
    }

    /// A message for every channel.
    fn handle_broadcast(&self, message: &RawJson);

    /// Another node, or this one, says so.
    fn handle_control(&self, control: Control);

    /// Another node says so to all that follow the channel.
    fn handle_announcement(&self, channel: &Channel, announcement: &RawJson) {
        let _ = (channel, announcement);
    }

    /// Publications may not have come, since the engine could not be reached, or said so. Called when this node follows
    /// its channels there again.
    fn handle_gap(&self, gap: Gap) {
        let _ = gap;
    }

    /// Whether this node follows the channel now, so that a broker does not forget its history: its followers
    /// would see another epoch though nothing was lost. Not to be asked while the broker holds a lock.
    fn follows(&self, _: &Channel) -> bool {
        false
    }
}

/// Why a broker did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The engine cannot be reached, or refuses. Try again later.
    #[error("the broker is unavailable: {0}")]
    Unavailable(String),
    /// This engine cannot do it at all.
    #[error("this broker has {0}")]
    Unsupported(String),
    /// A bound of the broker is reached. Try again later.
    #[error("the broker holds as many {0} as it may")]
    TooMany(&'static str),
    /// No node of this name is known.
    #[error("node {0} is not there")]
    NoSuchNode(NodeId),
    /// Where the broker keeps its history.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}
