//! Engine.IO over WebSocket: each frame is one packet, of text or of bytes.
//!
//! In: a [`WebSocket`]. Out: its frames' payloads. Nobody but the session's own task writes to it, since a session
//! may carry several sockets and change its transport.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::Close;
use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use crate::format::Format;
use crate::transport::received::Received;
use crate::transport::websocket::decoder::Frame;
use crate::transport::websocket::{Stream, WebSocket, control};
use crate::transport::{Incoming, Transport};

/// A WebSocket that carries packets.
pub(crate) struct EngineWebSocket<S> {
    socket: WebSocket<S>,
    direct: Option<OwnedWriteHalf>,
}

impl<S: Stream> EngineWebSocket<S> {
    pub(crate) fn new(socket: WebSocket<S>) -> Self {
        let mut socket = socket.takes_binary();
        let direct = socket.take_direct();
        Self { socket, direct }
    }
}

impl<S: Stream> Transport for EngineWebSocket<S> {
    const ANSWERS_HEARTBEATS: bool = true;

    fn format(&self) -> Format {
        Format::Raw
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        None
    }

    fn greeting(&self) -> Option<Bytes> {
        None
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        Transport::poll_receive(&mut self.socket, cx)
    }

    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        let incoming = |frame| match frame {
            Frame::Text(payload) => payload.into_text().map(Incoming::Message),
            Frame::Binary(payload) => Ok(Incoming::Binary(payload.into_bytes())),
            other => Ok(control(other)),
        };
        self.socket.decode_frame(received)?.map(incoming).transpose()
    }

    fn put_back(&mut self, received: Received, whole: bool) {
        Transport::put_back(&mut self.socket, received, whole);
    }

    fn heartbeat(&self) -> Bytes {
        self.socket.heartbeat()
    }

    fn closing(&self, close: &Close) -> Vec<Bytes> {
        self.socket.closing(close)
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.direct {
            Some(direct) => Pin::new(direct).poll_write(cx, bytes),
            None => Transport::poll_write(&mut self.socket, bytes, cx),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Transport::poll_flush(&mut self.socket, cx)
    }
}
