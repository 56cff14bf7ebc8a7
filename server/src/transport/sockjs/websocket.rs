//! SockJS over WebSocket: messages in SockJS frames, one frame in each text frame.
//!
//! In: a [`WebSocket`]. Out: the messages within its frames.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::{Close, sockjs};
use tokio::net::tcp::OwnedWriteHalf;

use crate::format::Format;
use crate::transport::received::Received;
use crate::transport::websocket::{Stream, WebSocket, frame};
use crate::transport::{Incoming, Transport};

/// A SockJS session that lives on one WebSocket.
pub(crate) struct SockJsWebSocket<S> {
    socket: WebSocket<S>,
    /// Messages of a frame that came and were not handed over yet. A frame's size is limited, so is this.
    received: VecDeque<String>,
}

impl<S: Stream> SockJsWebSocket<S> {
    pub(crate) fn new(socket: WebSocket<S>) -> Self {
        Self { socket, received: VecDeque::new() }
    }
}

impl<S: Stream> Transport for SockJsWebSocket<S> {
    fn format(&self) -> Format {
        Format::SockJs
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        self.socket.take_direct()
    }

    fn greeting(&self) -> Option<Bytes> {
        Some(frame::text(sockjs::OPEN.as_bytes()).into())
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        if !self.received.is_empty() {
            return Poll::Ready(Ok(Some(Received::nothing())));
        }
        self.socket.poll_receive(cx)
    }

    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        if let Some(message) = self.received.pop_front() {
            return Ok(Some(Incoming::Message(message.into())));
        }
        match self.socket.decode(received)? {
            Some(Incoming::Message(frame)) => {
                let messages = sockjs::messages(&frame).map_err(|_| Close::BROKEN_FRAMING)?;
                self.received = messages.into();
                let first = self.received.pop_front();
                Ok(Some(first.map_or(Incoming::Alive, |message| Incoming::Message(message.into()))))
            }
            other => Ok(other),
        }
    }

    fn put_back(&mut self, received: Received, whole: bool) {
        self.socket.put_back(received, whole);
    }

    fn heartbeat(&self) -> (Bytes, bool) {
        self.socket.heartbeat()
    }

    fn closing(&self, close: &Close) -> Vec<Bytes> {
        let mut frames = vec![frame::text(sockjs::close_frame(close).as_bytes()).into()];
        frames.extend(self.socket.closing(close));
        frames
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.socket.poll_write(bytes, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx)
    }
}
