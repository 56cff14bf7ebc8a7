//! From an HTTP request to a connection of our own (RFC 6455, section 4.2).
//!
//! In: a request that asks for a WebSocket. Out: 101, and a task that takes the stream over, or a clear
//! refusal. The stream is taken out of hyper where it is a plain TCP stream, so that nothing of the HTTP
//! connection stays in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::Head;
use super::body::ResponseBody;
use crate::session::driver::{Driver, Shared};
use crate::transport::Transport;
#[cfg(feature = "socketio")]
use crate::transport::engineio::websocket::EngineWebSocket;
use crate::transport::sockjs::{self, websocket::SockJsWebSocket};
use crate::transport::websocket::{Plain, Stream, WebSocket, Wrapped};

/// What takes an upgraded connection over.
pub(crate) trait Accept: Send + 'static {
    /// Runs on `transport` until it ends.
    fn run<T: Transport>(self, transport: T) -> impl Future<Output = ()> + Send;
}

/// A connection that speaks TokenSocket.
pub(crate) struct TokenSocket {
    pub(crate) shared: Arc<Shared>,
    pub(crate) remote_address: Option<SocketAddr>,
    pub(crate) admission: crate::node::Admission,
}

impl Accept for TokenSocket {
    fn run<T: Transport>(self, transport: T) -> impl Future<Output = ()> + Send {
        Driver::new(self.shared, transport, self.remote_address, self.admission).run()
    }
}

/// Why a request cannot become a WebSocket: its status and what to say.
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) &'static str);

/// How messages travel on the WebSocket that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each text frame is one.
    Raw,
    /// In SockJS's frames.
    SockJs,
    /// Each frame is one, of text or of bytes.
    #[cfg(feature = "events")]
    Either,
    /// Each text or binary frame is one packet of Engine.IO.
    #[cfg(feature = "socketio")]
    EngineIo,
}

impl Framing {
    /// Whether a version of WebSocket is understood: for SockJS also the last drafts, which frame messages in the
    /// same way and were shipped in browsers (draft-ietf-hybi-thewebsocketprotocol-07 and -08).
    fn takes_version(self, version: &[u8]) -> bool {
        version == b"13" || self == Self::SockJs && matches!(version, b"7" | b"8")
    }
}

/// A request that may become a WebSocket.
#[derive(Debug)]
pub(crate) struct Upgrade {
    stream: OnUpgrade,
    accept_key: HeaderValue,
    framing: Framing,
}

impl Upgrade {
    /// Checks the handshake of a `GET`.
    pub(crate) fn check(head: &mut Head, framing: Framing) -> Result<Self, Refusal> {
        let headers = &head.headers;
        if !has_token(headers, &header::UPGRADE, "websocket") {
            return Err(Refusal(StatusCode::BAD_REQUEST, "Can \"Upgrade\" only to \"WebSocket\"."));
        }
        if !has_token(headers, &header::CONNECTION, "upgrade") {
            return Err(Refusal(StatusCode::BAD_REQUEST, "\"Connection\" must be \"Upgrade\"."));
        }
        let version = headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
        if !version.is_some_and(|version| framing.takes_version(version)) {
            return Err(Refusal(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13"));
        }
        // 16 bytes in base64: 22 characters and two equals signs.
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|key| key.len() == 24 && key.ends_with(b"==")) else {
            return Err(Refusal(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64"));
        };
        let accept_key = HeaderValue::from_str(&accept_key(key))
            .map_err(|_| Refusal(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64"))?;
        let Some(stream) = head.on_upgrade.take() else {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "this HTTP version cannot be upgraded: use HTTP/1.1",
            ));
        };
        Ok(Self { stream, accept_key, framing })
    }

    /// Answers 101 and hands the connection to `accept`, in one of `tasks`.
    pub(crate) fn accept(
        self,
        tasks: &TaskTracker,
        max_message_bytes: usize,
        accept: impl Accept,
    ) -> Response<ResponseBody> {
        let Self { stream, accept_key, framing } = self;
        let upgrading = tasks.clone();
        tasks.spawn(async move {
            let tasks = upgrading;
            match stream.await {
                // The connection gets a task of its own: this one's memory holds the handshake too.
                Ok(upgraded) => take_over(upgraded, max_message_bytes, framing, accept, &tasks),
                Err(error) => tracing::debug!(%error, "an upgrade was not completed"),
            }
        });
        let mut response = Response::new(Bytes::new().into());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_key);
        response
    }
}

fn take_over(
    upgraded: Upgraded,
    max_message_bytes: usize,
    framing: Framing,
    accept: impl Accept,
    tasks: &TaskTracker,
) {
    let limit = match framing {
        Framing::Raw => max_message_bytes,
        #[cfg(feature = "events")]
        Framing::Either => max_message_bytes,
        #[cfg(feature = "socketio")]
        Framing::EngineIo => max_message_bytes,
        Framing::SockJs => sockjs::inbox::max_frame_bytes(max_message_bytes),
    };
    let (stream, read) = match plain(upgraded) {
        Ok(plain) => plain,
        Err(upgraded) => {
            #[cfg(feature = "tls")]
            let upgraded = match upgraded.downcast::<TokioIo<tokio_rustls::server::TlsStream<TcpStream>>>() {
                Ok(parts) => {
                    let stream = Wrapped(parts.io.into_inner());
                    let socket = WebSocket::new(stream, parts.read_buf.to_vec(), limit);
                    return spawn(socket, max_message_bytes, framing, accept, tasks);
                }
                Err(upgraded) => upgraded,
            };
            let socket = WebSocket::new(Wrapped(TokioIo::new(upgraded)), Vec::new(), limit);
            return spawn(socket, max_message_bytes, framing, accept, tasks);
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not set");
    }
    let (reader, writer) = stream.into_split();
    let socket = WebSocket::new(Plain { reader, writer: Some(writer) }, read.to_vec(), limit);
    spawn(socket, max_message_bytes, framing, accept, tasks);
}

/// The TCP stream under an upgraded connection, with what was already read of it.
pub(super) fn plain(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let upgraded = match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    upgraded.downcast::<TokioIo<TcpStream>>().map(|parts| (parts.io.into_inner(), parts.read_buf))
}

fn spawn<S: Stream>(
    socket: WebSocket<S>,
    max_message_bytes: usize,
    framing: Framing,
    accept: impl Accept,
    tasks: &TaskTracker,
) {
    match framing {
        Framing::Raw => drop(tasks.spawn(accept.run(socket))),
        #[cfg(feature = "events")]
        Framing::Either => drop(tasks.spawn(accept.run(socket.takes_binary()))),
        #[cfg(feature = "socketio")]
        Framing::EngineIo => drop(tasks.spawn(accept.run(EngineWebSocket::new(socket)))),
        Framing::SockJs => {
            drop(tasks.spawn(accept.run(SockJsWebSocket::new(socket, max_message_bytes))));
        }
    }
}

/// Proves that the handshake was understood (RFC 6455, section 4.2.2, step 5.4).
fn accept_key(key: &[u8]) -> String {
    let digest =
        Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    BASE64_STANDARD.encode(digest)
}

/// Whether a header's comma-separated list has `token`, in whatever case.
pub(super) fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_key_of_the_specification() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
