//! Our client and server together: connections are cut again and again under load, and the application sees every
//! publication once and in order, or is told that it does not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use futures_util::StreamExt;
use tokensocket_client::{Subscription, SubscriptionError, TokenSocket};
use tokensocket_server::{ChannelOptions, History, ServerBuilder};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{connected, native, ready};
use tokensocket_tests::node::{Node, builder, listen};
use tokensocket_tests::proxy::{Proxy, Purpose};

fn keeping(count: usize) -> ServerBuilder {
    let history = History::new(count, Duration::from_hours(1));
    builder().channels("news", ChannelOptions::new().history(history))
}

async fn follow(socket: &TokenSocket) -> Subscription<u64> {
    within("a subscription", socket.subscribe("news")).await.expect("the server confirms").typed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_publication_comes_once_and_in_order_however_often_connections_are_cut() {
    const CLIENTS: usize = 8;
    const CUTS: usize = 5;
    let node = Node::start(keeping(100_000)).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let proxy = Proxy::start(node.address).await;
        // What was missed comes in one piece.
        let socket = connected(native(proxy.address).subscription_buffer(100_000, 1 << 20)).await;
        let news = follow(&socket).await;
        clients.push((proxy, socket, news));
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let publishing = tokio::spawn({
        let server = node.server.clone();
        async move {
            let mut last = 0;
            // However quickly the clients come back.
            while stopped.is_empty() || last <= 100 {
                last = server.publish("news", last + 1).await.unwrap().position.unwrap().offset;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            last
        }
    });
    let cutting = clients.into_iter().map(|(proxy, socket, mut news)| {
        tokio::spawn(async move {
            let mut came = Vec::new();
            for cut in 1..=CUTS {
                proxy.cut_all();
                let opened = || proxy.opened(Purpose::Socket) > cut;
                within("the client to come back", async {
                    while !opened() {
                        tokio::select! {
                            next = news.next() => came.push(next.unwrap()),
                            () = tokio::time::sleep(Duration::from_millis(5)) => {}
                        }
                    }
                })
                .await;
            }
            (proxy, socket, news, came)
        })
    });
    let cutting: Vec<_> = cutting.collect();
    let mut clients = Vec::new();
    for client in cutting {
        clients.push(client.await.unwrap());
    }
    stop.send(()).unwrap();
    let last = publishing.await.unwrap();
    for (_proxy, _socket, news, came) in &mut clients {
        while came.last() != Some(&Ok(last)) {
            came.push(within("a publication", news.next()).await.unwrap());
        }
        let expected: Vec<_> = (1..=last).map(Ok).collect();
        assert_eq!(*came, expected);
    }
}

#[tokio::test]
async fn one_who_was_away_for_too_long_is_told_in_its_place_and_goes_on() {
    let node = Node::start(keeping(3)).await;
    let proxy = Proxy::start(node.address).await;
    let socket = ready(proxy.address).await;
    let mut news = follow(&socket).await;
    node.server.publish("news", 1).await.unwrap();
    assert_eq!(within("a publication", news.next()).await, Some(Ok(1)));
    let (nobody, nowhere) = listen().await;
    drop(nobody);
    proxy.lead_to(nowhere);
    proxy.cut_all();
    until("the connection is gone", || node.server.channels().is_empty()).await;
    for n in 2..=10 {
        node.server.publish("news", n).await.unwrap();
    }
    proxy.lead_to(node.address);
    until("the client is back", || !node.server.channels().is_empty()).await;
    node.server.publish("news", 11).await.unwrap();
    assert_eq!(within("a gap", news.next()).await, Some(Err(SubscriptionError::Unrecovered)));
    assert_eq!(within("a publication", news.next()).await, Some(Ok(11)));
}
