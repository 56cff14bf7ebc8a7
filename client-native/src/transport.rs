//! The raw WebSocket: text in, text out, one flush for a burst.
//!
//! In: an address, texts to send. Out: texts, pings answered by tungstenite, and why it ended. Knows
//! nothing of what the texts mean. Nothing here waits for the peer to read: what cannot be written yet is
//! kept, and [`Transport::backlog`] tells how much that is.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use http::HeaderMap;
use rustls::pki_types::ServerName;
use tokensocket_protocol::Close;
use tokensocket_protocol::client::ConnectionError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::address::Address;
use crate::token::with_causes;

/// How long a close may take: what is still to be sent, the close frame, and the peer's.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const READ_BUFFER_BYTES: usize = 8 * 1024;

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// How to open a transport.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) address: Address,
    pub(crate) headers: HeaderMap,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) max_message_bytes: usize,
}

impl Opening {
    pub(crate) async fn open(self) -> Result<Transport, ConnectionError> {
        let broken = |error: &dyn std::error::Error| ConnectionError::Transport(with_causes(error));
        let Address { host, port, secure, socket_url, .. } = self.address;
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|error| broken(&error))?;
        tcp.set_nodelay(true).map_err(|error| broken(&error))?;
        let stream: Box<dyn Connection> = if secure {
            let name = ServerName::try_from(host).map_err(|error| broken(&error))?;
            let connector = tokio_rustls::TlsConnector::from(self.tls);
            Box::new(connector.connect(name, tcp).await.map_err(|error| broken(&error))?)
        } else {
            Box::new(tcp)
        };
        let mut request = socket_url.as_str().into_client_request().map_err(|error| broken(&error))?;
        // The handshake's own headers are not the user's to change.
        let own = request.headers().clone();
        for (name, value) in self.headers.iter().filter(|(name, _)| !own.contains_key(*name)) {
            request.headers_mut().append(name, value.clone());
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(self.max_message_bytes))
            .max_frame_size(Some(self.max_message_bytes));
        let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = opened.map_err(|error| broken(&error))?;
        Ok(Transport { socket, outgoing: VecDeque::new(), backlog: 0, unflushed: false })
    }
}

pub(crate) struct Transport {
    socket: WebSocketStream<Box<dyn Connection>>,
    outgoing: VecDeque<Utf8Bytes>,
    backlog: usize,
    unflushed: bool,
}

impl Transport {
    /// Sends a text, as soon as the peer takes it.
    pub(crate) fn send(&mut self, text: Bytes) {
        // The session's codec writes UTF-8.
        let Ok(text) = Utf8Bytes::try_from(text) else { return };
        self.backlog += text.len();
        self.outgoing.push_back(text);
    }

    /// How many bytes wait because the peer does not read.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog
    }

    /// Writes what is to be written and gives the next text. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Bytes, ConnectionError> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, ConnectionError>> {
        if let Poll::Ready(Err(error)) = self.poll_write(context) {
            return Poll::Ready(Err(broken(&error)));
        }
        loop {
            let socket = std::pin::Pin::new(&mut self.socket);
            match ready!(socket.poll_next(context)) {
                Some(Ok(Message::Text(text))) => return Poll::Ready(Ok(text.into())),
                Some(Ok(Message::Close(frame))) => return Poll::Ready(Err(closed(frame))),
                // Pings are answered by tungstenite; nobody sends binary messages.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => {
                    let error = ConnectionError::Transport("the connection was cut".to_owned());
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut socket = std::pin::Pin::new(&mut self.socket);
        while !self.outgoing.is_empty() {
            ready!(socket.as_mut().poll_ready(context))?;
            if let Some(text) = self.outgoing.pop_front() {
                self.backlog -= text.len();
                self.unflushed = true;
                socket.as_mut().start_send(Message::Text(text))?;
            }
        }
        if self.unflushed {
            ready!(socket.poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is still to be sent, then closes, and waits for the peer to close too; gives up after
    /// 2 s.
    pub(crate) async fn close(mut self, close: Option<Close>) {
        let closing = async {
            poll_fn(|context| self.poll_write(context)).await?;
            let frame = close.map(|close| CloseFrame {
                code: close.code.into(),
                reason: close.reason.into_owned().into(),
            });
            // After the peer's close frame this only flushes the answer to it.
            self.socket.close(frame).await?;
            while let Some(message) =
                poll_fn(|context| std::pin::Pin::new(&mut self.socket).poll_next(context)).await
            {
                message?;
            }
            Ok::<_, Error>(())
        };
        // What goes wrong while closing changes nothing: the connection is gone either way.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }
}

fn closed(frame: Option<CloseFrame>) -> ConnectionError {
    match frame {
        Some(frame) => {
            ConnectionError::Closed(Close::new(frame.code.into(), frame.reason.as_str().to_owned()))
        }
        None => ConnectionError::Closed(Close::new(1005, "no reason given")),
    }
}

fn broken(error: &Error) -> ConnectionError {
    ConnectionError::Transport(with_causes(error))
}
