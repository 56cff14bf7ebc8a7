//! From an HTTP request to a connection of the WebSocket before RFC 6455
//! (draft-ietf-hybi-thewebsocketprotocol-00, sections 1.3 and 5), which SockJS still wants.
//!
//! In: a request with two keys. Out: 101 at once, since some proxies pass the rest of the handshake on only
//! then; and a task that reads that rest, proves that it was understood and takes the stream over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::task::TaskTracker;

use super::Head;
use super::body::ResponseBody;
use super::upgrade::{Accept, Refusal, has_token, plain};
use crate::session::driver::Shared;
use crate::transport::sockjs::hixie::SockJsHixie;
use crate::transport::websocket::{Plain, Wrapped};

const KEY_1: HeaderName = HeaderName::from_static("sec-websocket-key1");
const KEY_2: HeaderName = HeaderName::from_static("sec-websocket-key2");
/// How many bytes a client sends behind its request.
const NONCE: usize = 8;
/// How long a client may take to send them.
const NONCE_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether a request asks for a connection of this kind.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName| headers.contains_key(name);
    (says(KEY_1) || says(KEY_2)) && !says(header::SEC_WEBSOCKET_VERSION) && !says(header::SEC_WEBSOCKET_KEY)
}

/// A request that may become such a connection.
pub(super) struct Upgrade {
    stream: OnUpgrade,
    numbers: [u32; 2],
    origin: Option<HeaderValue>,
    location: HeaderValue,
}

impl Upgrade {
    /// Checks what there is of the handshake.
    pub(super) fn check(head: &mut Head) -> Result<Self, Refusal> {
        let bad = |why| Refusal(StatusCode::BAD_REQUEST, why);
        let headers = &head.headers;
        if !has_token(headers, &header::UPGRADE, "websocket") {
            return Err(bad("Can \"Upgrade\" only to \"WebSocket\"."));
        }
        if !has_token(headers, &header::CONNECTION, "upgrade") {
            return Err(bad("\"Connection\" must be \"Upgrade\"."));
        }
        let number = |name| headers.get(name).and_then(|key| number(key.as_bytes()));
        let (Some(first), Some(second)) = (number(KEY_1), number(KEY_2)) else {
            return Err(bad("Sec-WebSocket-Key1 and Sec-WebSocket-Key2 must hold numbers and spaces"));
        };
        let location = location(head).ok_or_else(|| bad("\"Host\" must name the server"))?;
        let origin = headers.get(header::ORIGIN).cloned();
        let stream = head
            .on_upgrade
            .take()
            .ok_or_else(|| bad("this HTTP version cannot be upgraded: use HTTP/1.1"))?;
        Ok(Self { stream, numbers: [first, second], origin, location })
    }

    /// Answers 101 and hands the connection to `accept`, in a task of `shared`'s node.
    pub(super) fn accept(self, shared: &Arc<Shared>, accept: impl Accept) -> Response<ResponseBody> {
        let Self { stream, numbers, origin, location } = self;
        let node = Arc::clone(&shared.node);
        shared.node.tasks.spawn(async move {
            let taken = async {
                match stream.await {
                    Ok(upgraded) => {
                        let limit = node.config.max_message_bytes;
                        take_over(upgraded, numbers, limit, accept, &node.tasks).await;
                    }
                    Err(error) => tracing::debug!(%error, "an upgrade was not completed"),
                }
            };
            let in_time = tokio::time::timeout(NONCE_TIMEOUT, taken);
            if let Some(Err(_)) = node.stop.run_until_cancelled(in_time).await {
                tracing::debug!("the rest of a handshake did not come in time");
            }
        });
        let mut response = Response::new(Bytes::new().into());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(origin) = origin {
            headers.insert(HeaderName::from_static("sec-websocket-origin"), origin);
        }
        headers.insert(HeaderName::from_static("sec-websocket-location"), location);
        response
    }
}

