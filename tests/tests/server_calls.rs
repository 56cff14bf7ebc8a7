//! Calls of a client's actions: they resolve or fail, always, and leave nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokensocket_server::{Actions, CallError, Data, ErrorCode, RawJson, RpcError, Socket};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};

async fn node() -> Node {
    Node::start(builder()).await
}

/// A client, and its socket on the server.
async fn pair(node: &Node, framing: Framing) -> (Client, Socket) {
    let client = Client::ready(node, framing).await;
    (client, node.server.sockets().pop().unwrap())
}

fn spawn_call(
    socket: &Socket,
    path: &'static str,
    data: Value,
) -> tokio::task::JoinHandle<Result<Value, CallError>> {
    let socket = socket.clone();
    tokio::spawn(async move { socket.rpc(path, data).await })
}

#[tokio::test]
async fn resolves_with_the_clients_answer() {
    let node = node().await;
    for framing in Framing::ALL {
        let (mut client, socket) = pair(&node, framing).await;
        let calling = spawn_call(&socket, "ask.name", json!({ "n": [1] }));
        let (fid, path, args) = client.called().await;
        assert_eq!((&*path, args), ("ask.name", json!({ "n": [1] })));
        client.reply(&fid, json!({ "data": { "name": "x" } })).await;
        assert_eq!(calling.await.unwrap().unwrap(), json!({ "name": "x" }));
        // The same by the server's handle.
        let server = node.server.clone();
        let calling = tokio::spawn(async move { server.rpc::<u8>(&socket, "n", ()).await });
        let (fid, ..) = client.called().await;
        client.reply(&fid, json!({ "data": 7 })).await;
        assert_eq!(calling.await.unwrap().unwrap(), 7);
    }
}

#[tokio::test]
async fn an_answer_without_data_is_null() {
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    for resp in [json!({}), json!({ "data": null })] {
        let calling = spawn_call(&socket, "a", json!(null));
        let (fid, ..) = client.called().await;
        client.reply(&fid, resp).await;
        assert_eq!(calling.await.unwrap().unwrap(), json!(null));
    }
}

