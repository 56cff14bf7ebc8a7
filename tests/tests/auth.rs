//! The first message of a connection: what it may be, and what all others are told before it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{Actions, Data, RawJson, RpcError, ServerBuilder};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing, Received, hello};
use tokio::sync::Notify;

const UNKNOWN: &str = "11111111-1111-4111-8111-111111111111";

fn normal() -> (u16, String) {
    (1000, "Normal closure".to_owned())
}

fn refused() -> (u16, String) {
    (4401, "Token refused".to_owned())
}

fn with_echo() -> ServerBuilder {
    builder()
        .actions(Actions::new().action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value)))
}

#[tokio::test]
async fn everything_before_auth_comes_back_forbidden_and_closes() {
    let node = Node::start(with_echo()).await;
    for framing in Framing::ALL {
        for message in [
            json!({ "rpc": "echo", "req": { "x": [1] }, "uuid": "1" }),
            json!({ "rpc": "_subscribe", "req": { "channel": "c" }, "uuid": "1" }),
            json!({ "rpc": "_publish", "req": { "channel": "c", "data": 1 }, "uuid": "1" }),
            json!({ "rpc": "_broadcast", "req": { "data": 1 }, "uuid": "1" }),
            json!({ "rpc": "_ping", "req": {}, "uuid": "1" }),
            json!({ "rpc": "_rpc", "uuid": "1" }),
            json!({ "rpc": 5, "uuid": "1", "more": { "a": null } }),
            json!({}),
        ] {
            let mut client = Client::connect(&node, framing).await;
            client.send(message.clone()).await;
            let mut expected = message;
            expected["error"] = json!("Forbidden");
            expected["code"] = json!("forbidden");
            client.expect(expected).await;
            assert_eq!(client.closed().await, normal());
        }
    }
}

#[tokio::test]
async fn json_that_is_no_object_is_forbidden_too() {
    let node = Node::start(with_echo()).await;
    for text in ["null", "5", "[]", "\"auth\"", "true"] {
        let mut client = Client::connect(&node, Framing::Raw).await;
        client.send_text(text).await;
        client.expect(json!({ "error": "Forbidden", "code": "forbidden" })).await;
        assert_eq!(client.closed().await, normal(), "{text}");
    }
}