/// Does the rest of the handshake. The connection gets a task of its own: this one's memory holds the
/// handshake too.
async fn take_over(
    upgraded: Upgraded,
    numbers: [u32; 2],
    max_message_bytes: usize,
    accept: impl Accept,
    tasks: &TaskTracker,
) {
    match plain(upgraded) {
        Ok((mut stream, read)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY is not set");
            }
            let Ok(read) = prove(&mut stream, read.to_vec(), numbers).await else { return };
            let (reader, writer) = stream.into_split();
            let stream = Plain { reader, writer: Some(writer) };
            tasks.spawn(accept.run(SockJsHixie::new(stream, read, max_message_bytes)));
        }
        Err(upgraded) => {
            let mut stream = TokioIo::new(upgraded);
            let Ok(read) = prove(&mut stream, Vec::new(), numbers).await else { return };
            tasks.spawn(accept.run(SockJsHixie::new(Wrapped(stream), read, max_message_bytes)));
        }
    }
}

/// Reads the rest of the handshake, of which `read` has come already, and answers it. Gives what came behind.
async fn prove(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut read: Vec<u8>,
    numbers: [u32; 2],
) -> std::io::Result<Vec<u8>> {
    while read.len() < NONCE {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let behind = read.split_off(NONCE);
    // In one piece: some clients read it as one.
    stream.write_all(&proof(numbers, &read)).await?;
    stream.flush().await?;
    Ok(behind)
}

/// Proves that the handshake was understood (section 5.2, step 10).
fn proof(numbers: [u32; 2], nonce: &[u8]) -> [u8; 16] {
    let [first, second] = numbers.map(u32::to_be_bytes);
    Md5::new().chain_update(first).chain_update(second).chain_update(nonce).finalize().into()
}

/// The number that is hidden in a key: its digits, divided by how many spaces it has (section 5.2, steps 4 to 7).
fn number(key: &[u8]) -> Option<u32> {
    let mut digits = key.iter().filter(|byte| byte.is_ascii_digit()).peekable();
    digits.peek()?;
    let add = |number: u32, digit: &u8| number.checked_mul(10)?.checked_add(u32::from(digit - b'0'));
    let number = digits.try_fold(0, add)?;
    let spaces = u32::try_from(key.split(|byte| *byte == b' ').skip(1).count()).ok()?;
    (spaces > 0 && number.is_multiple_of(spaces)).then(|| number / spaces)
}

/// The URL that the client asked for, in its scheme for WebSockets.
fn location(head: &Head) -> Option<HeaderValue> {
    let says = |name: &str, value: &str| {
        head.headers.get(name).is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    let is_secure = says("x-forwarded-proto", "https")
        || says("x-forwarded-scheme", "https")
        || says("x-forwarded-ssl", "on")
        || says("https", "on");
    let scheme = if is_secure { "wss" } else { "ws" };
    let host = head.headers.get(header::HOST)?.to_str().ok()?;
    let query = if head.query.is_empty() { String::new() } else { format!("?{}", head.query) };
    HeaderValue::try_from(format!("{scheme}://{host}{}{query}", head.path)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proves_the_examples_of_the_draft() {
        // Section 1.3.
        let numbers =
            [number(b"4 @1  46546xW%0l 1 5"), number(b"12998 5 Y3 1  .P00")].map(Option::unwrap_or_default);
        assert_eq!(numbers, [829_309_203, 259_970_620]);
        assert_eq!(proof(numbers, b"^n:ds[4U"), *b"8jKS'y:G*Co,Wxa-");
    }

    #[test]
    fn refuses_keys_that_hide_no_number() {
        for key in ["", " ", "12345", "1 1 1", "no digits", "99999999999999999999999999 9"] {
            assert_eq!(number(key.as_bytes()), None, "{key:?}");
        }
        assert_eq!(number(b"a4b 2"), Some(42));
    }
}
