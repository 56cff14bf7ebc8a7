//! Engine.IO, protocols 3 and 4: a session that polling requests carry, or a WebSocket, or first the one and then the
//! other.
//!
//! ```text
//! GET, POST ──▶ Exchange ──┐
//!                          ├──▶ Session ──▶ whoever runs it (dialect/socketio)
//! WebSocket ──▶ Link ──────┘
//! ```
//!
//! In: requests, WebSockets. Out: messages in both directions, bounded. What its paths answer is `http/engineio`.
//! Must not know: what messages say.

pub(crate) mod exchange;
mod probe;
pub(crate) mod session;
pub(crate) mod table;
pub(crate) mod websocket;

use std::io;
use std::task::{Context, Poll};

use tokensocket_protocol::Close;

use super::received::Received;
use super::{Incoming, Transport};

/// A WebSocket that carries a session, or wants to: any transport whose frames are encoded elsewhere.
pub(crate) trait Link: Send {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>>;
    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close>;
    fn put_back(&mut self, received: Received, whole: bool);
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<T: Transport> Link for T {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        Transport::poll_receive(self, cx)
    }

    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        Transport::decode(self, received)
    }

    fn put_back(&mut self, received: Received, whole: bool) {
        Transport::put_back(self, received, whole);
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Transport::poll_write(self, bytes, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Transport::poll_flush(self, cx)
    }
}
