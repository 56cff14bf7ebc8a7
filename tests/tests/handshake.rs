//! Connections that break off on their way: at whatever step, nothing of them stays.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;

use serde_json::json;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::stream::{self, TEXT, masked, upgrade_request, upgraded};
use tokensocket_tests::wire::{Client, Framing};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

const CONNECTIONS: usize = 4;

async fn nodes() -> [Node; 2] {
    let server = || {
        builder()
            .max_connections_per_address(CONNECTIONS)
            .on_disconnect(|_, _| async { panic!("told of a socket that never authenticated") })
            .build()
            .unwrap()
    };
    [Node::serve(server()).await, Node::in_warp(server()).await]
}

/// Ends a connection: politely, or with a reset.
fn cut(stream: TcpStream, reset: bool) {
    if reset {
        stream.set_zero_linger().unwrap();
    }
    drop(stream);
}

/// No socket is left, and no connection is counted any more.
async fn expect_nothing_left(node: &Node) {
    until("all sockets to be gone", || node.server.sockets().is_empty()).await;
    within("room for all connections", async {
        let mut clients = Vec::new();
        while clients.len() < CONNECTIONS {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.write_all(upgrade_request(node.address).as_bytes()).await.unwrap();
            let mut status = [0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut status).await.unwrap();
            match &status {
                b"HTTP/1.1 101" => clients.push(stream),
                // A connection that was cut may still be on its way out.
                b"HTTP/1.1 429" => clients.clear(),
                other => panic!("{:?}", String::from_utf8_lossy(other)),
            }
        }
    })
    .await;
    until("all sockets to be gone", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn cut_within_the_request() {
    for node in nodes().await {
        let request = upgrade_request(node.address);
        for length in (0..request.len()).step_by(17) {
            for reset in [false, true] {
                let mut stream = TcpStream::connect(node.address).await.unwrap();
                stream.write_all(&request.as_bytes()[..length]).await.unwrap();
                cut(stream, reset);
            }
        }
        expect_nothing_left(&node).await;
    }
}

#[tokio::test]
async fn cut_before_the_upgrade_is_answered() {
    for node in nodes().await {
        for reset in [false, true].repeat(20) {
            let mut stream = TcpStream::connect(node.address).await.unwrap();
            stream.write_all(upgrade_request(node.address).as_bytes()).await.unwrap();
            cut(stream, reset);
        }
        expect_nothing_left(&node).await;
    }
}

#[tokio::test]
async fn cut_after_the_upgrade() {
    for node in nodes().await {
        for reset in [false, true] {
            let streams = [upgraded(node.address).await, upgraded(node.address).await];
            until("two sockets", || node.server.sockets().len() == 2).await;
            for stream in streams {
                cut(stream, reset);
            }
            until("both to be gone", || node.server.sockets().is_empty()).await;
        }
        expect_nothing_left(&node).await;
    }
}

#[tokio::test]
async fn cut_within_a_frame() {
    for node in nodes().await {
        let frame = masked(
            TEXT,
            json!({ "rpc": "auth", "token": node.token().await, "uuid": "1" }).to_string().as_bytes(),
        );
        for length in [1, 2, 4, 7, frame.len() / 2, frame.len() - 1] {
            for reset in [false, true] {
                let mut stream = upgraded(node.address).await;
                stream.write_all(&frame[..length]).await.unwrap();
                cut(stream, reset);
                until("it to be gone", || node.server.sockets().is_empty()).await;
            }
        }
        // The frame was never whole, so the token is still good.
        expect_nothing_left(&node).await;
    }
}

#[tokio::test]
async fn cut_right_after_auth_was_sent() {
    // Here the hook may be told, since the token may be redeemed.
    let server = || builder().max_connections_per_address(CONNECTIONS).build().unwrap();
    for node in [Node::serve(server()).await, Node::in_warp(server()).await] {
        for reset in [false, true].repeat(5) {
            let auth = json!({ "rpc": "auth", "token": node.token().await, "uuid": "1" }).to_string();
            let mut stream = upgraded(node.address).await;
            stream.write_all(&masked(TEXT, auth.as_bytes())).await.unwrap();
            cut(stream, reset);
            until("it to be gone", || node.server.sockets().is_empty()).await;
        }
        expect_nothing_left(&node).await;
    }
}

#[tokio::test]
async fn cut_while_the_hook_decides() {
    let asked = Arc::new(Notify::new());
    let asks = asked.clone();
    let dropped = Arc::new(Notify::new());
    let drops = dropped.clone();
    let server = builder()
        .max_connections_per_address(CONNECTIONS)
        .auth_timeout(Some(std::time::Duration::from_millis(200)))
        // Longer than the test waits: there is nobody to say goodbye to.
        .close_timeout(std::time::Duration::from_hours(1))
        .on_authenticate(move |_| {
            struct Tells(Arc<Notify>);
            impl Drop for Tells {
                fn drop(&mut self) {
                    self.0.notify_one();
                }
            }
            let (asks, tells) = (asks.clone(), Tells(drops.clone()));
            async move {
                let _tells = tells;
                asks.notify_one();
                std::future::pending().await
            }
        });
    let node = Node::start(server).await;
    let auth = json!({ "rpc": "auth", "token": node.token().await, "uuid": "1" }).to_string();
    let mut stream = upgraded(node.address).await;
    stream.write_all(&masked(TEXT, auth.as_bytes())).await.unwrap();
    within("the hook", asked.notified()).await;
    drop(stream);
    // While the token is redeemed nothing is read; the time limit ends it.
    within("the hook to be dropped", dropped.notified()).await;
    expect_nothing_left(&node).await;
}

#[tokio::test]
async fn cut_within_sockjs_and_after_a_call() {
    for node in [Node::start(builder()).await, Node::in_warp(builder().build().unwrap()).await] {
        for framing in Framing::ALL {
            let mut client = Client::ready(&node, framing).await;
            client.subscribe("c").await;
            client.start("_publish", json!({ "channel": "c", "data": 1 })).await;
            client.start("_subscribe", json!({ "channel": "d" })).await;
            cut(client.socket.into_inner(), true);
            until("it to be gone", || node.server.sockets().is_empty()).await;
            assert_eq!(node.server.channels(), []);
        }
    }
}

#[tokio::test]
async fn frames_that_come_with_the_request_are_not_lost() {
    for node in nodes().await {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        let early = masked(TEXT, b"nonsense");
        let request = [upgrade_request(node.address).as_bytes(), &early[..]].concat();
        stream.write_all(&request).await.unwrap();
        within("the upgrade", stream::read_head(&mut stream)).await;
        let expected = br#"{"error":"Invalid message","code":"bad_request"}"#;
        let mut answer = vec![0; 2 + expected.len()];
        within("the answer", tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer)).await.unwrap();
        assert_eq!(answer[2..], expected[..], "{}", String::from_utf8_lossy(&answer));
    }
}
