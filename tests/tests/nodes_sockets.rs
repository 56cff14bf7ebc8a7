//! One socket, from a node that it is not connected to: called, closed, spoken to, subscribed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{
    CallError, Close, ErrorCode, ReachError, RpcError, Server, SocketId, SubscribeError,
};
use tokensocket_tests::bus::Cluster;
use tokensocket_tests::device::{builder, connect_with};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::wire::Client;
use tokio::task::JoinHandle;

/// Two nodes, and a client of the second, which node 0 knows by its id alone.
async fn pair() -> (Cluster, Client, SocketId) {
    let cluster = Cluster::start(2, builder).await;
    let client = connect_with(&cluster.nodes[1], "user=ann", None, &["cancel"]).await;
    let socket = cluster.socket(1);
    assert!(cluster.server(0).socket(socket).is_none());
    (cluster, client, socket)
}

fn call(
    server: &Server,
    socket: SocketId,
    path: &'static str,
    data: Value,
) -> JoinHandle<Result<Value, CallError>> {
    let server = server.clone();
    tokio::spawn(async move { server.rpc_to(socket, path, data).await })
}

#[tokio::test]
async fn a_client_of_another_node_answers_a_call() {
    let (cluster, mut client, socket) = pair().await;
    for node in [0, 1] {
        let calling = call(cluster.server(node), socket, "ask.name", json!({ "n": [1, "ü"] }));
        let (fid, path, args) = client.called().await;
        assert_eq!((&*path, args), ("ask.name", json!({ "n": [1, "ü"] })));
        client.reply(&fid, json!({ "data": { "name": "x" } })).await;
        assert_eq!(calling.await.unwrap().unwrap(), json!({ "name": "x" }));
        let calling = call(cluster.server(node), socket, "nothing", json!(null));
        let (fid, ..) = client.called().await;
        client.reply(&fid, json!({})).await;
        assert_eq!(calling.await.unwrap().unwrap(), json!(null));
    }
}

#[tokio::test]
async fn many_calls_at_once_get_their_own_answers() {
    let (cluster, mut client, socket) = pair().await;
    let calls: Vec<_> = (0..100).map(|n| call(cluster.server(0), socket, "echo", json!(n))).collect();
    let mut called = Vec::new();
    for _ in 0..100 {
        called.push(client.called().await);
    }
    for (fid, _, args) in called.into_iter().rev() {
        client.reply(&fid, json!({ "data": args })).await;
    }
    for (n, calling) in calls.into_iter().enumerate() {
        assert_eq!(calling.await.unwrap().unwrap(), json!(n));
    }
}

#[tokio::test]
async fn its_error_comes_as_it_is() {
    let (cluster, mut client, socket) = pair().await;
    let calling = call(cluster.server(0), socket, "a", json!(null));
    let (fid, ..) = client.called().await;
    client.reply(&fid, json!({ "error": { "message": "gone", "at": 7 }, "code": "not_found" })).await;
    match calling.await.unwrap() {
        Err(CallError::Remote(error)) => {
            assert_eq!(
                (error.code(), error.error()),
                (ErrorCode::NotFound, &json!({ "message": "gone", "at": 7 }))
            );
        }
        other => panic!("{other:?}"),
    }
    let server = cluster.server(0).clone();
    let calling = tokio::spawn(async move { server.rpc_to::<u8>(socket, "a", ()).await });
    let (fid, ..) = client.called().await;
    client.reply(&fid, json!({ "data": "text" })).await;
    assert!(matches!(calling.await.unwrap(), Err(CallError::Shape(_))));
}

