//! Live messages by identity: to users wherever they are connected, to everyone, and their disconnection.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use serde_json::json;
use tokensocket_server::{Close, PublishError};
use tokensocket_tests::device::{builder, connect, connect_with, ids, internal};
use tokensocket_tests::http;
use tokensocket_tests::limit::until;
use tokensocket_tests::node::Node;
use tokensocket_tests::wire::{Client, Framing};

async fn user(node: &Node, id: &str) -> Client {
    connect_with(node, &format!("user={id}"), None, &["cancel"]).await
}

#[tokio::test]
async fn reaches_every_socket_of_the_users_and_no_other() {
    let node = Node::start(builder()).await;
    let (mut one, mut two) = (user(&node, "1").await, user(&node, "1").await);
    let (mut other, mut nobody) = (user(&node, "2").await, connect_with(&node, "", None, &[]).await);
    let (mut device, _) = connect(&node, "user=1", Some("phone")).await;
    let mut original = Client::connect(&node, Framing::SockJs).await;
    let answer = http::get(node.address, "/socket/token?user=1").await;
    original.auth(answer.json()["token"].as_str().unwrap()).await;
    // It follows the channel, and gets it once all the same.
    one.subscribe("inbox").await;

    node.server.emit_to_users(["1", "1", "9"], "inbox", json!({ "a": 1 })).await.unwrap();
    for client in [&mut one, &mut two, &mut device, &mut original] {
        client.expect(json!({ "channel": "inbox", "message": { "a": 1 } })).await;
        client.expect_alive().await;
    }
    for client in [&mut other, &mut nobody] {
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn reaches_everyone_who_has_authenticated() {
    let node = Node::start(builder()).await;
    let mut clients = vec![user(&node, "1").await, connect_with(&node, "", None, &[]).await];
    let mut stranger = Client::connect(&node, Framing::Raw).await;
    until("the stranger", || node.server.sockets().len() == 3).await;
    node.server.emit_to_everyone("inbox", 1).await.unwrap();
    for client in &mut clients {
        client.expect(json!({ "channel": "inbox", "message": 1 })).await;
    }
    let answer = http::get(node.address, "/socket/token?user=1").await;
    // The first that comes is the answer.
    stranger.auth(answer.json()["token"].as_str().unwrap()).await;
}

#[tokio::test]
async fn keeps_nothing_for_who_is_away() {
    let node = Node::start(builder()).await;
    drop(connect(&node, "user=1", Some("phone")).await);
    until("the socket to close", || node.server.sockets().is_empty()).await;
    node.server.emit_to_users(["1"], "inbox", 1).await.unwrap();
    node.server.emit_to_everyone("inbox", 1).await.unwrap();
    let (mut client, _) = connect(&node, "user=1", Some("phone")).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn refuses_a_channel_that_is_none() {
    let node = Node::start(builder()).await;
    let refused = node.server.emit_to_everyone("", 1).await;
    assert!(matches!(refused, Err(PublishError::InvalidChannel(_))), "{refused:?}");
}

#[tokio::test]
async fn disconnects_all_sockets_of_a_user_and_keeps_what_is_for_its_devices() {
    let node = Node::start(builder()).await;
    let (mut one, mut other) = (user(&node, "1").await, user(&node, "2").await);
    let (mut device, _) = connect(&node, "user=1", Some("phone")).await;
    let options = tokensocket_server::DeliverOptions::new();
    node.server.deliver(tokensocket_server::To::user("1"), "e", (), options).await.unwrap();
    node.server.disconnect_users(["1"]).await.unwrap();
    for client in [&mut one, &mut device] {
        assert_eq!(client.closed().await.0, Close::NORMAL.code);
    }
    other.expect_alive().await;
    node.server.disconnect_users_with(["2"], Close::FORBIDDEN).await.unwrap();
    assert_eq!(other.closed().await.0, Close::FORBIDDEN.code);
    let (mut device, _) = connect(&node, "user=1", Some("phone")).await;
    assert_eq!(ids(&internal(&mut device, "batch").await), [1]);
}
