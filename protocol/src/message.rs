//! Every message of the wire as a type, the way a client sees it.
//!
//! In and out: the client's session speaks these types; a [`crate::codec::Codec`] turns them into text
//! and back. Generic over the payload `P`, which nobody here looks into. The server reads and writes the
//! same text without this detour: see [`crate::server`].

mod device;
mod query;

use crate::error::ErrorCode;
use crate::position::Position;

pub use device::{Acknowledge, Delivery, MAX_DEVICE_BYTES, ResyncReason, Settings};
pub use query::{HistoryQuery, PresenceQuery};

/// What a client may tell about itself when it authenticates. The original clients send none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The client library's name.
    pub name: String,
    /// The client library's version.
    pub version: String,
    /// What the client understands beyond the original wire: see [`features`].
    pub features: Vec<String>,
    /// The client's own name for the device it runs on, 1 to [`MAX_DEVICE_BYTES`] bytes. Without one, each
    /// connection is a device of its own.
    pub device: Option<String>,
}

/// The longest key of a publication, in bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// Names of what a peer may understand beyond the original wire.
pub mod features {
    /// `_cancel`, `cancel` and `timeout_ms`.
    pub const CANCEL: &str = "cancel";
    /// The `reconnect` hint before a close with 1012.
    pub const RECONNECT: &str = "reconnect";
    /// `_history`, and subscriptions that recover.
    pub const HISTORY: &str = "history";
    /// `_presence`, `join` and `leave`.
    pub const PRESENCE: &str = "presence";
    /// `settings`, `batch`, `deliver`, `resync` and `_ack`.
    pub const DELIVERY: &str = "delivery";
    /// Everything this version understands.
    pub const ALL: [&str; 5] = [CANCEL, RECONNECT, HISTORY, PRESENCE, DELIVERY];
}

/// What a server says of a channel that is followed now.
#[derive(Debug, Clone, PartialEq)]
pub struct Joined<P> {
    /// Where the subscriber stands once it has taken the publications; on a channel with history.
    pub position: Option<Position>,
    /// Whether it got everything since the place from which it wanted to go on.
    pub recovered: Option<bool>,
    /// What was published since, with offsets.
    pub publications: Vec<(u64, P)>,
    /// The name was taken as a pattern.
    pub pattern: bool,
}

impl<P> Default for Joined<P> {
    fn default() -> Self {
        Self { position: None, recovered: None, publications: Vec::new(), pattern: false }
    }
}

/// What a server answers to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionInfo {
    /// The socket's id on the server, for logs.
    pub id: String,
    /// How often the client should ping, in milliseconds; 0 when `_ping` is not answered.
    pub ping_ms: u64,
    /// The largest message the server accepts, in bytes.
    pub max_message_bytes: u64,
    /// What the server understands beyond the original wire.
    pub features: Vec<String>,
}

/// Client to server. `uuid` is the client's name for the request, unique on its connection.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientMessage<P> {
    /// `auth`, the first message on every connection.
    Auth {
        /// The one-time token, as it was issued.
        token: String,
        /// Names this request.
        uuid: String,
        /// Who we are; left out for servers that must not see it.
        hello: Option<Hello>,
    },
    /// A call of a server's action.
    Call {
        /// The action's dotted path.
        path: String,
        /// The argument.
        request: P,
        /// Names this request.
        uuid: String,
        /// After how long the server should give up.
        timeout_ms: Option<u64>,
    },
    /// `_subscribe`
    Subscribe {
        /// The channel's name, or a pattern.
        channel: String,
        /// The place from which to go on.
        recover: Option<Position>,
        /// Whether to be told who comes and goes.
        presence: bool,
        /// Names this request.
        uuid: String,
    },
    /// `_unsubscribe`
    Unsubscribe {
        /// The channel's name.
        channel: String,
        /// Names this request.
        uuid: String,
    },
    /// `_publish`
    Publish {
        /// The channel's name.
        channel: String,
        /// What its subscribers get.
        data: P,
        /// The sender's name for it, which makes it safe to send it again.
        key: Option<String>,
        /// Names this request.
        uuid: String,
    },
    /// `_broadcast`
    Broadcast {
        /// What the subscribers of every channel get.
        data: P,
        /// Names this request.
        uuid: String,
    },
    /// `_history`
    History {
        /// The channel's name.
        channel: String,
        /// Which part.
        query: HistoryQuery,
        /// Names this request.
        uuid: String,
    },
    /// `_presence`
    Presence {
        /// The channel's name.
        channel: String,
        /// Which members.
        query: PresenceQuery,
        /// Names this request.
        uuid: String,
    },
    /// `_ack`
    Acknowledge {
        /// What the device has.
        what: Acknowledge,
        /// Names this request.
        uuid: String,
    },
    /// `_ping`
    Ping {
        /// Names this request.
        uuid: String,
    },
    /// `_cancel`: the call named `target` is no longer wanted.
    Cancel {
        /// The call's uuid.
        target: String,
        /// Names this request.
        uuid: String,
    },
    /// `_rpc`: the answer to the server's call `fid`.
    Answer {
        /// The server's name for its call, as it came.
        fid: String,
        /// The result, or the error.
        outcome: Result<P, Failure<P>>,
    },
}

