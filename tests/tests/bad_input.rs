//! Input that no honest peer sends: each kind gets the answer or the close that is written down for it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use hyper::Method;
use serde_json::{Value, json};
use tokensocket_server::{Actions, Data, RawJson, RpcError, ServerBuilder, Socket};
use tokensocket_tests::http;
use tokensocket_tests::limit::{QUIET, until, within};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::stream::{self, TEXT};
use tokensocket_tests::wire::{Client, Framing};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn with_actions() -> ServerBuilder {
    builder().actions(
        Actions::new()
            .action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value))
            .action("wait", async || std::future::pending::<Result<(), RpcError>>().await),
    )
}

async fn node() -> Node {
    Node::start(with_actions()).await
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

// Messages.

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let node = Node::start(with_actions().max_message_bytes(1000)).await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        let answer = client.call("echo", json!("x".repeat(800))).await;
        assert_eq!(answer["resp"].as_str().map(str::len), Some(800));
        client.start("echo", json!("x".repeat(1000))).await;
        assert_eq!(client.closed().await, (1009, "Message too large".to_owned()));
    }
}

#[tokio::test]
async fn the_limit_is_one_mebibyte_unless_told_otherwise() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let answer = client.call("echo", json!("x".repeat((1 << 20) - 100))).await;
    assert!(answer["resp"].is_string());
    client.start("echo", json!("x".repeat(1 << 20))).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_many_times_over_the_limit_still_learns_why() {
    let node = Node::start(with_actions().max_message_bytes(1000)).await;
    for _ in 0..5 {
        let mut stream = stream::upgraded(node.address).await;
        let (mut reader, mut writer) = stream.split();
        let huge = stream::masked(TEXT, &vec![b'x'; 8 << 20]);
        let write = async {
            // The server may stop reading before all is written.
            let _ = writer.write_all(&huge).await;
        };
        let mut head = [0; 4];
        let read = within("the close", tokio::io::AsyncReadExt::read_exact(&mut reader, &mut head));
        let (read, ()) = tokio::join!(read, write);
        read.expect("a close frame");
        assert_eq!((head[0], u16::from_be_bytes([head[2], head[3]])), (0x88, 1009));
    }
}

#[tokio::test]
async fn a_frame_that_claims_to_be_endless_is_refused_before_it_comes() {
    let node = node().await;
    let mut stream = stream::upgraded(node.address).await;
    let mut head = vec![0x80 | TEXT, 0x80 | 127];
    head.extend((1_u64 << 62).to_be_bytes());
    head.extend([0; 4]);
    stream.write_all(&head).await.unwrap();
    assert_eq!(stream::close_code(&mut stream).await, Some(1009));
}

#[tokio::test]
async fn many_small_fragments_over_the_limit_are_refused_too() {
    let node = Node::start(with_actions().max_message_bytes(1000)).await;
    let mut stream = stream::upgraded(node.address).await;
    stream.write_all(&stream::frame(TEXT, 0x80, &[b'x'; 100])).await.unwrap();
    for _ in 0..10 {
        stream.write_all(&stream::frame(0, 0x80, &[b'x'; 100])).await.unwrap();
    }
    assert_eq!(stream::close_code(&mut stream).await, Some(1009));
}

