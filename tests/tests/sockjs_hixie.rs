//! SockJS by the WebSocket of before RFC 6455, "hixie-76", which some old browsers and libraries speak.
//!
//! Each test names the section of the SockJS protocol text (0.3.3) that it stands for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::json;
use tokensocket_server::{Server, SockJsOptions};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::sockjs::{GO_AWAY, Hixie, NONCE, Request, Services, listens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn connect(services: &Services, prefix: &str) -> Hixie {
    let path = format!("{}/websocket", services.session(prefix).url);
    Hixie::connect(services.address, &path).await
}

/// `WebsocketHixie76.test_transport`.
#[tokio::test]
async fn messages_are_echoed() {
    let services = Services::start().await;
    let mut socket = connect(&services, "/echo").await;
    socket.expect("o").await;
    for (sent, echoed) in [
        (r#"["a"]"#, r#"a["a"]"#),
        (r#""b""#, r#"a["b"]"#),
        ("[\"é\u{1f600}\u{2028}\"]", "a[\"é\u{1f600}\\u2028\"]"),
    ] {
        socket.send(sent).await;
        socket.expect(echoed).await;
    }
}

/// `WebsocketHixie76.test_empty_frame`.
#[tokio::test]
async fn an_empty_frame_is_no_message() {
    let services = Services::start().await;
    let mut socket = connect(&services, "/echo").await;
    socket.expect("o").await;
    socket.send("").await;
    socket.send("[]").await;
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
}

/// `WebsocketHixie76.test_close`.
#[tokio::test]
async fn a_session_that_is_closed_says_so_and_ends() {
    let services = Services::start().await;
    let mut socket = connect(&services, "/close").await;
    socket.expect("o").await;
    socket.expect(GO_AWAY).await;
    socket.expect_closed().await;
}

/// `WebsocketHixie76.test_reuseSessionId`.
#[tokio::test]
async fn sockets_of_one_name_are_sessions_of_their_own() {
    let services = Services::start().await;
    let path = format!("{}/websocket", services.session("/echo").url);
    let connect = || Hixie::connect(services.address, &path);
    let mut sockets = [connect().await, connect().await];
    for socket in &mut sockets {
        socket.expect("o").await;
    }
    for socket in &mut sockets {
        socket.send(r#"["a"]"#).await;
        socket.expect(r#"a["a"]"#).await;
    }
    drop(sockets);
    let mut socket = connect().await;
    socket.expect("o").await;
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
}

/// `WebsocketHixie76.test_haproxy`: the answer's head does not wait for the nonce.
#[tokio::test]
async fn the_nonce_may_come_behind_the_answer() {
    let services = Services::start().await;
    let path = format!("{}/websocket", services.session("/echo").url);
    let mut socket = Hixie::connect_through_haproxy(services.address, &path).await;
    socket.expect("o").await;
    socket.send(r#"["a"]"#).await;
    socket.expect(r#"a["a"]"#).await;
}

/// `WebsocketHixie76.test_broken_json`.
#[tokio::test]
async fn broken_json_closes() {
    let services = Services::start().await;
    let mut socket = connect(&services, "/echo").await;
    socket.expect("o").await;
    socket.send(r#"["a"#).await;
    // No frame says so before: clients of all kinds await the end.
    socket.expect_closed().await;
}

/// A client's closing frame is answered by one.
#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let services = Services::start().await;
    let mut socket = connect(&services, "/echo").await;
    socket.expect("o").await;
    socket.write(b"\xff\0").await;
    socket.expect_closed().await;
}

/// Frames may come in any pieces, with the nonce too.
#[tokio::test]
async fn frames_come_in_any_pieces() {
    let services = Services::start().await;
    let path = format!("{}/websocket", services.session("/echo").url);
    let request = Hixie::request(&path).bytes(services.address);
    let all = [&request[..], NONCE, b"\0[\"a\"]\xff\0[\"b\",\"c\"]\xff\0[\"d\"]\xff"].concat();
    for pieces in [all.len(), request.len() + 3, request.len() + 10, 7] {
        let mut stream = tokio::net::TcpStream::connect(services.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in all.chunks(pieces) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut came = Vec::new();
        within("all messages", async {
            while !came.ends_with(b"\"d\"]\xff") {
                assert!(stream.read_buf(&mut came).await.unwrap() > 0, "{}", String::from_utf8_lossy(&came));
            }
        })
        .await;
        let came = String::from_utf8_lossy(&came).into_owned();
        let letters: Vec<usize> =
            ["\0o", "\"a\"", "\"b\"", "\"c\"", "\"d\""].map(|text| came.find(text).unwrap()).into();
        assert!(letters.is_sorted(), "{came}");
    }
}

/// Whoever has asked for such a connection without right keys is told.
#[tokio::test]
async fn wrong_keys_are_400() {
    let services = Services::start().await;
    let path = format!("{}/websocket", services.session("/echo").url);
    let upgrade = || {
        Request::get(&path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "WebSocket")
            .header("Origin", "x")
    };
    for (key1, key2) in [
        (Some("12345"), Some("1 2")),
        (Some("1 1 1"), Some("2 2")),
        (Some("no digits"), Some("2 2")),
        (Some("99999999999999999999999999 9"), Some("2 2")),
        (Some(""), Some("2 2")),
        (Some("2 2"), None),
        (None, Some("2 2")),
    ] {
        let mut request = upgrade();
        if let Some(key) = key1 {
            request = request.header("Sec-WebSocket-Key1", key);
        }
        if let Some(key) = key2 {
            request = request.header("Sec-WebSocket-Key2", key);
        }
        assert_eq!(services.send(request).await.status, 400, "{key1:?} {key2:?}");
    }
}

/// Heartbeats are frames here, since there are no pings.
#[tokio::test]
async fn heartbeats_are_frames() {
    let options = SockJsOptions::new().heartbeat(Duration::from_millis(100));
    let services = Services::echo_with(options).await;
    let mut socket = connect(&services, "/echo").await;
    socket.expect("o").await;
    // More than a peer that answers would be given, since this one cannot.
    for _ in 0..5 {
        socket.expect("h").await;
    }
    socket.send(r#"["a"]"#).await;
    while let Some(frame) = socket.next().await {
        if frame != "h" {
            assert_eq!(frame, r#"a["a"]"#);
            break;
        }
    }
}

/// A frame that never ends is not kept, nor is one of the kinds that are no text.
#[tokio::test]
async fn frames_that_cannot_be_taken_close() {
    let (handler, mut ends) = listens();
    let server = Server::builder().authenticate_anyone().max_message_bytes(1000);
    let services = Services::of(server.sockjs("/s", handler)).await;
    let mut socket = connect(&services, "/s").await;
    socket.expect("o").await;
    socket.write(b"\0").await;
    // Quoted, a message may be twice as long as itself.
    socket.write(&[b'x'; 4000]).await;
    socket.expect(r#"c[1009,"Message too large"]"#).await;
    socket.expect_closed().await;
    within("the handler's end", ends.recv()).await;
    // Frames of the binary kind have a length, which is never waited for.
    let mut socket = connect(&services, "/s").await;
    socket.expect("o").await;
    socket.write(b"\x80\xff\xff\xff\x7f").await;
    assert!(socket.next().await.is_some_and(|frame| frame.starts_with('c')));
    socket.expect_closed().await;
    // One message of a frame may be too large by itself.
    let mut socket = connect(&services, "/s").await;
    socket.expect("o").await;
    socket.send(&format!("[\"{}\"]", "x".repeat(1001))).await;
    socket.expect(r#"c[1009,"Message too large"]"#).await;
    socket.expect_closed().await;
}

/// Who has asked and does not go on is not waited for.
#[tokio::test]
async fn a_nonce_that_never_comes_is_not_awaited_for_ever() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    let path = format!("{}/websocket", services.session("/echo").url);
    let response = Hixie::request(&path).send(services.address).await;
    assert_eq!(response.status, 101);
    let mut connection = response.into_connection();
    connection.write_all(&NONCE[..7]).await.unwrap();
    let mut rest = Vec::new();
    within("the server to give up", connection.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
}

/// The server's own endpoint is there too, with the same wire.
#[tokio::test]
async fn the_wire_goes_over_it() {
    let node = Node::start(builder()).await;
    let token = node.token().await;
    let mut socket = Hixie::connect(node.address, "/sockets/000/s1/websocket").await;
    socket.expect("o").await;
    let auth = json!({ "rpc": "auth", "token": token, "uuid": "1" }).to_string();
    socket.send(&json!([auth]).to_string()).await;
    let answer = socket.next().await.expect("an answer");
    assert!(answer.contains(r#"\"resp\":\"success\""#), "{answer}");
    let [connected] = &node.server.sockets()[..] else { panic!("one socket is connected") };
    node.server.subscribe(connected, "c").await.unwrap();
    node.server.publish("c", "news").await.unwrap();
    for expected in [r#"\"command\":\"subscribe\""#, r#"\"message\":\"news\""#] {
        let frame = socket.next().await.expect("a frame");
        assert!(frame.starts_with('a') && frame.contains(expected), "{frame}");
    }
    assert_eq!(node.server.sockets().len(), 1);
    drop(socket);
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
}
