//! A client's WebSocket over a simulated connection: text in, text out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream as _};
use tokensocket_protocol::Close;
use tokensocket_protocol::client::ConnectionError;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::network::Stream;

/// How long a close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// An open WebSocket.
pub(super) struct Transport {
    socket: WebSocketStream<Stream>,
    outgoing: VecDeque<Utf8Bytes>,
    unflushed: bool,
}

impl Transport {
    pub(super) async fn open(stream: Stream) -> Result<Self, ConnectionError> {
        let opened = tokio_tungstenite::client_async("ws://server/sockets/websocket", stream).await;
        let (socket, _) = opened.map_err(|error| ConnectionError::Transport(error.to_string()))?;
        Ok(Self { socket, outgoing: VecDeque::new(), unflushed: false })
    }

    pub(super) fn send(&mut self, text: Bytes) {
        // The session's codec writes UTF-8.
        if let Ok(text) = Utf8Bytes::try_from(text) {
            self.outgoing.push_back(text);
        }
    }

    /// Writes what is to be written, and gives the next text unless `deaf`. May be dropped and called again.
    pub(super) async fn next(&mut self, deaf: bool) -> Result<Bytes, ConnectionError> {
        poll_fn(|cx| self.poll_next(deaf, cx)).await
    }

    fn poll_next(&mut self, deaf: bool, cx: &mut Context<'_>) -> Poll<Result<Bytes, ConnectionError>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(ConnectionError::Transport(error.to_string())));
        }
        if deaf {
            return Poll::Pending;
        }
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Ok(text.into()),
                Some(Ok(Message::Close(frame))) => Err(ConnectionError::Closed(frame.map_or_else(
                    || Close::new(1005, "no reason given"),
                    |frame| Close::new(frame.code.into(), frame.reason.as_str().to_owned()),
                ))),
                Some(Ok(_)) => continue,
                Some(Err(error)) => Err(ConnectionError::Transport(error.to_string())),
                None => Err(ConnectionError::Transport("the connection was cut".to_owned())),
            });
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.outgoing.is_empty() {
            ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(text) = self.outgoing.pop_front() {
                self.unflushed = true;
                socket.as_mut().start_send(Message::Text(text))?;
            }
        }
        if self.unflushed {
            ready!(socket.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is still to be sent, then closes, and waits for the peer to close too, for a while.
    pub(super) async fn close(mut self, close: Option<Close>) {
        let closing = async {
            poll_fn(|cx| self.poll_write(cx)).await?;
            let frame = close.map(|close| CloseFrame {
                code: close.code.into(),
                reason: close.reason.into_owned().into(),
            });
            self.socket.close(frame).await?;
            while let Some(message) = poll_fn(|cx| Pin::new(&mut self.socket).poll_next(cx)).await {
                message?;
            }
            Ok::<_, Error>(())
        };
        // The connection is gone either way.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }
}
