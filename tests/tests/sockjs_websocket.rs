//! SockJS by WebSocket: the handshake, sessions in frames, and the raw endpoint.
//!
//! Each test names the section of the SockJS protocol text (0.3.3) that it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokensocket_server::SockJsOptions;
use tokensocket_tests::limit::within;
use tokensocket_tests::sockjs::{GO_AWAY, Hixie, Request, Services, Session, check_not_found};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const KEY: &str = "x3JJHMbDL1EzLkh9GBhXDw==";
const ACCEPT: &str = "HSmrc0sMlYUkAGmm5OPpG2HaGWk=";

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn connect(services: &Services, path: &str) -> Self {
        let stream = TcpStream::connect(services.address).await.unwrap();
        let url = format!("ws://{}{path}", services.address);
        let connecting = tokio_tungstenite::client_async(url, stream);
        Self(within("a WebSocket", connecting).await.expect("an upgrade").0)
    }

    async fn session(session: &Session, services: &Services) -> Self {
        let mut socket = Self::connect(services, &format!("{}/websocket", session.url)).await;
        socket.expect("o").await;
        socket
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn expect(&mut self, text: &str) {
        match within("a frame", self.0.next()).await {
            Some(Ok(Message::Text(came))) => assert_eq!(came.as_str(), text),
            other => panic!("{other:?} instead of {text}"),
        }
    }

    /// The code and reason of the close that comes next.
    async fn closed(&mut self) -> (u16, String) {
        match within("a close", self.0.next()).await {
            Some(Ok(Message::Close(Some(close)))) => {
                let end = within("the end of the connection", self.0.next()).await;
                assert!(end.is_none_or(|end| end.is_err()));
                (close.code.into(), close.reason.as_str().to_owned())
            }
            other => panic!("{other:?} instead of a close"),
        }
    }
}

fn upgrade(path: &str, version: &'static str) -> Request {
    Request::get(path)
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "WebSocket")
        .header("Sec-WebSocket-Version", version)
        .header("Sec-WebSocket-Origin", "http://asd")
        .header("Sec-WebSocket-Key", KEY)
}

