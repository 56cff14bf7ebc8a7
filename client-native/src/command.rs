//! What a handle asks of the driver.

use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::client::handle::Buffer;
use tokensocket_protocol::client::{CallError, DeliveryId, PublishOptions, SubscribeOptions};
use tokensocket_protocol::message::{HistoryQuery, PresenceQuery};
use tokensocket_protocol::{Channel, RawJson};
use tokio::sync::oneshot;

pub(crate) type Outcome = Result<RawJson, CallError<RawJson>>;

/// Something that may have to wait until the driver has room for it.
pub(crate) enum Command {
    Request { id: u64, request: Request, reply: oneshot::Sender<Outcome> },
    Channels(oneshot::Sender<Vec<Channel>>),
}

pub(crate) enum Request {
    Call { path: String, data: RawJson, timeout: Option<Duration> },
    Subscribe { channel: Channel, options: SubscribeOptions, buffer: Arc<Buffer> },
    Unsubscribe(Channel),
    Publish { channel: Channel, data: RawJson, options: PublishOptions },
    Broadcast(RawJson),
    History(Channel, HistoryQuery),
    Presence(Channel, PresenceQuery),
}

/// Something that must not wait. There is at most one of these for each request, each subscription, each
/// delivery, each handler and each call of `end`.
pub(crate) enum Control {
    /// Nobody waits for the request any more.
    Cancel(u64),
    /// A subscription's stream is dropped; `detached` when its channel is still wanted.
    Leave {
        channel: Channel,
        buffer: Arc<Buffer>,
        detached: bool,
    },
    /// A delivery that is acknowledged by hand was, or was dropped.
    Settle {
        id: DeliveryId,
        is_done: bool,
    },
    /// There is another handler of deliveries.
    Handlers,
    End,
}
