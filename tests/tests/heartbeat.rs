//! Signs of life: a peer that gives none is closed, one that does is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::json;
use tokensocket_server::Close;
use tokensocket_tests::limit::within;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::stream::{self, TEXT};
use tokensocket_tests::wire::{Client, Framing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::Message;

const INTERVAL: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_half_open_peer_is_closed_and_one_that_answers_pings_is_kept() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server =
        builder().heartbeat(INTERVAL).close_timeout(INTERVAL).on_disconnect(move |socket, close: Close| {
            tell.send((socket.id(), close.code, close.reason.into_owned())).unwrap();
            async {}
        });
    let node = Node::start(server).await;
    let mut living = Vec::new();
    for framing in Framing::ALL {
        living.push(Client::ready(&node, framing).await);
    }
    let token = node.token().await;
    let mut half_open = stream::upgraded(node.address).await;
    let auth = json!({ "rpc": "auth", "token": token, "uuid": "a" }).to_string();
    half_open.write_all(&stream::masked(TEXT, auth.as_bytes())).await.unwrap();

    let end = within("the end of the half-open peer", async {
        let (raw, sockjs) = living.split_at_mut(1);
        tokio::select! {
            end = told.recv() => end.unwrap(),
            // They read, and so answer pings, but say nothing.
            quiet = raw[0].read() => panic!("{quiet:?}"),
            quiet = sockjs[0].read() => panic!("{quiet:?}"),
        }
    })
    .await;
    assert_eq!((end.1, &*end.2), (4408, "Peer silent"));
    assert_eq!(node.server.sockets().len(), 2);
    assert_eq!(stream::close_code(&mut half_open).await, Some(4408));
    for client in &mut living {
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_silent_peer_is_pinged_first() {
    let node = Node::start(builder().heartbeat(INTERVAL).auth_timeout(None)).await;
    let mut silent = stream::upgraded(node.address).await;
    let mut ping = [0; 2];
    within("a ping", silent.read_exact(&mut ping)).await.unwrap();
    assert_eq!(ping, [0x89, 0]);
    // A pong counts as a sign of life, so another ping follows, and no close.
    silent.write_all(&stream::masked(10, b"")).await.unwrap();
    within("another ping", silent.read_exact(&mut ping)).await.unwrap();
    assert_eq!(ping, [0x89, 0]);
    assert_eq!(stream::close_code(&mut silent).await, Some(4408));
}

#[tokio::test]
async fn a_ping_of_the_peer_is_answered_before_and_after_auth() {
    let node = Node::start(builder()).await;
    for framing in Framing::ALL {
        let mut client = Client::connect(&node, framing).await;
        for round in 0..2_u8 {
            client.send_frame(Message::Ping(vec![round, 7].into())).await;
            let pong =
                within("a pong", futures_util::StreamExt::next(&mut client.socket)).await.unwrap().unwrap();
            assert_eq!(pong, Message::Pong(vec![round, 7].into()));
            if round == 0 {
                client.auth(&node.token().await).await;
            }
        }
        client.expect_alive().await;
    }
}