#[tokio::test]
async fn text_that_is_no_json_is_told_so_and_the_connection_may_still_authenticate() {
    let node = Node::start(with_echo()).await;
    let mut client = Client::connect(&node, Framing::Raw).await;
    client.exchange("nonsense", r#"{"error":"Invalid message","code":"bad_request"}"#).await;
    client.auth(&node.token().await).await;
}

#[tokio::test]
async fn an_auth_without_a_token_comes_back_forbidden() {
    let node = Node::start(with_echo()).await;
    let mut client = Client::connect(&node, Framing::Raw).await;
    client.send(json!({ "rpc": "auth", "uuid": "1" })).await;
    client.expect(json!({ "rpc": "auth", "uuid": "1", "error": "Forbidden", "code": "forbidden" })).await;
    assert_eq!(client.closed().await, normal());
    for token in [json!(null), json!(""), json!(false), json!(0)] {
        let mut client = Client::connect(&node, Framing::Raw).await;
        client.send(json!({ "rpc": "auth", "uuid": "1", "token": token })).await;
        let answer = client.next().await;
        assert_eq!((&answer["error"], &answer["token"]), (&json!("Forbidden"), &token));
        assert_eq!(client.closed().await, normal());
    }
    let mut client = Client::connect(&node, Framing::Raw).await;
    client.send(json!({ "rpc": "auth", "uuid": "1", "client": hello() })).await;
    assert_eq!(client.next().await["error"], "Forbidden");
    assert_eq!(client.closed().await, refused());
}

#[tokio::test]
async fn a_malformed_token_gets_only_the_close() {
    let node = Node::start(with_echo()).await;
    for token in
        [json!("nonsense"), json!(5), json!({}), json!([UNKNOWN]), json!(true), json!("x".repeat(36))]
    {
        for (client_field, close) in [(json!(null), normal()), (hello(), refused())] {
            let mut client = Client::connect(&node, Framing::SockJs).await;
            client.send(json!({ "rpc": "auth", "token": token, "uuid": "1", "client": client_field })).await;
            let (messages, end) = client.drain().await;
            assert_eq!(messages, Vec::<Value>::new(), "{token}");
            assert_eq!(end, Received::Closed(close.0, close.1), "{token}");
        }
    }
}

#[tokio::test]
async fn an_unknown_or_used_token_is_not_found() {
    let node = Node::start(with_echo()).await;
    let used = node.token().await;
    Client::connect(&node, Framing::Raw).await.auth(&used).await;
    for token in [UNKNOWN, &used] {
        let mut client = Client::connect(&node, Framing::Raw).await;
        client.send(json!({ "rpc": "auth", "token": token, "uuid": "1" })).await;
        let expected = json!({
            "rpc": "auth", "token": token, "uuid": "1", "error": "Token not found", "code": "unauthenticated"
        });
        client.expect(expected).await;
        assert_eq!(client.closed().await, normal());

        let mut client = Client::connect(&node, Framing::Raw).await;
        client.send(json!({ "rpc": "auth", "token": token, "uuid": "1", "client": hello() })).await;
        assert_eq!(client.next().await["error"], "Token not found");
        assert_eq!(client.closed().await, refused());
    }
}

#[tokio::test]
async fn a_hello_is_answered_with_the_session() {
    let node = Node::start(with_echo().max_message_bytes(5000).heartbeat(Duration::from_secs(7))).await;
    let mut client = Client::connect(&node, Framing::Raw).await;
    let token = node.token().await;
    client.send(json!({ "rpc": "auth", "token": token, "uuid": "1", "client": hello() })).await;
    let answer = client.next().await;
    let id = node.server.sockets()[0].id().to_string();
    let session = json!({ "id": id, "ping_ms": 7000, "max_message_bytes": 5000, "features": ["cancel", "reconnect", "history", "presence", "delivery"] });
    assert_eq!(
        answer,
        json!({ "rpc": "auth", "token": token, "uuid": "1", "session": session, "resp": "success" })
    );
}

#[tokio::test]
async fn a_hello_of_another_shape_is_none() {
    let node = Node::start(with_echo()).await;
    for client_field in
        [json!(5), json!({ "name": 1 }), json!([]), json!({ "name": "x".repeat(100), "version": "1" })]
    {
        let mut client = Client::connect(&node, Framing::Raw).await;
        let token = node.token().await;
        client.send(json!({ "rpc": "auth", "token": token, "uuid": "1", "client": client_field })).await;
        let answer = client.next().await;
        assert_eq!((&answer["resp"], &answer["session"]), (&json!("success"), &json!(null)));
    }
}

#[tokio::test]
async fn a_second_auth_is_refused_and_spends_no_token() {
    let node = Node::start(with_echo()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let token = node.token().await;
    client.send(json!({ "rpc": "auth", "token": token, "uuid": "2" })).await;
    let answer = client.next().await;
    assert_eq!((&answer["error"], &answer["code"]), (&json!("Invalid request"), &json!("bad_request")));
    client.expect_alive().await;
    Client::connect(&node, Framing::Raw).await.auth(&token).await;
}

#[tokio::test]
async fn what_is_sent_behind_auth_waits_for_it() {
    let asked = Arc::new(Notify::new());
    let go = Arc::new(Notify::new());
    let (asks, goes) = (asked.clone(), go.clone());
    let node = Node::start(with_echo().on_authenticate(move |_| {
        let (asks, goes) = (asks.clone(), goes.clone());
        async move {
            asks.notify_one();
            goes.notified().await;
            Ok(())
        }
    }))
    .await;
    for framing in Framing::ALL {
        let mut client = Client::connect(&node, framing).await;
        let token = node.token().await;
        client.send(json!({ "rpc": "auth", "token": token, "uuid": "a" })).await;
        client.start("echo", json!(1)).await;
        client.start("_subscribe", json!({ "channel": "c" })).await;
        client.start("_publish", json!({ "channel": "c", "data": 2 })).await;
        tokensocket_tests::limit::within("the hook", asked.notified()).await;
        client.expect_quiet().await;
        go.notify_one();
        assert_eq!(client.next().await["resp"], "success");
        assert_eq!(client.next().await["resp"], 1);
        assert_eq!(client.next().await["command"], "subscribe");
        client.find("the publication", |message| message["message"] == 2).await;
    }
}

#[tokio::test]
async fn several_messages_in_one_sockjs_frame_are_all_processed() {
    let node = Node::start(with_echo()).await;
    let mut client = Client::connect(&node, Framing::SockJs).await;
    let auth = json!({ "rpc": "auth", "token": node.token().await, "uuid": "a" }).to_string();
    let call = json!({ "rpc": "echo", "req": "x", "uuid": "b" }).to_string();
    let frame = json!([auth, call, call]).to_string();
    client.send_frame(frame.into()).await;
    assert_eq!(client.next().await["resp"], "success");
    assert_eq!(client.next().await["resp"], "x");
    assert_eq!(client.next().await["resp"], "x");
}

#[tokio::test]
async fn a_hook_may_refuse_an_identity_with_its_own_error() {
    let node = Node::start(with_echo().on_authenticate(|socket| async move {
        match &*socket.identity().parse::<Value>().unwrap()["user"].to_string() {
            "\"banned\"" => Err(RpcError::text("you are banned")),
            "\"bad\"" => panic!("the hook panics"),
            _ => Ok(()),
        }
    }))
    .await;
    for (user, error) in [("banned", "you are banned"), ("bad", "Internal error")] {
        for (client_field, code) in [(json!(null), 1000), (hello(), 4403)] {
            let mut client = Client::connect(&node, Framing::Raw).await;
            let token = node.token_of(user).await;
            client.send(json!({ "rpc": "auth", "token": token, "uuid": "1", "client": client_field })).await;
            assert_eq!(client.next().await["error"], error);
            assert_eq!(client.closed().await.0, code);
        }
    }
    Client::ready(&node, Framing::Raw).await.expect_alive().await;
}

#[tokio::test]
async fn a_connection_that_does_not_authenticate_in_time_is_closed() {
    let node = Node::start(with_echo().auth_timeout(Some(Duration::from_millis(100)))).await;
    for framing in Framing::ALL {
        let mut authenticated = Client::ready(&node, framing).await;
        let mut silent = Client::connect(&node, framing).await;
        assert_eq!(silent.closed().await, (1000, "Authentication timeout".to_owned()));
        authenticated.expect_alive().await;
    }
}

#[tokio::test]
async fn the_first_client_has_all_its_time_however_late_it_comes() {
    const TIME: Duration = Duration::from_millis(200);
    let node = Node::start(with_echo().auth_timeout(Some(TIME))).await;
    // A server to which nobody comes for longer than a client may take.
    tokio::time::sleep(2 * TIME).await;
    let connected = std::time::Instant::now();
    let mut silent = Client::connect(&node, Framing::Raw).await;
    assert_eq!(silent.closed().await.1, "Authentication timeout");
    assert!(connected.elapsed() >= TIME, "closed after {:?}", connected.elapsed());
}

#[tokio::test]
async fn the_time_to_authenticate_can_be_switched_on_while_running() {
    let node = Node::start(with_echo().auth_timeout(None)).await;
    let mut before = Client::connect(&node, Framing::Raw).await;
    tokensocket_tests::limit::until("the socket", || node.server.sockets().len() == 1).await;
    node.server.set_auth_timeout(Some(Duration::from_millis(50)));
    assert_eq!(before.closed().await.1, "Authentication timeout");
    let mut after = Client::connect(&node, Framing::Raw).await;
    assert_eq!(after.closed().await.1, "Authentication timeout");
}

#[tokio::test]
async fn the_time_to_authenticate_can_be_switched_off_while_running() {
    const TIME: Duration = Duration::from_millis(200);
    let node = Node::start(with_echo().auth_timeout(Some(TIME))).await;
    let like_it = Node::start(with_echo().auth_timeout(Some(TIME))).await;
    let mut before = Client::connect(&node, Framing::Raw).await;
    node.server.set_auth_timeout(None);
    let mut after = Client::connect(&node, Framing::Raw).await;
    // Connected last, closed by a server where the time still runs: so it would be over for both.
    Client::connect(&like_it, Framing::Raw).await.closed().await;
    before.auth(&node.token().await).await;
    after.auth(&node.token().await).await;
}
