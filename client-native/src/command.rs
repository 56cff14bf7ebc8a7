//! What a handle asks of the driver.

use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::client::CallError;
use tokensocket_protocol::client::handle::Buffer;
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
    Subscribe { channel: Channel, buffer: Arc<Buffer> },
    Unsubscribe(Channel),
    Publish { channel: Channel, data: RawJson },
    Broadcast(RawJson),
}

/// Something that must not wait. There is at most one of these for each request, each subscription and
/// each call of `end`.
pub(crate) enum Control {
    /// Nobody waits for the request any more.
    Cancel(u64),
    /// A subscription's stream is dropped; `detached` when its channel is still wanted.
    Leave {
        channel: Channel,
        buffer: Arc<Buffer>,
        detached: bool,
    },
    End,
}
