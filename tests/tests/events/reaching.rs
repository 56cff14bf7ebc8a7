//! What the server says by itself: to users, to everyone, and deliveries.

use serde_json::{Value, json};
use tokensocket_server::{Close, DeliverOptions, To};
use tokensocket_tests::limit::until;
use tokensocket_tests::node::Node;

use super::{user, with_tokens, works};

#[tokio::test]
async fn what_is_emitted_to_users_and_to_everyone_comes_as_an_event() {
    let node = Node::start(with_tokens()).await;
    let (mut ann, mut ben) = (user(&node, "user=ann", "").await, user(&node, "user=ben", "").await);
    let mut native = tokensocket_tests::device::connect_with(&node, "user=ann", None, &[]).await;
    node.server.emit_to_users(["ann"], "news", json!({ "n": 1 })).await.unwrap();
    node.server.emit_to_everyone("all", "x").await.unwrap();
    ann.expect(json!({ "event": "news", "data": { "n": 1 } })).await;
    for client in [&mut ann, &mut ben] {
        client.expect(json!({ "event": "all", "data": "x" })).await;
    }
    native.expect(json!({ "channel": "news", "message": { "n": 1 } })).await;
    native.expect(json!({ "channel": "all", "message": "x" })).await;

    let socket = node.server.user_sockets("ben").remove(0);
    socket.subscribe("room").await.unwrap();
    node.server.publish("room", json!([2])).await.unwrap();
    ben.expect(json!({ "event": "room", "data": [2] })).await;
    assert!(socket.rpc::<Value>("an.action", ()).await.is_err());

    node.server.disconnect_users_with(["ann"], Close::new(4001, "enough")).await.unwrap();
    assert_eq!(ann.closed().await, (4001, "enough".to_owned()));
    works(&mut ben).await;
}

async fn deliver(node: &Node, to: To, event: &str, args: Value) -> usize {
    node.server.deliver(to, event, args, DeliverOptions::new()).await.unwrap().devices
}

#[tokio::test]
async fn a_delivery_counts_as_acknowledged_when_it_was_written() {
    let node = Node::start(with_tokens()).await;
    let mut client = user(&node, "user=ann&rooms=staff", "&deviceId=phone").await;
    // The store may not know the device yet.
    while deliver(&node, To::user("ann"), "order", json!([0])).await == 0 {
        tokio::task::yield_now().await;
    }
    client.expect(json!({ "event": "order", "args": [0] })).await;
    for n in 1..=3 {
        assert_eq!(deliver(&node, To::room("staff"), "order", json!([n, "x"])).await, 1);
    }
    for n in 1..=3 {
        client.expect(json!({ "event": "order", "args": [n, "x"] })).await;
    }
    client.socket.close(None).await.unwrap();
    until("the socket to go", || node.server.sockets().is_empty()).await;

    // What comes while it is away waits for it; what it was sent does not come again.
    for n in 4..=5 {
        assert_eq!(deliver(&node, To::user("ann"), "order", json!([n])).await, 1);
    }
    let mut client = user(&node, "user=ann", "&deviceId=phone").await;
    for n in 4..=5 {
        client.expect(json!({ "event": "order", "args": [n] })).await;
    }
    client.socket.close(None).await.unwrap();
    until("the socket to go", || node.server.sockets().is_empty()).await;
    let mut client = user(&node, "user=ann", "&deviceId=phone").await;
    works(&mut client).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_client_without_a_device_gets_what_is_delivered_while_it_is_there() {
    let node = Node::start(with_tokens()).await;
    let mut client = user(&node, "user=ann", "").await;
    while deliver(&node, To::user("ann"), "order", json!([1])).await == 0 {
        tokio::task::yield_now().await;
    }
    client.expect(json!({ "event": "order", "args": [1] })).await;
    client.socket.close(None).await.unwrap();
    until("the socket to go", || node.server.sockets().is_empty()).await;
    assert_eq!(deliver(&node, To::user("ann"), "order", json!([2])).await, 0);
    let mut client = user(&node, "user=ann", "").await;
    works(&mut client).await;
}
