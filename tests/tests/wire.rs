//! The wire, text by text: what the original servers said, our clients and theirs rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use serde_json::json;
use tokensocket_server::{Actions, Data, ErrorCode, RawJson, RpcError};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};

async fn node() -> Node {
    let actions = Actions::new()
        .action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value))
        .action("fail", async || Err::<(), _>(RpcError::new("boom")))
        .action("failstring", async || Err::<(), _>(RpcError::text("plain failure")))
        .action("question", async || Err::<(), _>("a text is an error too"))
        .action("nothing", async || Ok::<_, RpcError>(()))
        .action("detailed", async || {
            let error = RpcError::text("sold out").with_code(ErrorCode::NotFound);
            Err::<(), _>(error.with_details(&json!({ "left": 0 })))
        })
        .nest("a", Actions::new().nest("b", Actions::new().action("c", async || Ok::<_, RpcError>("deep"))));
    Node::start(builder().actions(actions)).await
}

async fn exchanges(pairs: &[(&str, &str)]) {
    let node = node().await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        for (message, answer) in pairs {
            client.exchange(message, answer).await;
        }
        // Nothing was answered twice.
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn an_answer_is_the_request_without_its_req() {
    exchanges(&[
        (
            r#"{"rpc":"echo","req":{"a":[1,"2",null]},"uuid":"1"}"#,
            r#"{"rpc":"echo","uuid":"1","resp":{"a":[1,"2",null]}}"#,
        ),
        (r#"{"rpc":"a.b.c","uuid":"1"}"#, r#"{"rpc":"a.b.c","uuid":"1","resp":"deep"}"#),
        (r#"{"rpc":"nothing","req":1,"uuid":"1"}"#, r#"{"rpc":"nothing","uuid":"1","resp":null}"#),
        (r#"{"rpc":"echo","uuid":"1"}"#, r#"{"rpc":"echo","uuid":"1","resp":null}"#),
        (r#"{"req":1,"uuid":"1","rpc":"echo"}"#, r#"{"rpc":"echo","uuid":"1","resp":1}"#),
    ])
    .await;
}

#[tokio::test]
async fn fields_that_nobody_knows_come_back() {
    exchanges(&[
        (
            r#"{"rpc":"echo","req":1,"uuid":"1","trace":{"id":[7]},"é\n":"\u00e9"}"#,
            "{\"rpc\":\"echo\",\"uuid\":\"1\",\"trace\":{\"id\":[7]},\"é\\n\":\"\\u00e9\",\"resp\":1}",
        ),
        (
            r#"{"rpc":"nope","uuid":"1","trace":1}"#,
            r#"{"rpc":"nope","uuid":"1","trace":1,"error":"Function not found","code":"not_found"}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_uuid_is_repeated_as_it_came_and_may_be_missing() {
    exchanges(&[
        (r#"{"rpc":"echo","req":1}"#, r#"{"rpc":"echo","resp":1}"#),
        (r#"{"rpc":"echo","req":1,"uuid":5}"#, r#"{"rpc":"echo","uuid":5,"resp":1}"#),
        (r#"{"rpc":"echo","req":1,"uuid":null}"#, r#"{"rpc":"echo","uuid":null,"resp":1}"#),
        (r#"{"rpc":"echo","req":1,"uuid":{"a": "b"}}"#, r#"{"rpc":"echo","uuid":{"a": "b"},"resp":1}"#),
        (r#"{"rpc":"nope"}"#, r#"{"rpc":"nope","error":"Function not found","code":"not_found"}"#),
    ])
    .await;
}

#[tokio::test]
async fn an_answer_has_no_field_of_the_answer_twice() {
    exchanges(&[
        (
            r#"{"rpc":"echo","req":1,"uuid":"1","resp":"mine","error":"mine","code":"mine"}"#,
            r#"{"rpc":"echo","uuid":"1","resp":1}"#,
        ),
        (
            r#"{"rpc":"fail","uuid":"1","resp":"mine","error":"mine","details":1}"#,
            r#"{"rpc":"fail","uuid":"1","error":{"message":"boom"},"code":"internal"}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn errors_are_objects_or_texts_with_a_code_beside_them() {
    exchanges(&[
        (
            r#"{"rpc":"fail","uuid":"1"}"#,
            r#"{"rpc":"fail","uuid":"1","error":{"message":"boom"},"code":"internal"}"#,
        ),
        (
            r#"{"rpc":"failstring","uuid":"1"}"#,
            r#"{"rpc":"failstring","uuid":"1","error":"plain failure","code":"internal"}"#,
        ),
        (
            r#"{"rpc":"question","uuid":"1"}"#,
            r#"{"rpc":"question","uuid":"1","error":"a text is an error too","code":"internal"}"#,
        ),
        (
            r#"{"rpc":"detailed","uuid":"1"}"#,
            r#"{"rpc":"detailed","uuid":"1","error":"sold out","code":"not_found"}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_request_gets_the_originals_answer() {
    exchanges(&[
        ("nonsense", r#"{"error":"Invalid message","code":"bad_request"}"#),
        ("", r#"{"error":"Invalid message","code":"bad_request"}"#),
        (r#"{"rpc":"echo""#, r#"{"error":"Invalid message","code":"bad_request"}"#),
        (r#"{"uuid":"1"}"#, r#"{"uuid":"1","error":"Invalid request","code":"bad_request"}"#),
        (
            r#"{"rpc":null,"uuid":"1"}"#,
            r#"{"rpc":null,"uuid":"1","error":"Invalid request","code":"bad_request"}"#,
        ),
        (
            r#"{"rpc":"","uuid":"1"}"#,
            r#"{"rpc":"","uuid":"1","error":"Invalid request","code":"bad_request"}"#,
        ),
        (r#"{"rpc":5,"uuid":"1"}"#, r#"{"rpc":5,"uuid":"1","error":"Invalid request","code":"bad_request"}"#),
        (
            r#"{"rpc":["echo"],"uuid":"1"}"#,
            r#"{"rpc":["echo"],"uuid":"1","error":"Invalid request","code":"bad_request"}"#,
        ),
        ("null", r#"{"error":"Invalid request","code":"bad_request"}"#),
        ("[]", r#"{"error":"Invalid request","code":"bad_request"}"#),
        ("7", r#"{"error":"Invalid request","code":"bad_request"}"#),
    ])
    .await;
}

#[tokio::test]
async fn inherited_names_and_halves_of_paths_are_no_actions() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    for path in [
        "toString",
        "constructor",
        "__proto__",
        "hasOwnProperty",
        "a.toString",
        "a.b.c.call",
        "a",
        "a.b",
        "a.b.c.",
        ".a.b.c",
        "a..b.c",
        "_nope",
        "__proto__.toString",
        "_subscribe.x",
        "Echo",
        "echo ",
    ] {
        let answer = client.call(path, json!(null)).await;
        assert_eq!(
            (&answer["error"], &answer["code"]),
            (&json!("Function not found"), &json!("not_found")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_subscription_is_confirmed_by_one_internal_frame() {
    exchanges(&[
        (
            r#"{"rpc":"_subscribe","req":{"channel":"c"},"uuid":"1"}"#,
            r#"{"internal":true,"command":"subscribe","data":{"rpc":"_subscribe","uuid":"1","req":{"channel":"c"},"channel":"c"}}"#,
        ),
        // Again: confirmed again, for a client that lost count.
        (
            r#"{"rpc":"_subscribe","req":{"channel":"c"},"uuid":"2"}"#,
            r#"{"internal":true,"command":"subscribe","data":{"rpc":"_subscribe","uuid":"2","req":{"channel":"c"},"channel":"c"}}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn publish_broadcast_and_unsubscribe_are_answered_once() {
    let node = node().await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client
            .exchange(
                r#"{"rpc":"_publish","req":{"channel":"c","data":1},"uuid":"1"}"#,
                r#"{"rpc":"_publish","uuid":"1","resp":"success"}"#,
            )
            .await;
        client
            .exchange(
                r#"{"rpc":"_broadcast","req":{"data":1},"uuid":"1"}"#,
                r#"{"rpc":"_broadcast","uuid":"1","resp":"success"}"#,
            )
            .await;
        client.subscribe("c").await;
        client
            .exchange(
                r#"{"rpc":"_unsubscribe","req":{"channel":"c"},"uuid":"1"}"#,
                r#"{"internal":true,"command":"unsubscribe","data":{"channel":"c"}}"#,
            )
            .await;
        client.expect(json!({ "rpc": "_unsubscribe", "uuid": "1", "resp": "success" })).await;
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_publication_is_passed_on_as_it_came() {
    let node = node().await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client.subscribe("c \"é").await;
        for data in [
            r#""12""#,
            "12",
            "1.0",
            "12345678901234567890123",
            r#""\u00e9\u0000""#,
            "null",
            r#"{"b":1, "a":2}"#,
            r#""""#,
        ] {
            client
                .exchange(
                    &format!(r#"{{"rpc":"_publish","req":{{"data":{data},"channel":"c \"é"}},"uuid":"1"}}"#),
                    &format!(r#"{{"channel":"c \"é","message":{data}}}"#),
                )
                .await;
            client.expect(json!({ "rpc": "_publish", "uuid": "1", "resp": "success" })).await;
        }
    }
}

#[tokio::test]
async fn a_publication_without_data_is_null() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("c").await;
    client
        .exchange(
            r#"{"rpc":"_publish","req":{"channel":"c"},"uuid":"1"}"#,
            r#"{"channel":"c","message":null}"#,
        )
        .await;
}

#[tokio::test]
async fn a_call_of_the_client_has_a_name_a_path_and_arguments() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let socket = node.server.sockets().remove(0);
    let calling = tokio::spawn(async move { socket.rpc::<String>("a.b", json!({ "x": 1 })).await });
    let call = client.next().await;
    let fid = call["data"]["fid"].as_str().unwrap().to_owned();
    let data = json!({ "fid": fid, "command": "a.b", "args": { "x": 1 } });
    assert_eq!(call, json!({ "internal": true, "command": "rpc", "data": data }));
    client.reply(&fid, json!({ "data": "done" })).await;
    assert_eq!(calling.await.unwrap().unwrap(), "done");
    // An answer gets no answer.
    client.expect_alive().await;
}

#[tokio::test]
async fn ping_is_answered_where_it_is_switched_on() {
    exchanges(&[(
        r#"{"rpc":"_ping","req":{},"uuid":"1"}"#,
        r#"{"rpc":"_ping","uuid":"1","resp":{"message":"pong"}}"#,
    )])
    .await;
    let node = Node::start(builder().ping(false)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    assert_eq!(client.call("_ping", json!({})).await["error"], "Function not found");
}

#[tokio::test]
async fn details_are_for_clients_that_said_hello() {
    let node = node().await;
    let mut client = Client::hello(&node).await;
    let detailed = json!({ "rpc": "detailed", "uuid": "u1", "error": "sold out", "code": "not_found", "details": { "left": 0 } });
    assert_eq!(client.call("detailed", json!(null)).await, detailed);
    client.send_text("{}").await;
    let answer = client.next().await;
    assert!(answer["details"]["expected"].as_str().unwrap().contains("rpc"), "{answer}");
    client.send_text("[]").await;
    assert!(client.next().await["details"]["expected"].is_string());
    let answer = client.call("_subscribe", json!({ "channel": 5 })).await;
    assert!(answer["details"]["expected"].as_str().unwrap().contains("channel"), "{answer}");
}