#[tokio::test]
async fn a_call_ends_with_its_time_and_is_taken_back() {
    let (cluster, mut client, socket) = pair().await;
    let late = cluster.server(0).rpc_to::<Value>(socket, "a", ()).timeout(Duration::from_millis(200));
    // Long before the time that a call has when nobody says.
    let late = within("the end of the call", late.into_future()).await;
    assert!(matches!(late, Err(CallError::Timeout | CallError::Reach(ReachError::Timeout))), "{late:?}");
    let (fid, ..) = client.called().await;
    let cancelled = client.find("the cancellation", |message| message["command"] == "cancel").await;
    assert_eq!(cancelled["data"]["fid"], fid);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_taken_back() {
    let (cluster, mut client, socket) = pair().await;
    let calling = call(cluster.server(0), socket, "a", json!(null));
    let (fid, ..) = client.called().await;
    calling.abort();
    let cancelled = client.find("the cancellation", |message| message["command"] == "cancel").await;
    assert_eq!(cancelled["data"]["fid"], fid);
    client.reply(&fid, json!({ "data": 1 })).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn a_call_ends_with_its_socket_and_with_its_node() {
    let (cluster, mut client, socket) = pair().await;
    let calling = call(cluster.server(0), socket, "a", json!(null));
    client.called().await;
    drop(client);
    assert!(matches!(within("the end of the call", calling).await.unwrap(), Err(CallError::Closed)));
    until("the socket to be gone", || cluster.server(1).sockets().is_empty()).await;
    let gone = cluster.server(0).rpc_to::<Value>(socket, "a", ()).await;
    assert!(matches!(gone, Err(CallError::Reach(ReachError::NoSuchSocket))), "{gone:?}");

    let mut client = connect_with(&cluster.nodes[1], "user=ann", None, &[]).await;
    let socket = cluster.socket(1);
    let calling = call(cluster.server(0), socket, "a", json!(null));
    client.called().await;
    cluster.seats[1].die();
    let gone = within("the end of the call", calling).await.unwrap();
    assert!(matches!(gone, Err(CallError::Reach(ReachError::NodeGone))), "{gone:?}");
    let gone = cluster.server(0).disconnect(socket, Close::NORMAL).await;
    assert!(matches!(gone, Err(ReachError::NoSuchSocket)), "{gone:?}");
}

#[tokio::test]
async fn what_a_dead_node_asked_is_taken_back() {
    let (cluster, mut client, socket) = pair().await;
    let _calling = call(cluster.server(0), socket, "a", json!(null));
    let (fid, ..) = client.called().await;
    cluster.seats[0].die();
    let cancelled = client.find("the cancellation", |message| message["command"] == "cancel").await;
    assert_eq!(cancelled["data"]["fid"], fid);
}

#[tokio::test]
async fn says_so_when_the_broker_does_not_take_it() {
    let (cluster, _client, socket) = pair().await;
    cluster.seats[0].cut();
    let refused = cluster.server(0).rpc_to::<Value>(socket, "a", ()).await;
    assert!(matches!(refused, Err(CallError::Reach(ReachError::Broker(_)))), "{refused:?}");
    assert_eq!(RpcError::from(refused.unwrap_err()).code(), ErrorCode::Overloaded);
}

#[tokio::test]
async fn is_described_spoken_to_and_closed() {
    let (cluster, mut client, socket) = pair().await;
    client.subscribe("news").await;
    let server = cluster.server(0);
    let found = server.find_socket(socket).await.unwrap();
    assert_eq!((found.id, found.node), (socket, cluster.server(1).this_node().id));
    assert_eq!((found.user.as_deref(), found.channels[0].as_str()), (Some("ann"), "news"));
    server.send_to(socket, "direct", json!({ "a": 1 })).await.unwrap();
    client.expect(json!({ "channel": "direct", "message": { "a": 1 } })).await;
    server.emit_to(socket, "event", (1, "two")).await.unwrap();
    client.expect(json!({ "channel": "event", "message": [1, "two"] })).await;
    assert!(matches!(server.send_to(socket, "", 1).await, Err(ReachError::InvalidChannel(_))));
    server.disconnect(socket, Close::new(4500, "bye")).await.unwrap();
    assert_eq!(client.closed().await, (4500, "bye".to_owned()));
    until("the socket to be gone", || cluster.server(1).sockets().is_empty()).await;
    assert!(matches!(server.find_socket(socket).await, Err(ReachError::NoSuchSocket)));
    let nobody = "0123456789abcdef".parse().unwrap();
    assert!(matches!(server.find_socket(nobody).await, Err(ReachError::NoSuchSocket)));
}

#[tokio::test]
async fn is_subscribed_and_unsubscribed() {
    let cluster = Cluster::start(2, || builder().max_channels_per_socket(1)).await;
    let mut client = connect_with(&cluster.nodes[1], "user=ann", None, &[]).await;
    let (server, socket) = (cluster.server(0), cluster.socket(1));
    server.subscribe_to(socket, "news").await.unwrap();
    let told = client.next().await;
    assert_eq!((&told["command"], &told["data"]["channel"]), (&json!("subscribe"), &json!("news")));
    server.publish("news", 7).await.unwrap();
    client.expect(json!({ "channel": "news", "message": 7 })).await;
    let one_more = server.subscribe_to(socket, "other").await;
    assert!(matches!(one_more, Err(SubscribeError::TooManyChannels(1))), "{one_more:?}");
    server.unsubscribe_from(socket, "news").await.unwrap();
    assert_eq!(client.next().await["command"], "unsubscribe");
    assert!(cluster.server(1).channels().is_empty());
}
