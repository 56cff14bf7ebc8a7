//! Socket.IO clients that poll, request by request: both protocols of Engine.IO.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it does not expect")]

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokensocket_server::AllowedOrigins;
use tokensocket_server::socketio::{NamespaceOptions, SocketIoOptions};
use tokensocket_tests::limit::{QUIET, until};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::packets::serve;
use tokensocket_tests::polling::{Polling, ask};

const BOTH: [u8; 2] = [3, 4];
const TEXT: &str = "text/plain;charset=UTF-8";
const BYTES: &str = "application/octet-stream";
const UNKNOWN: (u16, &str) = (400, r#"{"code":1,"message":"Session ID unknown"}"#);
const BAD: (u16, &str) = (400, r#"{"code":3,"message":"Bad request"}"#);

async fn with(options: SocketIoOptions) -> Node {
    serve(builder(), options, NamespaceOptions::new()).await.0
}

async fn plain() -> Node {
    with(SocketIoOptions::new()).await
}

async fn joined(node: &Node, protocol: u8) -> Polling {
    Polling::join(node.address, protocol, "/n", "token=ann&deviceId=d").await
}

#[tokio::test]
async fn a_session_begins_with_its_terms_and_in_protocol_3_in_the_root() {
    let node = plain().await;
    for protocol in BOTH {
        let query = format!("EIO={protocol}&transport=polling&t=abc");
        let answer = ask(node.address, Method::GET, &query, &[], "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "text/plain; charset=UTF-8");
        assert!(answer.header("cache-control").contains("no-store"));
        let (open, rest) = if protocol == 3 {
            let (length, rest) = answer.text().split_once(':').unwrap();
            rest.split_at(length.parse().unwrap())
        } else {
            (answer.text(), "")
        };
        assert_eq!(rest, if protocol == 3 { "2:40" } else { "" });
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        assert_eq!(open["sid"].as_str().unwrap().len(), 22);
        assert_eq!(open["upgrades"], json!(["websocket"]));
        assert_eq!((&open["pingInterval"], &open["pingTimeout"]), (&json!(25_000), &json!(20_000)));
        assert_eq!(open.get("maxPayload"), (protocol == 4).then_some(&json!(1 << 20)));
    }
    let node = with(SocketIoOptions::new().websocket(false)).await;
    let answer = ask(node.address, Method::GET, "EIO=4&transport=polling", &[], "").await;
    assert!(answer.text().contains(r#""upgrades":[]"#), "{answer:?}");
}

#[tokio::test]
async fn events_and_their_answers_go_both_ways() {
    let node = plain().await;
    for protocol in BOTH {
        let client = joined(&node, protocol).await;
        client
            .say(&[r#"42/n,1["echo",{"a" : 1.0}]"#, r#"42/n,2["echo","é€😀",2]"#, "42/n,3[\"echo\"]"])
            .await;
        let answers = client.poll_for(3).await;
        assert_eq!(answers, [r#"43/n,1[{"a" : 1.0}]"#, r#"43/n,2["é€😀",2]"#, "43/n,3[]"]);
        // Nothing else is read as an event of this namespace, and nothing of it ends the connection.
        client.say(&["42/other,[\"echo\"]", "42/n,[\"unknown\"]", "43/n,77[]", "42/n,4[\"echo\",4]"]).await;
        assert_eq!(client.poll_for(1).await, ["43/n,4[4]"]);
        let socket = node.server.sockets().pop().unwrap();
        socket.emit("news", ("ü", 1)).unwrap();
        assert_eq!(client.poll_for(1).await, ["42/n,[\"news\",\"ü\",1]"]);
        client.say(&["41/n,"]).await;
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn a_client_that_polls_is_refused_in_its_own_words() {
    let node = plain().await;
    let old = Polling::open(node.address, 3, "").await;
    old.say(&["40/n?token=bad,"]).await;
    assert_eq!(old.poll_for(1).await, [r#"44/n,"Authentication failed""#]);
    old.say(&["40/n?token=ann,"]).await;
    assert_eq!(old.poll().await[0], "40/n,");
    let new = Polling::open(node.address, 4, "").await;
    new.say(&[r#"40/n,{"token":"bad"}"#]).await;
    assert_eq!(new.poll_for(1).await, [r#"44/n,{"message":"Authentication failed"}"#]);
}

#[tokio::test]
async fn requests_are_refused_as_the_npm_server_does() {
    let node = plain().await;
    let sid = Polling::open(node.address, 4, "").await.sid;
    let unknown_transport = (400, r#"{"code":0,"message":"Transport unknown"}"#);
    let bad_method = (400, r#"{"code":2,"message":"Bad handshake method"}"#);
    let unsupported = (400, r#"{"code":5,"message":"Unsupported protocol version"}"#);
    for (method, query, expected) in [
        (Method::GET, "EIO=4".to_owned(), unknown_transport),
        (Method::GET, "EIO=4&transport=webtransport".to_owned(), unknown_transport),
        (Method::GET, "EIO=2&transport=polling".to_owned(), unsupported),
        (Method::GET, "EIO=4&transport=polling&sid=nobody".to_owned(), UNKNOWN),
        (Method::POST, "EIO=4&transport=polling&sid=nobody".to_owned(), UNKNOWN),
        (Method::POST, "EIO=4&transport=polling".to_owned(), bad_method),
        (Method::GET, "EIO=4&transport=websocket".to_owned(), BAD),
        (Method::GET, format!("EIO=4&transport=websocket&sid={sid}"), BAD),
        (Method::DELETE, format!("EIO=4&transport=polling&sid={sid}"), BAD),
    ] {
        let answer = ask(node.address, method.clone(), &query, &[("origin", "https://a.example")], "").await;
        assert_eq!(answer.said(), expected, "{method} {query}");
        assert_eq!(answer.header("content-type"), "application/json; charset=UTF-8");
        assert_eq!(answer.header("access-control-allow-origin"), "https://a.example", "pages may read it");
    }
    let node = with(SocketIoOptions::new().max_connections(1)).await;
    let _one = Polling::open(node.address, 4, "").await;
    assert_eq!(ask(node.address, Method::GET, "EIO=4&transport=polling", &[], "").await.status, 503);
}

#[tokio::test]
async fn bytes_go_both_ways_in_every_form() {
    let node = plain().await;
    let event = r#"451-/n,7["echo",{"_placeholder":true,"num":0}]"#;
    let answer = r#"461-/n,7[{"_placeholder":true,"num":0}]"#;

    let new = joined(&node, 4).await;
    new.say(&[event, "bAQL/"]).await;
    assert_eq!(new.poll_for(2).await, [answer, "bAQL/"]);

    let text = Polling::join(node.address, 3, "/n", "token=ann&deviceId=d&b64=1").await;
    text.say(&[event, "b4AQL/"]).await;
    assert_eq!(text.poll_for(2).await, [answer, "b4AQL/"]);

    let old = joined(&node, 3).await;
    let framed = |packet: &str| {
        let length = packet.len().to_string();
        [&[0][..], &length.bytes().map(|digit| digit - b'0').collect::<Vec<_>>(), &[255], packet.as_bytes()]
            .concat()
    };
    let bytes = b"\x01\x04\xff\x04\x01\x02\xff";
    assert_eq!(old.post([&framed(event)[..], bytes].concat(), BYTES).await.said(), (200, "ok"));
    let polled = old.get().await;
    assert_eq!(polled.header("content-type"), "application/octet-stream");
    assert_eq!(polled.bytes, [&framed(answer)[..], bytes].concat());
    // A text alone stays a text.
    old.say(&["42/n,8[\"echo\",\"é\"]"]).await;
    assert_eq!(old.poll_for(1).await, ["43/n,8[\"é\"]"]);

    // What npm engine.io-parser 1.3 makes of texts alone: bytes. It reads text outside ASCII in nothing else.
    let oldest = joined(&node, 3).await;
    oldest.post(framed("42/n,9[\"echo\",\"é😀\"]"), BYTES).await;
    let polled = oldest.get().await;
    assert_eq!(polled.header("content-type"), "application/octet-stream");
    assert_eq!(polled.bytes, framed("43/n,9[\"é😀\"]"));
}

#[tokio::test]
async fn scripts_and_forms_carry_the_packets_of_pages_without_cors() {
    let node = plain().await;
    let script = |query: String| {
        let address = node.address;
        async move { ask(address, Method::GET, &query, &[], "").await }
    };
    let answer = script("EIO=3&transport=polling&j=0&token=ann".to_owned()).await;
    assert_eq!(answer.header("content-type"), "text/javascript; charset=UTF-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let payload = |text: &str| -> String {
        let argument = text.strip_prefix("___eio[0](").and_then(|rest| rest.strip_suffix(");")).unwrap();
        serde_json::from_str(argument).unwrap()
    };
    let open = payload(answer.text());
    let open: Value =
        serde_json::from_str(&open[open.find('{').unwrap()..=open.rfind('}').unwrap()]).unwrap();
    let query = format!("EIO=3&transport=polling&j=0&sid={}", open["sid"].as_str().unwrap());
    let form = &[("content-type", "application/x-www-form-urlencoded")];
    let mut packets = String::new();
    for (body, expected) in [
        ("d=5%3A40%2Fn%2C", "40/n,"),
        ("d=23%3A42%2Fn%2C1%5B%22echo%22%2C%22%3C%2Fa%3E%5C%5Cn%22%5D", "43/n,"),
    ] {
        let answer = ask(node.address, Method::POST, &query, form, body).await;
        assert_eq!(answer.said(), (200, "ok"));
        while !packets.contains(expected) {
            let answer = script(query.clone()).await;
            assert!(!answer.text().contains("</a>"), "{answer:?}");
            packets += &payload(answer.text());
        }
    }
    assert!(packets.contains(r#"43/n,1["</a>\n"]"#), "{packets}");
    let node =
        with(SocketIoOptions::new().allowed_origins(AllowedOrigins::named(["https://a.example"]))).await;
    let elsewhere = &[("referer", "https://b.example/x")];
    let answer = ask(node.address, Method::GET, "EIO=3&transport=polling&j=0", elsewhere, "").await;
    assert_eq!(answer.said(), (403, r#"{"code":4,"message":"Forbidden"}"#));
}

#[tokio::test]
async fn pages_of_other_origins_may_poll_with_credentials() {
    let node = plain().await;
    let page = ("origin", "https://a.example");
    let asks =
        [page, ("access-control-request-method", "POST"), ("access-control-request-headers", "content-type")];
    let answer = ask(node.address, Method::OPTIONS, "EIO=3&transport=polling", &asks, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-methods"), "GET, POST, OPTIONS");
    assert_eq!(answer.header("access-control-allow-headers"), "content-type");
    for query in ["EIO=3&transport=polling", "EIO=4&transport=polling"] {
        let answer = ask(node.address, Method::GET, query, &[page], "").await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://a.example");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
    }
    let node =
        with(SocketIoOptions::new().allowed_origins(AllowedOrigins::named(["https://b.example"]))).await;
    let answer = ask(node.address, Method::GET, "EIO=4&transport=polling", &[page], "").await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_session_goes_on() {
    let node = with(SocketIoOptions::new().max_payload(1000)).await;
    for protocol in BOTH {
        let client = joined(&node, protocol).await;
        let large = client.body(&[&format!("42/n,[\"echo\",\"{}\"]", "x".repeat(1000))]);
        assert_eq!(client.post(large, TEXT).await.status, 413);
        client.say(&["42/n,1[\"echo\"]"]).await;
        assert_eq!(client.poll_for(1).await, ["43/n,1[]"]);
        // What one body brings may be more than one event may have together with its bytes.
        let bytes = if protocol == 3 { "b4" } else { "b" }.to_owned() + &"A".repeat(800);
        client
            .say(&[r#"452-/n,2["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#])
            .await;
        client.say(&[&bytes]).await;
        client.say(&[&bytes]).await;
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
        assert_eq!(client.get().await.status, 200, "it is told once");
        assert_eq!(client.get().await.said(), UNKNOWN);
    }
}

#[tokio::test]
async fn what_is_no_packet_ends_the_connection() {
    let node = plain().await;
    for (protocol, body, content_type) in [
        (3, "3:42", TEXT),
        (3, "1:9", TEXT),
        (3, "", TEXT),
        (3, "\0\u{1}", BYTES),
        (4, "9", TEXT),
        (4, "4", TEXT),
        (4, "42/n,[\"a\"", TEXT),
        (4, "4451-[\"a\"]\u{1e}42[\"b\"]", TEXT),
        (4, "42/n,[\"a\"]", BYTES),
    ] {
        let client = joined(&node, protocol).await;
        assert_eq!(client.post(body, content_type).await.said(), (200, "ok"), "{body:?}");
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn a_second_poll_ends_the_session() {
    let node = plain().await;
    for protocol in BOTH {
        let client = joined(&node, protocol).await;
        let (first, second) = tokio::join!(client.get(), client.get());
        let statuses = [first.status, second.status];
        assert!(statuses.contains(&400), "{statuses:?}");
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn a_poll_that_is_cut_ends_the_session() {
    let node = plain().await;
    for protocol in BOTH {
        let client = joined(&node, protocol).await;
        // It waits, and is given up.
        assert!(tokio::time::timeout(QUIET, client.get()).await.is_err());
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
        assert_eq!(client.post("", TEXT).await.said(), UNKNOWN);
    }
}

fn quick() -> SocketIoOptions {
    SocketIoOptions::new().ping_interval(Duration::from_millis(100)).ping_timeout(Duration::from_millis(500))
}

#[tokio::test]
async fn protocol_4_is_asked_for_a_sign_of_life() {
    let node = with(quick()).await;
    let client = joined(&node, 4).await;
    for _ in 0..3 {
        assert_eq!(client.poll().await, ["2"]);
        client.say(&["3"]).await;
    }
    assert_eq!(client.poll().await, ["2"]);
    until("the silent socket to be gone", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn protocol_3_asks_for_a_sign_of_life() {
    let node = with(quick()).await;
    let client = joined(&node, 3).await;
    // Longer than it may be silent.
    for _ in 0..8 {
        tokio::time::sleep(QUIET).await;
        client.say(&["2"]).await;
        assert_eq!(client.poll().await, ["3"]);
    }
    until("the silent socket to be gone", || node.server.sockets().is_empty()).await;
    assert_eq!(client.post("1:2", TEXT).await.said(), UNKNOWN);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_polls_after_its_connection_was_ended() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    io.namespace_by_token("/once", NamespaceOptions::new(), &node.server);
    let token = node.token().await;
    for protocol in BOTH {
        let client = Polling::open(node.address, protocol, "&token=used").await;
        client.say(&["40/once,"]).await;
        // Longer than a refused client is given.
        tokio::time::sleep(QUIET).await;
        let refusal = if protocol == 3 { "\"INVALID_TOKEN\"" } else { "{\"message\":\"INVALID_TOKEN\"}" };
        assert_eq!(client.poll().await, [format!("44/once,{refusal}"), "1".to_owned()]);
        assert_eq!(client.get().await.said(), UNKNOWN);
    }
    let client = Polling::open(node.address, 4, &format!("&token={token}")).await;
    client.say(&["40/once,"]).await;
    assert!(client.poll().await[0].starts_with("40/once,{"));
    let again = Polling::open(node.address, 4, &format!("&token={token}")).await;
    again.say(&["40/once,"]).await;
    assert_eq!(again.poll().await, ["44/once,{\"message\":\"INVALID_TOKEN\"}"]);
    assert_eq!(again.poll().await, ["1"]);
}
