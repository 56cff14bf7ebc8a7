//! Clients that do not read, flood, break rules or fall silent, and the end of the server.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokensocket_server::events::{EventMode, EventOptions};
use tokensocket_server::{Close, Server};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::Node;
use tokensocket_tests::wire::{Client, Framing, Received};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::{ask, builder, connect, thing, works};

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_bounded() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let builder = builder().outbox(64, 1 << 20).close_timeout(Duration::from_millis(200)).on_disconnect(
        move |_, close: Close| {
            tell.send(close.code).unwrap();
            async {}
        },
    );
    let node = Node::start(builder).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(node.address).await.unwrap();
    let _sluggish = Client::over_at(stream, node.address, "/both", Framing::Raw).await;
    let text = "x".repeat(32 * 1024);
    until("the socket", || node.server.sockets().iter().any(tokensocket_server::Socket::is_authenticated))
        .await;
    within("the end of the client that does not read", async {
        while told.is_empty() {
            node.server.emit_to_everyone("news", &text).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(told.recv().await, Some(Close::SLOW_CONSUMER.code));
}

#[tokio::test]
async fn a_flood_of_questions_is_answered_as_fast_as_it_is_read() {
    let node = Node::start(builder().outbox(128, 64 * 1024)).await;
    let mut client = connect(&node, "/both").await;
    for _ in 0..20 {
        for _ in 0..100 {
            client.send(json!({ "event": "data:get:thing" })).await;
        }
        for _ in 0..100 {
            client.expect(thing()).await;
        }
    }
}

#[tokio::test]
async fn breaking_the_rules_of_websockets_or_of_size_closes() {
    let node = Node::start(builder().max_message_bytes(1000)).await;
    let mut client = connect(&node, "/both").await;
    client.send_text(&"x".repeat(1000)).await;
    works(&mut client).await;
    client.send_text(&"x".repeat(1001)).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn pings_are_answered_and_silent_peers_given_up() {
    let hurried = builder().heartbeat(Duration::from_millis(200)).close_timeout(Duration::from_millis(100));
    let node = Node::start(hurried).await;
    let mut client = connect(&node, "/both").await;
    client.send_frame(Message::Ping("x".into())).await;
    let mut pongs = 0;
    // Pings of the server are answered while this reads: who answered none would hear two.
    for _ in 0..4 {
        match within("a ping", client.socket.next()).await {
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(Message::Pong(payload))) => pongs += usize::from(&payload[..] == b"x"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pongs, 1);
    works(&mut client).await;

    let silent = connect(&node, "/both").await;
    until("both", || node.server.sockets().len() == 2).await;
    let read = async {
        while node.server.sockets().len() == 2 {
            let _ = tokio::time::timeout(Duration::from_millis(10), client.read()).await;
        }
    };
    within("the end of the silent one", read).await;
    works(&mut client).await;
    drop(silent);
}

#[tokio::test]
async fn a_shutdown_lets_what_runs_finish_and_closes() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let options = EventOptions::new(EventMode::Data).open().data_source("slow", move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            Ok(1)
        }
    });
    let node = Node::in_warp(Server::builder().events("/events", options).build().unwrap()).await;
    let (mut idle, mut busy) = (connect(&node, "/events").await, connect(&node, "/events").await);
    busy.send(json!({ "event": "data:get:slow" })).await;
    busy.send_frame(Message::Ping("x".into())).await;
    within("the pong", async { while !matches!(busy.socket.next().await, Some(Ok(Message::Pong(_)))) {} })
        .await;
    let server = node.server.clone();
    let ending = tokio::spawn(async move { server.shutdown().await });
    assert_eq!(idle.closed().await.0, Close::RESTART.code);
    assert_eq!(ask(&node, "/events").await.status, 503);
    gate.notify_one();
    busy.expect(json!({ "event": "data:set:slow", "data": 1 })).await;
    assert_eq!(busy.read().await, Received::Closed(Close::RESTART.code, Close::RESTART.reason.into_owned()));
    within("the shutdown", ending).await.unwrap();
}