/// `WebsocketHttpErrors.test_httpMethod` and `WebsocketHttpErrors.test_invalidConnectionHeader`.
#[tokio::test]
async fn a_request_without_an_upgrade_is_400() {
    let services = Services::start().await;
    for path in ["/echo/0/0/websocket", "/echo/websocket"] {
        let mut response = services.send(Request::get(path)).await;
        assert_eq!(response.status, 400, "{path}");
        let text = response.text().await;
        assert!(text.contains(r#"Can "Upgrade" only to "WebSocket"."#), "{text}");
        let request = Request::get(path).header("Upgrade", "WebSocket").header("Connection", "close");
        assert_eq!(services.send(request).await.status, 400, "{path}");
    }
}

/// `WebsocketHttpErrors.test_invalidMethod`.
#[tokio::test]
async fn an_upgrade_by_post_is_405() {
    let services = Services::start().await;
    let request = Request::post("/echo/0/0/websocket");
    for request in [request.clone().header("Upgrade", "WebSocket").header("Connection", "Upgrade"), request] {
        let mut response = services.send(request).await;
        assert_eq!(response.status, 405);
        assert_eq!(response.header("Content-Type"), None);
        assert_eq!(response.header("Allow").as_deref(), Some("GET"));
        assert_eq!(response.text().await, "");
    }
}

/// `WebsocketHybi10.test_headersSanity` and `WebsocketHybi10.test_firefox_602_connection_header`.
#[tokio::test]
async fn three_versions_are_upgraded() {
    let services = Services::start().await;
    for version in ["7", "8", "13"] {
        let response = services.send(upgrade("/echo/000/0/websocket", version)).await;
        assert_eq!(response.status, 101, "version {version}");
        assert_eq!(response.header("Sec-WebSocket-Accept").as_deref(), Some(ACCEPT));
        assert!(response.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
        assert!(response.header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")));
        assert_eq!(response.header("Content-Length"), None);
    }
    for version in ["6", "14", "x"] {
        let status = services.send(upgrade("/echo/000/0/websocket", version)).await.status;
        assert!((400..500).contains(&status), "version {version}: {status}");
    }
}

/// `InfoTest.test_disabled_websocket`.
#[tokio::test]
async fn a_websocket_that_is_not_offered_is_404() {
    let services = Services::start().await;
    for path in ["/disabled_websocket_echo/000/0/websocket", "/disabled_websocket_echo/websocket"] {
        for request in [upgrade(path, "13"), Request::get(path)] {
            check_not_found(&mut services.send(request).await, path).await;
        }
        assert_eq!(services.send(Request::post(path)).await.status, 405, "{path}");
    }
}

/// `WebsocketHybi10.test_transport`.
#[tokio::test]
async fn frames_are_texts() {
    let services = Services::start().await;
    let mut socket = Socket::session(&services.session("/echo"), &services).await;
    // Neither of these is a message.
    socket.send("").await;
    socket.send("[]").await;
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
    // Some clients send one message without an array.
    socket.send(r#""b\u2028""#).await;
    socket.expect(r#"a["b\u2028"]"#).await;
}

/// `JSONEncoding`, by WebSocket.
#[tokio::test]
async fn unsafe_characters_are_escaped() {
    let services = Services::start().await;
    let mut socket = Socket::session(&services.session("/echo"), &services).await;
    socket.send("[\"\u{200c}\u{2028}\u{2060}\u{fff0}\u{ffff}\"]").await;
    socket.expect(r#"a["\u200c\u2028\u2060\ufff0\uffff"]"#).await;
}

/// `WebsocketHybi10.test_close`.
#[tokio::test]
async fn a_session_that_is_closed_says_so_and_ends() {
    let services = Services::start().await;
    let mut socket = Socket::session(&services.session("/close"), &services).await;
    socket.expect(GO_AWAY).await;
    socket.closed().await;
}

/// `WebsocketHixie76.test_reuseSessionId`, in today's frames.
#[tokio::test]
async fn sockets_of_one_name_are_sessions_of_their_own() {
    let services = Services::start().await;
    let session = services.session("/echo");
    let mut sockets =
        [Socket::session(&session, &services).await, Socket::session(&session, &services).await];
    for socket in &mut sockets {
        socket.send(r#"["a"]"#).await;
        socket.expect(r#"a["a"]"#).await;
    }
    // Nor can requests reach them.
    check_not_found(&mut session.post(r#"["a"]"#).await, "a socket's session").await;
    for socket in &mut sockets {
        socket.0.close(None).await.unwrap();
    }
    let mut socket = Socket::session(&session, &services).await;
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
}

/// `WebsocketHybi10.test_broken_json`.
#[tokio::test]
async fn broken_json_closes() {
    let services = Services::start().await;
    for broken in [r#"["a"#, "x", r#"["a"]x"#] {
        let mut socket = Socket::session(&services.session("/echo"), &services).await;
        socket.send(broken).await;
        // No frame says so before: clients of all kinds await the end.
        assert_eq!(socket.closed().await, (3000, "Broken framing.".to_owned()));
    }
}

/// Binary messages are refused: SockJS has none.
#[tokio::test]
async fn binary_messages_close() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    let mut socket = Socket::session(&services.session("/echo"), &services).await;
    socket.0.send(Message::binary(&b"[\"a\"]"[..])).await.unwrap();
    socket.expect(r#"c[1003,"Only text messages are understood"]"#).await;
    assert_eq!(socket.closed().await.0, 1003);
}

/// Heartbeats are pings here.
#[tokio::test]
async fn heartbeats_are_pings() {
    let interval = Duration::from_millis(100);
    let services = Services::echo_with(SockJsOptions::new().heartbeat(interval)).await;
    // Before the session begins: the test may hear of that late.
    let start = Instant::now();
    let mut socket = Socket::session(&services.session("/echo"), &services).await;
    for _ in 0..3 {
        match within("a ping", socket.0.next()).await {
            Some(Ok(Message::Ping(payload))) => assert_eq!(&payload[..], b""),
            other => panic!("{other:?} instead of a ping"),
        }
    }
    assert!(start.elapsed() >= interval * 3, "{:?}", start.elapsed());
}

/// A peer that answers no heartbeat is told so, and closed.
#[tokio::test]
async fn a_silent_peer_is_closed() {
    let options = SockJsOptions::new().heartbeat(Duration::from_millis(50));
    let services = Services::echo_with(options).await;
    let path = format!("{}/websocket", services.session("/echo").url);
    let mut connection = services.send(upgrade(&path, "13")).await.into_connection();
    let mut said = Vec::new();
    let end = br#"c[4408,"Peer silent"]"#;
    within("the close", async {
        while !said.windows(end.len()).any(|window| window == end) {
            assert!(connection.read_buf(&mut said).await.unwrap() > 0, "{}", String::from_utf8_lossy(&said));
        }
    })
    .await;
}

/// The raw endpoint is RFC 6455's: clients of before it expect SockJS frames.
#[tokio::test]
async fn a_raw_socket_is_of_one_version() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    for version in ["7", "8"] {
        assert_eq!(services.send(upgrade("/echo/websocket", version)).await.status, 426, "version {version}");
    }
    assert_eq!(services.send(upgrade("/echo/websocket", "13")).await.status, 101);
    assert_eq!(services.send(Hixie::request("/echo/websocket")).await.status, 426);
}

/// `RawWebsocket.test_transport`.
#[tokio::test]
async fn a_raw_socket_has_no_framing() {
    let services = Services::start().await;
    let mut socket = Socket::connect(&services, "/echo/websocket").await;
    for message in ["Hello world!\u{ffff}", "o", "[\"a\"]", "\u{2028}"] {
        socket.send(message).await;
        socket.expect(message).await;
    }
}

/// `RawWebsocket.test_close`.
#[tokio::test]
async fn a_raw_socket_is_closed_with_the_reason_itself() {
    let services = Services::start().await;
    let mut socket = Socket::connect(&services, "/close/websocket").await;
    assert_eq!(socket.closed().await, (3000, "Go away!".to_owned()));
}
