//! What a session tells its driver: things to do, and things to tell the user.

use std::time::Duration;

use super::error::{CallError, ConnectionError};
use crate::close::Close;
use crate::codec::Codec;
use crate::message::{Failure, ResyncReason, Settings};

/// Names one request of the user, for as long as the session lives. Later requests compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(super) u64);

/// Names a delivery or a resync that the user was told, for as long as the session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub(super) u64);

impl DeliveryId {
    /// As a number, for a driver whose user can be told nothing else.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The id of this number. One that was never told names nothing.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What a driver does with a publication that it could tell from other messages without reading all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// Tell the user at once. It is an [`Event::Message`] that need not pass through the session.
    Tell,
    /// The user was told before: do nothing.
    Told,
    /// Nothing has happened: hand it to [`handle_text`](super::Session::handle_text), as any other message.
    Long,
}

/// Something for the driver to do, in this order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Output<C: Codec> {
    /// Ask for a token, then call [`handle_token`](super::Session::handle_token).
    RequestToken,
    /// Open a transport, then call [`handle_opened`](super::Session::handle_opened), or
    /// [`handle_closed`](super::Session::handle_closed) when it cannot be opened, or
    /// [`handle_detour`](super::Session::handle_detour) when there is another one to try.
    Open,
    /// Send a text over the transport.
    Send(C::Text),
    /// Drop whatever [`Output::RequestToken`] or [`Output::Open`] started: abandon the request, or close
    /// the transport after what was to be sent before. Report nothing more of it.
    Close(Close),
    /// A request of the user is done. Comes exactly once for every [`CallId`].
    Resolve {
        /// Which request.
        call: CallId,
        /// What came of it. JSON `null` where the request has no result of its own.
        outcome: Result<C::Payload, CallError<C::Payload>>,
    },
    /// The server calls an action of ours. Hand its result to
    /// [`handle_answer`](super::Session::handle_answer).
    Invoke {
        /// The server's name for the call.
        fid: String,
        /// The action's dotted path.
        path: String,
        /// The argument.
        args: C::Payload,
        /// When the session will give up waiting, on the driver's clock.
        deadline: Option<Duration>,
    },
    /// Nobody wants the result of this action any more: stop it. An answer that still comes is ignored.
    CancelInvocation {
        /// The server's name for the call.
        fid: String,
    },
    /// Something the user may want to hear.
    Event(Event<C::Payload>),
}

/// Something the user may want to hear.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<P> {
    /// The session's state changed.
    State(State),
    /// The first attempt to connect is over. Comes once.
    Ready(Result<(), ConnectionError>),
    /// Any later attempt is over.
    Reconnect(Result<(), ConnectionError>),
    /// A connection that was ready is lost. A `Reconnect` follows, unless the state says
    /// [`State::Ended`].
    Disconnected(ConnectionError),
    /// A publication.
    Message {
        /// The channel's name, as it came.
        channel: String,
        /// What was published.
        message: P,
    },
    /// A channel that was followed is no longer, and the user did not ask for that.
    SubscriptionLost {
        /// The channel's name.
        channel: String,
        /// Why the server refused to subscribe us again after a reconnect; `None` when it ended the
        /// subscription of its own accord.
        failure: Option<Failure<P>>,
    },
    /// After a reconnect a channel with history goes on without a gap: this is what was published meanwhile, in
    /// order. What is published from now on follows.
    Recovered {
        /// The channel's name.
        channel: String,
        /// What was missed; nothing, when nothing was.
        publications: Vec<P>,
    },
    /// Publications of a followed channel are lost to the user, because the server does not keep them any more or
    /// began anew; on a channel without history, or a pattern, they may be, because the server was cut off from others:
    /// what the user knows of the channel has to be fetched. What is published from now on follows.
    Unrecovered {
        /// The channel's name.
        channel: String,
    },
    /// The server takes this name as a pattern: its reader gets the publications of every channel that the pattern
    /// covers, by their own names.
    Pattern {
        /// The pattern.
        channel: String,
    },
    /// Somebody came to a followed channel, or is gone.
    Member {
        /// The channel's name.
        channel: String,
        /// Who.
        member: P,
        /// Whether it came.
        joined: bool,
    },
    /// What follows is of this device's queue. Comes on every connection.
    Settings(Settings),
    /// So many deliveries follow that were kept while the device was away.
    Batch {
        /// Those that the user was not told yet.
        deliveries: usize,
    },
    /// Something was delivered to this device. Say [`handle_acknowledge`](super::Session::handle_acknowledge) when
    /// it is handled; until then the server keeps it.
    Delivery {
        /// Names it.
        id: DeliveryId,
        /// The event's name.
        event: String,
        /// Its arguments, an array.
        args: P,
    },
    /// Deliveries of an event, or of all events, are lost to this device: the application has to fetch what they were
    /// about. Say [`handle_acknowledge`](super::Session::handle_acknowledge) when it has.
    Resync {
        /// Names it.
        id: DeliveryId,
        /// Of which event; `None`: of all.
        event: Option<String>,
        /// Why.
        reason: ResyncReason,
    },
    /// A text came that was no JSON, or a message nobody knows, or an error that answers no request. It
    /// has no effect.
    Ignored,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asking for a token, opening a transport, or authenticating.
    Connecting,
    /// Authenticated: calls go out at once.
    Ready,
    /// Waiting to try again. Also before the start.
    Disconnected,
    /// Over for good. Every call fails.
    Ended,
}