#[tokio::test]
async fn json_nested_too_deep_is_a_bad_request_and_the_connection_lives() {
    let node = node().await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        for depth in [128, 500, 100_000] {
            client.send_text(&format!(r#"{{"rpc":"echo","uuid":"1","req":{}}}"#, nested(depth))).await;
            client
                .expect(
                    json!({ "rpc": "echo", "uuid": "1", "error": "Invalid request", "code": "bad_request" }),
                )
                .await;
        }
        // The deepest that is accepted: the message's own braces count too.
        let deepest = nested(127);
        client
            .exchange(
                &format!(r#"{{"rpc":"echo","uuid":"1","req":{deepest}}}"#),
                &format!(r#"{{"rpc":"echo","uuid":"1","resp":{deepest}}}"#),
            )
            .await;
    }
}

#[tokio::test]
async fn deep_json_in_unexpected_places_hurts_nobody() {
    let node = node().await;
    let deep = nested(100_000);
    for message in [
        deep.clone(),
        format!(r#"{{"rpc":{deep}}}"#),
        format!(r#"{{"rpc":"auth","token":{deep}}}"#),
        format!(r#"{{"rpc":"auth","token":"11111111-1111-4111-8111-111111111111","client":{deep}}}"#),
    ] {
        let mut client = Client::connect(&node, Framing::Raw).await;
        client.send_text(&message).await;
        assert_eq!(client.closed().await.0, 1000);
    }
    let mut client = Client::ready(&node, Framing::Raw).await;
    for message in
        [deep.clone(), format!(r#"{{"rpc":"_rpc","fid":"1","resp":{deep}}}"#), format!(r#"{{"x":{deep}}}"#)]
    {
        client.send_text(&message).await;
        assert_eq!(client.next().await["code"], "bad_request");
    }
    client.expect_alive().await;
}

#[tokio::test]
async fn requests_of_the_wrong_shape_are_bad_requests_and_the_connection_lives() {
    let node = node().await;
    let mut client = Client::hello(&node).await;
    for (rpc, req) in [
        ("_subscribe", json!(null)),
        ("_subscribe", json!("c")),
        ("_subscribe", json!({})),
        ("_subscribe", json!({ "channel": 5 })),
        ("_unsubscribe", json!({ "channel": null })),
        ("_publish", json!({ "data": 1 })),
        ("_publish", json!([])),
        ("_broadcast", json!(1)),
        ("_cancel", json!({})),
        ("auth", json!({})),
    ] {
        let answer = client.call(rpc, req.clone()).await;
        assert_eq!(answer["error"], "Invalid request", "{rpc} {req}");
        assert_eq!(answer["code"], "bad_request", "{rpc} {req}");
        assert!(answer["details"]["expected"].is_string(), "{answer}");
    }
    for message in [
        r#"{"rpc":"_subscribe","uuid":"1"}"#,
        r#"{"rpc":"_publish","uuid":"1"}"#,
        r#"{"rpc":"_broadcast","uuid":"1"}"#,
        r#"{"rpc":"echo","uuid":"1","timeout_ms":-1}"#,
        r#"{"rpc":"echo","uuid":"1","timeout_ms":"soon"}"#,
    ] {
        client.send_text(message).await;
        assert_eq!(client.answer("1").await["code"], "bad_request", "{message}");
    }
    client.expect_alive().await;
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_ignored() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    for message in [
        r#"{"rpc":"_rpc","fid":"1","resp":{"data":1}}"#,
        r#"{"rpc":"_rpc","fid":1,"resp":{"data":1}}"#,
        r#"{"rpc":"_rpc","fid":"nonsense","resp":{"data":1}}"#,
        r#"{"rpc":"_rpc","fid":"1"}"#,
        r#"{"rpc":"_rpc"}"#,
        r#"{"rpc":"_rpc","fid":"99999999999999999999999","resp":null}"#,
    ] {
        client.send_text(message).await;
    }
    client.expect_alive().await;
}

#[tokio::test]
async fn channel_names_are_checked_for_every_verb() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let long = "x".repeat(256);
    for channel in ["", &*long, "a\nb", "\u{0}", "\u{7f}", "___all___", "___sync___"] {
        for rpc in ["_subscribe", "_unsubscribe", "_publish"] {
            let answer = client.call(rpc, json!({ "channel": channel, "data": 1 })).await;
            assert_eq!(answer["code"], "bad_request", "{rpc} {channel:?}");
        }
    }
    client.subscribe(&"x".repeat(255)).await;
    client.subscribe("ünï\u{1f600} code/:*").await;
    client.expect_alive().await;
}

// Limits.

#[tokio::test]
async fn too_many_channels_are_rate_limited() {
    let node = Node::start(with_actions().max_channels_per_socket(2)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("a").await;
    client.subscribe("b").await;
    let answer = client.call("_subscribe", json!({ "channel": "c" })).await;
    assert_eq!(answer["code"], "rate_limited");
    assert!(answer["error"].as_str().unwrap().contains("at most 2 channels"), "{answer}");
    // One that is followed already is not one more, and one that is left makes room.
    client.subscribe("b").await;
    assert_eq!(client.call("_unsubscribe", json!({ "channel": "a" })).await["resp"], "success");
    client.subscribe("c").await;
}

#[tokio::test]
async fn too_many_calls_in_flight_are_overloaded_and_none_is_dropped() {
    let node = Node::start(with_actions().max_calls_per_socket(3)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let mut uuids = Vec::new();
    for _ in 0..3 {
        uuids.push(client.start("wait", json!(null)).await);
    }
    for rpc in ["wait", "echo"] {
        let answer = client.call(rpc, json!(null)).await;
        assert_eq!(
            (&answer["code"], &answer["error"]),
            (&json!("overloaded"), &json!("too many requests in flight"))
        );
    }
    // Other verbs have room of their own.
    client.expect_alive().await;
    client.subscribe("c").await;
    let uuid = uuids.pop().unwrap();
    client.call("_cancel", json!({ "uuid": uuid })).await;
    assert_eq!(client.answer(&uuid).await["code"], "cancelled");
    assert_eq!(client.call("echo", json!(1)).await["resp"], 1);
}

#[tokio::test]
async fn too_many_publications_in_flight_are_overloaded() {
    let builder = with_actions().max_calls_per_socket(2).on_publish(|_, _, _| std::future::pending());
    let node = Node::start(builder).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    for _ in 0..2 {
        client.start("_publish", json!({ "channel": "c", "data": 1 })).await;
    }
    assert_eq!(client.call("_publish", json!({ "channel": "c", "data": 1 })).await["code"], "overloaded");
    assert_eq!(client.call("echo", json!(1)).await["resp"], 1);
}

#[tokio::test]
async fn one_connection_too_many_of_an_address_is_refused_with_429() {
    for in_warp in [false, true] {
        let server = with_actions().max_connections_per_address(2).build().unwrap();
        let node = if in_warp { Node::in_warp(server).await } else { Node::serve(server).await };
        let first = Client::ready(&node, Framing::Raw).await;
        let mut second = Client::ready(&node, Framing::SockJs).await;
        for path in ["/sockets/websocket", "/sockets/0/0/websocket"] {
            let answer = http::request(node.address, Method::GET, path, &UPGRADE).await;
            assert_eq!(answer.status, 429, "warp: {in_warp}");
            assert!(answer.json()["error"].as_str().unwrap().contains("too many connections"));
        }
        second.expect_alive().await;
        drop(first);
        until("the first to be gone", || node.server.sockets().len() == 1).await;
        Client::ready(&node, Framing::Raw).await.expect_alive().await;
    }
}

// Frames.

#[tokio::test]
async fn binary_messages_close_with_1003() {
    let node = node().await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client.send_frame(vec![1, 2, 3].into()).await;
        assert_eq!(client.closed().await.0, 1003);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_breaker_amid_publications_still_learns_why() {
    let node = node().await;
    for framing in Framing::ALL {
        for _ in 0..20 {
            let mut client = Client::ready(&node, framing).await;
            client.subscribe("c").await;
            client.send_frame(vec![1].into()).await;
            // Nobody reads these any more, yet they must not cost the client its close.
            for _ in 0..50 {
                client.try_send("more").await;
                node.server.publish("c", 1).await.unwrap();
                tokio::task::yield_now().await;
            }
            assert_eq!(client.closed().await.0, 1003);
        }
    }
}

#[tokio::test]
async fn after_its_close_the_server_says_no_more_and_waits_for_the_peers() {
    let node = node().await;
    let mut stream = stream::upgraded(node.address).await;
    let auth = json!({ "rpc": "auth", "token": node.token().await, "uuid": "a" }).to_string();
    stream.write_all(&stream::masked(TEXT, auth.as_bytes())).await.unwrap();
    until("the socket to be ready", || node.server.sockets().iter().any(Socket::is_authenticated)).await;
    node.server.sockets()[0].subscribe("c").await.unwrap();
    stream.write_all(&stream::masked(2, b"binary")).await.unwrap();
    assert_eq!(stream::close_code(&mut stream).await, Some(1003));
    for _ in 0..5 {
        node.server.publish("c", 1).await.unwrap();
        let mut more = [0];
        let read =
            tokio::time::timeout(QUIET / 5, tokio::io::AsyncReadExt::read(&mut stream, &mut more)).await;
        assert!(read.is_err(), "{read:?} {more:?}");
    }
    stream.write_all(&stream::masked(8, &1003_u16.to_be_bytes())).await.unwrap();
    stream::ended(&mut stream).await;
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn an_empty_binary_message_is_nothing() {
    let node = node().await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client.send_frame(Vec::new().into()).await;
        client.expect_alive().await;
    }
}

async fn code_for(node: &Node, bytes: &[u8]) -> Option<u16> {
    let mut stream = stream::upgraded(node.address).await;
    stream.write_all(bytes).await.unwrap();
    let code = stream::close_code(&mut stream).await;
    // The rule breaker answers the close as it should; the server lets it go.
    let _ = stream.write_all(&stream::masked(8, &1000_u16.to_be_bytes())).await;
    stream::ended(&mut stream).await;
    code
}

#[tokio::test]
async fn broken_frames_close_with_the_code_that_says_so() {
    let node = node().await;
    for (name, bytes, code) in [
        ("text that is not UTF-8", stream::masked(TEXT, &[b'"', 0xff, 0xfe, b'"']), 1007),
        ("a lone surrogate", stream::masked(TEXT, &[0xed, 0xa0, 0x80]), 1007),
        ("a frame without a mask", stream::frame(0x80 | TEXT, 0, b"{}"), 1002),
        ("reserved bit 1", stream::frame(0xc0 | TEXT, 0x80, b"{}"), 1002),
        ("reserved bit 2", stream::frame(0xa0 | TEXT, 0x80, b"{}"), 1002),
        ("reserved bit 3", stream::frame(0x90 | TEXT, 0x80, b"{}"), 1002),
        ("an unknown opcode", stream::masked(3, b"{}"), 1002),
        ("an unknown control opcode", stream::masked(11, b""), 1002),
        ("a ping that is too long", stream::masked(9, &[0; 126]), 1002),
        ("a ping in fragments", stream::frame(9, 0x80, b""), 1002),
        ("a continuation of nothing", stream::masked(0, b"{}"), 1002),
        (
            "a message within a message",
            [stream::frame(TEXT, 0x80, b"{"), stream::masked(TEXT, b"}")].concat(),
            1002,
        ),
    ] {
        assert_eq!(code_for(&node, &bytes).await, Some(code), "{name}");
    }
    until("all to be gone", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn a_sockjs_frame_that_is_no_array_of_texts_closes_with_3000() {
    let node = node().await;
    for frame in ["[", "nonsense", "{}", "[1]", "[null]", r#"["a""#, r#"[["a"]]"#, "5"] {
        let mut client = Client::ready(&node, Framing::SockJs).await;
        client.send_frame(frame.into()).await;
        assert_eq!(client.closed().await, (3000, "Broken framing.".to_owned()), "{frame}");
    }
    let mut client = Client::ready(&node, Framing::SockJs).await;
    for frame in ["", "[]"] {
        client.send_frame(frame.into()).await;
    }
    client.expect_alive().await;
}

#[tokio::test]
async fn garbage_instead_of_http_or_frames_hurts_nobody() {
    let node = node().await;
    let mut witness = Client::ready(&node, Framing::Raw).await;
    for seed in 1..40_u8 {
        // A small generator of bytes; any will do.
        let bytes: Vec<u8> =
            (0..200_u8).map(|n| n.wrapping_mul(seed).wrapping_mul(31) ^ (seed << 3)).collect();
        let mut stream = stream::upgraded(node.address).await;
        let _ = stream.write_all(&bytes).await;
        drop(stream);
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
    }
    until("all but one to be gone", || node.server.sockets().len() == 1).await;
    witness.expect_alive().await;
}

// HTTP.

const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn upgrade_with(name: &str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let others = UPGRADE.into_iter().filter(|(known, _)| *known != name);
    let known = UPGRADE.into_iter().find(|(known, _)| *known == name).unwrap().0;
    others.chain((!value.is_empty()).then_some((known, value))).collect()
}

#[tokio::test]
async fn unknown_paths_are_404_and_say_so() {
    let node = node().await;
    for path in [
        "/",
        "/nope",
        "/sockets/nope",
        "/socketsx",
        "/sockets/a.b/c/websocket",
        "/sockets//x/websocket",
        "/socket/token/",
    ] {
        let answer = http::get(node.address, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn wrong_methods_are_405_and_say_what_is_allowed() {
    let node = node().await;
    for path in ["/socket/token", "/sockets/info", "/sockets/websocket", "/sockets/1/2/websocket", "/sockets"]
    {
        let answer = http::request(node.address, Method::POST, path, &UPGRADE).await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.header("allow").contains("GET"), "{path}");
        if path != "/socket/token" {
            // SockJS's own suite wants nothing more.
            assert_eq!((&*answer.body, answer.header("content-type")), ("", ""), "{path}");
        }
    }
}

#[tokio::test]
async fn bad_upgrades_are_400_or_426_and_say_why() {
    let node = node().await;
    for (name, value, status) in [
        ("upgrade", "", 400),
        ("upgrade", "h2c", 400),
        ("connection", "", 400),
        ("connection", "keep-alive", 400),
        ("sec-websocket-version", "", 426),
        ("sec-websocket-version", "6", 426),
        ("sec-websocket-key", "", 400),
        ("sec-websocket-key", "short", 400),
    ] {
        for path in ["/sockets/websocket", "/sockets/1/2/websocket"] {
            let answer = http::request(node.address, Method::GET, path, &upgrade_with(name, value)).await;
            assert_eq!(answer.status, status, "{name}: {value}");
            // SockJS's own suite looks for a text in the body.
            assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
            assert!(answer.body.contains(&name.split('-').next_back().unwrap()[1..]), "{}", answer.body);
            if status == 426 {
                assert_eq!(answer.header("upgrade"), "websocket");
                assert_eq!(answer.header("sec-websocket-version"), "13");
            }
        }
    }
    assert_eq!(node.server.sockets(), []);
}

#[tokio::test]
async fn info_tells_what_is_offered() {
    let node = node().await;
    let info = http::get(node.address, "/sockets/info").await;
    assert_eq!(info.status, 200);
    let body = info.json();
    assert_eq!((&body["websocket"], &body["cookie_needed"]), (&json!(true), &json!(false)));
    assert!(body["entropy"].as_u64().is_some_and(|entropy| u32::try_from(entropy).is_ok()));
    assert_eq!(body["origins"], json!(["*:*"]));
    assert_ne!(body["entropy"], http::get(node.address, "/sockets/info").await.json()["entropy"]);
    assert!(info.header("cache-control").contains("no-store"));
    let _: Value = body;
}
