//! One transport per file, each behind the small trait [`Transport`].
//!
//! In: bytes of a connection. Out: the messages of its client; and frames, encoded elsewhere, as bytes
//! again. A transport knows framing and closing; it knows neither the wire's messages nor sessions.

#[cfg(feature = "socketio")]
pub(crate) mod engineio;
pub(crate) mod received;
pub(crate) mod sockjs;
pub(crate) mod websocket;

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::Close;
use tokio::net::tcp::OwnedWriteHalf;

use crate::format::Format;
use received::Received;

/// What came in.
pub(crate) enum Incoming<'a> {
    /// A message.
    Message(Cow<'a, str>),
    /// A message of bytes, from a transport that takes them.
    #[cfg_attr(
        not(any(feature = "socketio", feature = "events")),
        allow(dead_code, reason = "no other transport takes any")
    )]
    Binary(Cow<'a, [u8]>),
    /// A sign of life that wants this frame as its answer.
    Answer(Bytes),
    /// A sign of life.
    Alive,
    /// The peer closes, and wants this frame as its answer. Nothing follows.
    Closing(Close, Bytes),
}

/// A connection that carries messages in both directions.
pub(crate) trait Transport: Send + Unpin + 'static {
    /// Whether a living peer answers a heartbeat. Where it does not, heartbeats are sent however much the
    /// peer says: they are for what stands between, and for browsers that wait.
    const ANSWERS_HEARTBEATS: bool;

    /// How frames for this transport are encoded.
    fn format(&self) -> Format;

    /// Gives away the way to write without waiting, if there is one. From then on nothing is written
    /// through [`Transport::poll_write`].
    fn take_direct(&mut self) -> Option<OwnedWriteHalf>;

    /// What the transport says first, before any message.
    fn greeting(&self) -> Option<Bytes>;

    /// Reads what is there; `None` at the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>>;

    /// Takes the next message out of what was read. An error is the close that the peer deserves.
    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close>;

    /// Takes back what was not decoded. `whole` says that it may hold whole messages.
    fn put_back(&mut self, received: Received, whole: bool);

    /// A sign of life.
    fn heartbeat(&self) -> Bytes;

    /// The frames that say why it ends.
    fn closing(&self, close: &Close) -> Vec<Bytes>;

    /// Writes some of `bytes`.
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// Sends what was written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