#[tokio::test]
async fn the_clients_error_comes_as_it_is() {
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    for (resp, message, code) in [
        (json!({ "error": { "message": "boom" } }), "boom", ErrorCode::Internal),
        (json!({ "error": "plain" }), "plain", ErrorCode::Internal),
        (json!({ "error": "gone", "code": "not_found" }), "gone", ErrorCode::NotFound),
        (json!({ "error": "odd", "code": "no such code" }), "odd", ErrorCode::Internal),
        (json!(5), "the client's answer is malformed", ErrorCode::BadRequest),
    ] {
        let calling = spawn_call(&socket, "a", json!(null));
        let (fid, ..) = client.called().await;
        client.reply(&fid, resp).await;
        match calling.await.unwrap() {
            Err(CallError::Remote(error)) => assert_eq!((error.message(), error.code()), (message, code)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_handler_passes_the_clients_error_on() {
    let actions = Actions::new().action("callme", async |Data(path): Data<String>, socket: Socket| {
        let answer: RawJson = socket.rpc(&path, ()).await?;
        Ok::<_, RpcError>(answer)
    });
    let node = Node::start(builder().actions(actions)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let uuid = client.start("callme", json!("x")).await;
    let (fid, ..) = client.called().await;
    client.reply(&fid, json!({ "error": { "message": "client says no" }, "code": "forbidden" })).await;
    let answer = client.answer(&uuid).await;
    assert_eq!(
        (&answer["error"], &answer["code"]),
        (&json!({ "message": "client says no" }), &json!("forbidden"))
    );
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error() {
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    let calling = tokio::spawn(async move { socket.rpc::<u8>("a", ()).await });
    let (fid, ..) = client.called().await;
    client.reply(&fid, json!({ "data": "text" })).await;
    assert!(matches!(calling.await.unwrap(), Err(CallError::Shape(_))));
}

#[tokio::test]
async fn times_out_and_takes_no_late_answer() {
    let node = Node::start(builder().rpc_timeout(Duration::from_millis(50))).await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    assert!(matches!(socket.rpc::<Value>("a", ()).await, Err(CallError::Timeout)));
    let (late, ..) = client.called().await;
    // The limit of one call.
    let quick = socket.rpc::<Value>("b", ()).timeout(Duration::from_millis(1));
    assert!(matches!(quick.await, Err(CallError::Timeout)));
    client.called().await;
    let calling = spawn_call(&socket, "c", json!(null));
    let (fid, ..) = client.called().await;
    assert_ne!(fid, late);
    client.reply(&late, json!({ "data": "late" })).await;
    client.reply(&fid, json!({ "data": "now" })).await;
    assert_eq!(calling.await.unwrap().unwrap(), "now");
    client.expect_alive().await;
}

#[tokio::test]
async fn a_second_answer_is_ignored() {
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    let calling = spawn_call(&socket, "a", json!(null));
    let (fid, ..) = client.called().await;
    client.reply(&fid, json!({ "data": 1 })).await;
    client.reply(&fid, json!({ "data": 2 })).await;
    assert_eq!(calling.await.unwrap().unwrap(), 1);
    client.expect_alive().await;
}

#[tokio::test]
async fn one_client_cannot_answer_for_another() {
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    let (mut other, _other_socket) = pair(&node, Framing::Raw).await;
    let calling = spawn_call(&socket, "a", json!(null));
    let (fid, ..) = client.called().await;
    other.reply(&fid, json!({ "data": "forged" })).await;
    other.expect_alive().await;
    client.reply(&fid, json!({ "data": "true" })).await;
    assert_eq!(calling.await.unwrap().unwrap(), "true");
}

#[tokio::test]
async fn all_waiting_calls_fail_when_the_socket_drops_and_later_ones_at_once() {
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    let calls = [(); 5].map(|()| spawn_call(&socket, "a", json!(null)));
    for _ in 0..5 {
        client.called().await;
    }
    drop(client);
    for call in calls {
        let outcome = within("the call to fail", call).await.unwrap();
        assert!(matches!(outcome, Err(CallError::Closed)), "{outcome:?}");
    }
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
    assert!(socket.is_closed());
    let late = within("a late call", async { socket.rpc::<Value>("a", ()).await }).await;
    assert!(matches!(late, Err(CallError::Closed)));
}

#[tokio::test]
async fn calls_fail_when_the_server_closes_the_socket() {
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    let calling = spawn_call(&socket, "a", json!(null));
    client.called().await;
    socket.disconnect();
    assert_eq!(client.closed().await.0, 1000);
    drop(client);
    assert!(matches!(within("the call", calling).await.unwrap(), Err(CallError::Closed)));
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_clients_that_understand_it_only() {
    let node = node().await;
    for understands in [true, false] {
        let mut client =
            if understands { Client::hello(&node).await } else { Client::ready(&node, Framing::Raw).await };
        let socket = node.server.sockets().pop().unwrap();
        let calling = spawn_call(&socket, "a", json!(null));
        let call = client.find("the call", |message| message["command"] == "rpc").await;
        assert_eq!(call["data"]["timeout_ms"].is_u64(), understands, "{call}");
        calling.abort();
        if understands {
            client
                .expect(
                    json!({ "internal": true, "command": "cancel", "data": { "fid": call["data"]["fid"] } }),
                )
                .await;
        }
        assert!(calling.await.unwrap_err().is_cancelled());
        // A late answer harms nobody, and nothing else is said.
        client.reply(call["data"]["fid"].as_str().unwrap(), json!({ "data": 1 })).await;
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn many_calls_in_flight_are_answered_in_any_order() {
    const CALLS: usize = 500;
    let node = node().await;
    let (mut client, socket) = pair(&node, Framing::SockJs).await;
    let calls: Vec<_> = (0..CALLS).map(|n| spawn_call(&socket, "n", json!(n))).collect();
    let mut called = Vec::new();
    for _ in 0..CALLS {
        called.push(client.called().await);
    }
    for (fid, _, n) in called.into_iter().rev() {
        client.reply(&fid, json!({ "data": { "was": n } })).await;
    }
    for (n, outcome) in join_all(calls).await.into_iter().enumerate() {
        assert_eq!(outcome.unwrap().unwrap(), json!({ "was": n }));
    }
}

#[tokio::test]
async fn too_many_calls_in_flight_are_refused_and_leave_no_entry() {
    let node = Node::start(builder().max_calls_per_socket(2)).await;
    let (mut client, socket) = pair(&node, Framing::Raw).await;
    for _ in 0..3 {
        let calls = [(); 2].map(|()| spawn_call(&socket, "a", json!(null)));
        let fids = [client.called().await.0, client.called().await.0];
        assert!(matches!(socket.rpc::<Value>("a", ()).await, Err(CallError::TooManyCalls)));
        // One is answered, one dropped: both make room.
        client.reply(&fids[0], json!({ "data": 1 })).await;
        let [first, second] = calls;
        let (answered, dropped) = if fids[0] < fids[1] { (first, second) } else { (second, first) };
        assert_eq!(answered.await.unwrap().unwrap(), 1);
        dropped.abort();
        let _ = dropped.await;
    }
}
