//! What every broker must do, done by that over NATS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokensocket_server::{Broker, Control, Nats, NatsBroker, NatsOptions, Pattern, RawJson};
use tokensocket_tests::engine;

use crate::node::{Node, channel, kept, number, numbers, offset, publish, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn does_its_duties() {
    let server = engine::Nats::start().await;
    let nats = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    assert!(!nats.status().lacks.iter().any(|lack| lack.contains("JetStream")), "{:?}", nats.status().lacks);
    assert_eq!(nats.status().version.as_deref().map(|version| version.starts_with("2.")), Some(true));
    let next = AtomicU64::new(0);
    let make = || {
        let namespace = nats.namespace(&format!("space {}", next.fetch_add(1, Ordering::Relaxed)));
        NatsBroker::new(&namespace)
    };
    tokensocket_server::conformance::broker(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_do_their_duties() {
    let server = engine::Nats::start().await;
    let one = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    let other = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    let next = AtomicU64::new(0);
    let make = || {
        let name = format!("space.{}", next.fetch_add(1, Ordering::Relaxed));
        [NatsBroker::new(&one.namespace(&name)), NatsBroker::new(&other.namespace(&name))]
    };
    tokensocket_server::conformance::broker_nodes_each_in_order(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_race_agree_on_one_order() {
    const EACH: u64 = 300;
    let server = engine::Nats::start().await;
    let nodes =
        [Node::new(&server.url()).await, Node::new(&server.url()).await, Node::new(&server.url()).await];
    for node in &nodes {
        node.follow("a").await;
    }
    let nodes = Arc::new(nodes);
    let publishers: Vec<_> = (0..6_usize)
        .map(|publisher| {
            let nodes = Arc::clone(&nodes);
            tokio::spawn(async move {
                let mut last = 0;
                for n in 0..EACH {
                    let published =
                        nodes[publisher % 3].publish("a", publisher as u64 * 10_000 + n).await.unwrap();
                    assert!(offset(&published) > last, "one publisher's own order is kept");
                    last = offset(&published);
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let all = usize::try_from(6 * EACH).unwrap();
    let page = nodes[0].read("a").await;
    assert_eq!(page.publications.len(), all);
    for node in nodes.iter() {
        let came = node.came(all).await;
        assert_eq!(came.len(), all, "each once");
        for ((n, came), kept) in (1..).zip(&came).zip(&page.publications) {
            let place = came.position.as_ref().unwrap();
            assert_eq!((place.offset, &place.epoch), (n, &page.position.epoch), "without a hole");
            assert_eq!((kept.offset, &kept.message), (n, &came.message));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_channel_may_be_followed_by_name_and_by_patterns() {
    let server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    let patterns = [Pattern::new("a.*").unwrap(), Pattern::new("a.>").unwrap()];
    two.follow("a.x").await;
    let mut sent = 0;
    for round in 0..20 {
        // Publications go on while patterns come and go.
        let publishing = async {
            for _ in 0..20 {
                for history in [None, Some(kept())] {
                    one.broker.publish(publish("a.x", sent, history)).await.unwrap();
                    sent += 1;
                }
            }
        };
        let changing = async {
            for pattern in &patterns {
                if round % 2 == 0 {
                    two.broker.subscribe_pattern(pattern).await.unwrap();
                } else {
                    two.broker.unsubscribe_pattern(pattern).await.unwrap();
                }
            }
        };
        tokio::join!(publishing, changing);
    }
    let came = numbers(&two.came(usize::try_from(sent).unwrap()).await);
    let plain = |n: &&u64| n.is_multiple_of(2);
    let in_order: Vec<u64> = (0..sent).collect();
    assert_eq!(
        came.iter().filter(plain).collect::<Vec<_>>(),
        in_order.iter().filter(plain).collect::<Vec<_>>()
    );
    let kept = |n: &&u64| *n % 2 == 1;
    assert_eq!(
        came.iter().filter(kept).collect::<Vec<_>>(),
        in_order.iter().filter(kept).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_said_to_nodes_reaches_them() {
    let server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    one.follow("a").await;
    two.follow("a").await;
    for n in 0..10 {
        one.broker.announce(&channel("a"), RawJson::new(&n).unwrap()).await.unwrap();
    }
    one.broker.control(Control::UnsubscribeAll(channel("all"))).await.unwrap();
    one.broker.tell(two.id, Control::UnsubscribeAll(channel("two"))).await.unwrap();
    until("two's", || two.heard.controls.lock().unwrap().len() == 2).await;
    until("one's", || one.heard.controls.lock().unwrap().len() == 1).await;
    let told = format!("{:?}", two.heard.controls.lock().unwrap());
    assert!(told.contains("all") && told.contains("two"), "{told}");
    let announced: Vec<u64> =
        two.heard.announcements.lock().unwrap().iter().map(|(_, text)| number(text)).collect();
    assert_eq!(announced, (0..10).collect::<Vec<u64>>(), "in order");
    assert!(one.heard.announcements.lock().unwrap().is_empty(), "not to who announces");
}