/// An error as it stands on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure<P> {
    /// The `error` field, whole.
    pub error: P,
    /// Its text for people: the error itself when it is a text, else its `message`.
    pub message: String,
    /// The `code` field, when the peer sent one we know.
    pub code: Option<ErrorCode>,
    /// The `details` field.
    pub details: Option<P>,
}

/// Server to client.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ServerMessage<P> {
    /// The answer to the request `uuid`.
    Answer {
        /// Which request.
        uuid: String,
        /// The result, or the error.
        outcome: Result<P, Failure<P>>,
        /// Beside the answer to a [`Hello`].
        session: Option<SessionInfo>,
    },
    /// `internal` `subscribe`: the socket now follows the channel. Also comes unasked, when the server
    /// subscribes the socket.
    Subscribed {
        /// The channel's name.
        channel: String,
        /// Which request, when one asked for it.
        uuid: Option<String>,
        /// What else there is to know.
        joined: Joined<P>,
    },
    /// `internal` `unsubscribe`: the socket no longer follows the channel.
    Unsubscribed {
        /// The channel's name.
        channel: String,
    },
    /// `internal` `rpc`: a call of a client's action.
    Call {
        /// The server's name for the call.
        fid: String,
        /// The action's dotted path.
        path: String,
        /// The argument; JSON `null` when the server sent none.
        args: P,
        /// After how long the server gives up.
        timeout_ms: Option<u64>,
    },
    /// `internal` `cancel`: the answer to the server's call is no longer wanted.
    Cancel {
        /// The server's name for the call.
        fid: String,
    },
    /// `internal` `reconnect`: the server is about to close; come back after this long.
    ReconnectHint {
        /// Milliseconds.
        after_ms: u64,
    },
    /// A publication.
    Publication {
        /// The channel's name.
        channel: String,
        /// What was published.
        message: P,
        /// Its place, on a channel with history.
        offset: Option<u64>,
    },
    /// `internal` `join` or `leave`: somebody came to a followed channel, or is gone.
    Member {
        /// The channel's name.
        channel: String,
        /// Who.
        member: P,
        /// Whether it came.
        joined: bool,
    },
    /// `internal` `settings`: what follows is of this device's queue.
    Settings(Settings),
    /// `internal` `batch`: everything that was kept.
    Batch {
        /// The last entry's number.
        id: u64,
        /// In order.
        items: Vec<Delivery<P>>,
    },
    /// `internal` `deliver`: one entry.
    Deliver(Delivery<P>),
    /// `internal` `resync`: the device has to fetch the whole state.
    Resync {
        /// Grows within the queue's epoch.
        id: u64,
        /// Of which event; `None`: of all.
        event: Option<String>,
        /// Why.
        reason: ResyncReason,
    },
    /// An error that answers no request, such as `"Invalid message"`.
    Error(Failure<P>),
    /// Something a later version understands.
    Unknown,
}

#[cfg(feature = "json")]
impl From<crate::RpcError> for Failure<crate::RawJson> {
    fn from(error: crate::RpcError) -> Self {
        Self {
            error: crate::RawJson::new(error.error()).unwrap_or_default(),
            message: error.message().to_owned(),
            code: Some(error.code()),
            details: error.details().cloned(),
        }
    }
}

#[cfg(feature = "json")]
impl From<Failure<crate::RawJson>> for crate::RpcError {
    /// The code is `internal` where the peer sent none.
    fn from(failure: Failure<crate::RawJson>) -> Self {
        let error = match failure.error.parse() {
            Ok(error) => Self::value(error),
            Err(_) => Self::text(failure.message),
        };
        let error = error.with_code(failure.code.unwrap_or(ErrorCode::Internal));
        match failure.details {
            Some(details) => error.with_details(&details),
            None => error,
        }
    }
}
