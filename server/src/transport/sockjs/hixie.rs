//! SockJS over the WebSocket before RFC 6455 (SockJS protocol 0.3.3, `WebsocketHixie76`).
//!
//! In: a stream behind the handshake, which is `http/hixie.rs`. Out: the messages within its frames.

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::{Close, sockjs};
use tokio::net::tcp::OwnedWriteHalf;

use super::inbox::{self, Inbox};
use crate::format::Format;
use crate::transport::received::{Leftover, Received};
use crate::transport::websocket::hixie::{self, Decoder, Frame};
use crate::transport::websocket::{NO_STATUS, Stream};
use crate::transport::{Incoming, Transport};

/// A SockJS session that lives on one connection of this kind.
pub(crate) struct SockJsHixie<S> {
    stream: S,
    decoder: Decoder,
    leftover: Leftover,
    inbox: Inbox,
}

impl<S: Stream> SockJsHixie<S> {
    /// Speaks on a stream whose handshake is done; `read` is what was already read of it.
    pub(crate) fn new(stream: S, read: Vec<u8>, max_message_bytes: usize) -> Self {
        Self {
            stream,
            decoder: Decoder::new(inbox::max_frame_bytes(max_message_bytes)),
            leftover: Leftover::new(read),
            inbox: Inbox::new(max_message_bytes),
        }
    }
}

impl<S: Stream> Transport for SockJsHixie<S> {
    const ANSWERS_HEARTBEATS: bool = false;

    fn format(&self) -> Format {
        Format::SockJsHixie
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        self.stream.take_direct()
    }

    fn greeting(&self) -> Option<Bytes> {
        Some(hixie::text(sockjs::OPEN).into())
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        if !self.inbox.is_empty() {
            return Poll::Ready(Ok(Some(Received::nothing())));
        }
        self.leftover.poll_receive(self.stream.reader(), cx)
    }

    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        if let Some(message) = self.inbox.next() {
            return Ok(Some(Incoming::Message(Cow::Owned(message))));
        }
        match self.decoder.decode(received)? {
            Some(Frame::Text(frame)) => {
                let first = self.inbox.read(frame, 0)?;
                Ok(Some(first.map_or(Incoming::Alive, Incoming::Message)))
            }
            Some(Frame::Closing) => {
                Ok(Some(Incoming::Closing(NO_STATUS, Bytes::from_static(hixie::CLOSING))))
            }
            None => Ok(None),
        }
    }

    fn put_back(&mut self, received: Received, whole: bool) {
        self.leftover.put_back(received, whole);
    }

    fn heartbeat(&self) -> Bytes {
        hixie::text(sockjs::HEARTBEAT).into()
    }

    fn closing(&self, close: &Close) -> Vec<Bytes> {
        let said = inbox::close_frame(close).map(|frame| hixie::text(&frame).into());
        said.into_iter().chain([Bytes::from_static(hixie::CLOSING)]).collect()
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.stream.poll_write(bytes, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }
}
