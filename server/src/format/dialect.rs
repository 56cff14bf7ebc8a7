//! What a node has to say, as it stands on the wire of each kind of client.
//!
//! In: publications, deliveries, calls, as the node knows them. Out: texts, which a [`Format`](super::Format) then
//! frames. What is the same for many sockets is encoded once for each format; what is for one, once for it. What a
//! dialect has no word for, it does not say.

#[cfg(feature = "events")]
mod event;
#[cfg(feature = "socketio")]
pub(crate) mod socketio;

use std::time::Duration;

use tokensocket_protocol::command::call::{self, Fid};
use tokensocket_protocol::command::deliver::{self, Delivery};
use tokensocket_protocol::command::publish;
use tokensocket_protocol::{Channel, Epoch, RawJson, ResyncReason};

use super::record::Note;

/// What a client speaks, whatever carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `docs/protocol.md`.
    TokenSocket,
    /// Socket.IO's packets, without their namespace.
    #[cfg(feature = "socketio")]
    SocketIo,
    /// Messages with an `event`.
    #[cfg(feature = "events")]
    Event,
}

/// Something for one socket.
#[derive(Debug)]
pub(crate) struct Said {
    /// As it stands on the wire, not framed.
    pub(crate) text: Vec<u8>,
    /// What is to be done when it has been written, for formats that keep notes.
    pub(crate) note: Note,
}

impl From<Vec<u8>> for Said {
    fn from(text: Vec<u8>) -> Self {
        Self { text, note: Note::None }
    }
}

impl Dialect {
    /// Whether its clients know of subscriptions, presence and answers of the server's own: what only the
    /// TokenSocket wire has words for.
    pub(crate) fn is_native(self) -> bool {
        self == Self::TokenSocket
    }

    /// One message on a channel. The same for all sockets of a format.
    pub(crate) fn publication(self, channel: &Channel, message: &RawJson, offset: Option<u64>) -> Vec<u8> {
        match self {
            Self::TokenSocket => publish::publication(channel, message, offset),
            #[cfg(feature = "socketio")]
            Self::SocketIo => socketio::event(None, channel.as_str(), message.as_bytes()),
            #[cfg(feature = "events")]
            Self::Event => event::publication(channel, message),
        }
    }

    /// An event of the application's own with its arguments, a JSON array.
    pub(crate) fn event(self, name: &str, args: &RawJson) -> Vec<u8> {
        match self {
            // A channel's message is one value.
            Self::TokenSocket => event_on_channel(name, args),
            #[cfg(feature = "socketio")]
            Self::SocketIo => socketio::event(None, name, socketio::elements(args)),
            #[cfg(feature = "events")]
            Self::Event => event::event(name, args),
        }
    }

    /// Greets a device. `ttl`: for how long this one is remembered; `usual`: for how long one with a name is.
    #[cfg_attr(
        not(feature = "events"),
        allow(clippy::unnecessary_wraps, reason = "event clients are not greeted")
    )]
    pub(crate) fn settings(
        self,
        ttl: Duration,
        usual: Duration,
        device: &str,
        epoch: &Epoch,
        resumed: bool,
    ) -> Option<Said> {
        let _ = usual;
        match self {
            Self::TokenSocket => Some(deliver::settings(ttl, device, epoch, resumed).into()),
            #[cfg(feature = "socketio")]
            Self::SocketIo => Some(socketio::settings(usual).into()),
            #[cfg(feature = "events")]
            Self::Event => None,
        }
    }

    /// What was kept for a device, in order: never nothing. `last` is the place of the last entry.
    pub(crate) fn batch<'a>(
        self,
        last: u64,
        entries: impl Iterator<Item = Delivery<'a>>,
        mut say: impl FnMut(Said),
    ) {
        match self {
            Self::TokenSocket => say(deliver::batch(last, entries).into()),
            #[cfg(feature = "socketio")]
            Self::SocketIo => say(Said { text: socketio::batch(last, entries), note: Note::Batch(last) }),
            #[cfg(feature = "events")]
            Self::Event => entries.for_each(|entry| say(self.deliver(entry))),
        }
    }

    /// One entry, live.
    pub(crate) fn deliver(self, entry: Delivery<'_>) -> Said {
        let note = Note::Delivery(entry.seq);
        let text = match self {
            Self::TokenSocket => deliver::deliver(entry),
            #[cfg(feature = "socketio")]
            Self::SocketIo => socketio::deliver(entry),
            #[cfg(feature = "events")]
            Self::Event => event::event(entry.event, entry.args),
        };
        Said { text, note }
    }

    /// The device has to fetch everything.
    pub(crate) fn resync(self, number: u64, event: Option<&str>, reason: ResyncReason) -> Said {
        let text = match self {
            Self::TokenSocket => deliver::resync(number, event, reason),
            #[cfg(feature = "socketio")]
            Self::SocketIo => socketio::resync(),
            #[cfg(feature = "events")]
            Self::Event => event::resync(event, reason),
        };
        Said { text, note: Note::Resync(number) }
    }

    /// A call of the client's action, or an event that it acknowledges. `None`: it can answer none.
    #[cfg_attr(
        not(feature = "events"),
        allow(clippy::unnecessary_wraps, reason = "event clients answer nothing")
    )]
    pub(crate) fn call(
        self,
        fid: Fid,
        path: &str,
        argument: &RawJson,
        timeout: Option<Duration>,
    ) -> Option<Vec<u8>> {
        match self {
            Self::TokenSocket => Some(call::call_down(fid, path, argument, timeout)),
            #[cfg(feature = "socketio")]
            Self::SocketIo => {
                Some(socketio::event(Some(socketio::Ack::Call(fid)), path, argument.as_bytes()))
            }
            #[cfg(feature = "events")]
            Self::Event => None,
        }
    }

    /// The answer to a call is no longer wanted.
    pub(crate) fn cancel(self, fid: Fid) -> Option<Vec<u8>> {
        self.is_native().then(|| call::cancel_down(fid))
    }
}

/// On a channel an event's only argument is the message; none is `null`, several are an array.
fn event_on_channel(name: &str, args: &RawJson) -> Vec<u8> {
    let arguments: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(args.as_bytes()).unwrap_or_default();
    let message: &[u8] = match arguments[..] {
        [] => b"null",
        [only] => only.get().as_bytes(),
        _ => args.as_bytes(),
    };
    let mut text = b"{\"channel\":".to_vec();
    push_text(&mut text, name);
    text.extend_from_slice(b",\"message\":");
    text.extend_from_slice(message);
    text.push(b'}');
    text
}

/// Appends a JSON string.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    // Text is always JSON, and a `Vec` takes all of it.
    let _ = serde_json::to_writer(out, text);
}
