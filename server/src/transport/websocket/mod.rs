//! The plain WebSocket (RFC 6455): one text frame is one message.
//!
//! In: an upgraded stream. Out: messages. The handshake is `http/upgrade.rs`.

pub(crate) mod decoder;
pub(crate) mod frame;
pub(crate) mod hixie;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::Close;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::received::{Leftover, Received};
use super::{Incoming, Transport};
use crate::format::Format;
use decoder::{Decoder, Frame};

/// What a close frame without a code means (RFC 6455, section 7.1.5).
pub(crate) const NO_STATUS: Close = Close { code: 1005, reason: std::borrow::Cow::Borrowed("") };

/// A stream to read from, and either to write to or to give the writing half away.
pub(crate) trait Stream: Send + Unpin + 'static {
    type Reader: AsyncRead + Unpin;

    fn reader(&mut self) -> &mut Self::Reader;
    fn take_direct(&mut self) -> Option<OwnedWriteHalf>;
    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A TCP stream, in halves, so that others may write to it while it is read.
pub(crate) struct Plain {
    pub(crate) reader: OwnedReadHalf,
    pub(crate) writer: Option<OwnedWriteHalf>,
}

impl Stream for Plain {
    type Reader = OwnedReadHalf;

    fn reader(&mut self) -> &mut OwnedReadHalf {
        &mut self.reader
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        self.writer.take()
    }

    fn poll_write(&mut self, _: &[u8], _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Any other stream, such as TLS: only the connection's own task writes to it.
pub(crate) struct Wrapped<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for Wrapped<S> {
    type Reader = S;

    fn reader(&mut self) -> &mut S {
        &mut self.0
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        None
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
}

/// A WebSocket connection on the server's side.
pub(crate) struct WebSocket<S> {
    stream: S,
    decoder: Decoder,
    leftover: Leftover,
}

impl<S: Stream> WebSocket<S> {
    /// Speaks WebSocket on a stream that was upgraded; `read` is what was already read of it.
    pub(crate) fn new(stream: S, read: Vec<u8>, max_message_bytes: usize) -> Self {
        Self { stream, decoder: Decoder::new(max_message_bytes), leftover: Leftover::new(read) }
    }

    /// Takes messages of bytes, too.
    #[cfg(any(feature = "socketio", feature = "events"))]
    pub(crate) fn takes_binary(mut self) -> Self {
        self.decoder = self.decoder.takes_binary();
        self
    }

    /// The next frame of what was read.
    pub(crate) fn decode_frame<'a>(
        &mut self,
        received: &'a mut Received,
    ) -> Result<Option<Frame<'a>>, Close> {
        self.decoder.decode(received)
    }
}

/// What a frame means that is no message.
pub(crate) fn control(frame: Frame<'_>) -> Incoming<'_> {
    match frame {
        Frame::Ping(payload) => Incoming::Answer(frame::pong(payload).into()),
        Frame::Text(_) | Frame::Binary(_) | Frame::Pong => Incoming::Alive,
        Frame::Close(Some(close)) => {
            let answer = frame::close(&Close::new(close.code, "")).into();
            Incoming::Closing(close, answer)
        }
        Frame::Close(None) => Incoming::Closing(NO_STATUS, frame::close_without_code().into()),
    }
}

impl<S: Stream> Transport for WebSocket<S> {
    const ANSWERS_HEARTBEATS: bool = true;

    fn format(&self) -> Format {
        Format::Raw
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        self.stream.take_direct()
    }

    fn greeting(&self) -> Option<Bytes> {
        None
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        self.leftover.poll_receive(self.stream.reader(), cx)
    }

    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        // Each arm writes its result where the caller wants it: what is mapped is moved about instead.
        match self.decode_frame(received) {
            Ok(Some(Frame::Text(payload))) => match payload.into_text() {
                Ok(text) => Ok(Some(Incoming::Message(text))),
                Err(close) => Err(close),
            },
            Ok(Some(Frame::Binary(payload))) => Ok(Some(Incoming::Binary(payload.into_bytes()))),
            Ok(Some(other)) => Ok(Some(control(other))),
            Ok(None) => Ok(None),
            Err(close) => Err(close),
        }
    }

    fn put_back(&mut self, received: Received, whole: bool) {
        self.leftover.put_back(received, whole);
    }

    fn heartbeat(&self) -> Bytes {
        frame::ping().into()
    }

    fn closing(&self, close: &Close) -> Vec<Bytes> {
        vec![frame::close(close).into()]
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.stream.poll_write(bytes, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }
}
