//! Idempotency keys of publications, on channels with history and without.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokensocket_server::{Broker, BrokerError, NatsOptions, Publish, RawJson, StoreError};
use tokensocket_tests::engine::{self, Fate, NatsWay};

use crate::node::{Node, kept, numbers, offset, publish, with_key};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_from_several_nodes_is_one_publication() {
    let server = engine::Nats::start().await;
    let nodes = Arc::new([
        Node::new(&server.url()).await,
        Node::new(&server.url()).await,
        Node::new(&server.url()).await,
    ]);
    for (name, history) in [("kept", Some(kept())), ("plain", None)] {
        nodes[0].follow(name).await;
        for round in 0..20 {
            let publishers: Vec<_> = (0..9)
                .map(|n: usize| {
                    let (nodes, history) = (Arc::clone(&nodes), history.clone());
                    let one = with_key(publish(name, n as u64, history), &format!("key {round}"));
                    tokio::spawn(async move { nodes[n % 3].broker.publish(one).await.unwrap() })
                })
                .collect();
            let mut published = Vec::new();
            for publisher in publishers {
                published.push(publisher.await.unwrap());
            }
            assert_eq!(
                published.iter().filter(|published| !published.duplicate).count(),
                1,
                "{name} {round}"
            );
            let places: HashSet<_> = published.iter().map(offset).collect();
            assert_eq!(places.len(), 1, "all are told the place of the one");
        }
    }
    assert_eq!(nodes[0].came(40).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refused_publication_leaves_its_key_to_the_next_try() {
    let server = engine::Nats::start().await;
    let (one, two) = (
        Node::with(&server.url(), NatsOptions::new().max_pending(10, 100)).await,
        Node::new(&server.url()).await,
    );
    two.follow("a").await;
    let long = |bytes: usize, key: &str| {
        let message = RawJson::new(&"x".repeat(bytes)).unwrap();
        with_key(Publish { message, ..publish("a", 0, None) }, key)
    };
    let refused = one.broker.publish(long(200, "busy")).await;
    assert!(matches!(refused, Err(BrokerError::Store(StoreError::Overloaded))), "{refused:?}");
    let refused = two.broker.publish(long(2 << 20, "large")).await;
    assert!(matches!(refused, Err(BrokerError::Store(StoreError::TooLarge { .. }))), "{refused:?}");
    for (n, key) in [(1, "busy"), (2, "large")] {
        let published = two.broker.publish(with_key(publish("a", n, None), key)).await.unwrap();
        assert!(!published.duplicate, "{key}: it was not published before");
        let published = one.broker.publish(with_key(publish("a", n, None), key)).await.unwrap();
        assert!(published.duplicate, "{key}: now it was");
    }
    assert_eq!(numbers(&two.came(2).await), [1, 2]);
}

/// How the stream of keys is asked for one.
const LOOKED_UP: &str = "$JS.API.DIRECT.GET.ts_default_keys";
/// Where a key of channel `a` is recorded.
const RECORDED: &str = "ts.default.k.a.";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_may_be_taken_is_free_for_the_next_try() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let options = || NatsOptions::new().timeout(Duration::from_secs(1));
    let one = Node::with(&format!("nats://{}", way.address), options()).await;
    let (two, three) = (Node::new(&server.url()).await, Node::with(&server.url(), options()).await);
    two.follow("a").await;
    // So that the streams are there.
    one.broker.publish(with_key(publish("a", 1, None), "before")).await.unwrap();
    way.plan(&format!("{RECORDED}key1"), Fate::Unanswered, 1);
    way.plan(LOOKED_UP, Fate::Lost, 1);
    let published = one.broker.publish(with_key(publish("a", 2, None), "key1")).await.unwrap();
    assert!(!published.duplicate, "it finds out that the key is its own");

    // The key is looked up and taken; then nothing is heard of it any more.
    way.plan(&format!("{RECORDED}key2"), Fate::Unanswered, 1);
    let mut publishing = Box::pin(one.broker.publish(with_key(publish("a", 3, None), "key2")));
    tokio::select! {
        outcome = &mut publishing => panic!("{outcome:?}"),
        () = way.happened(3) => way.plan(LOOKED_UP, Fate::Lost, usize::MAX),
    }
    let unknown = publishing.await;
    assert!(matches!(unknown, Err(BrokerError::Store(StoreError::Timeout))), "{unknown:?}");
    // By whichever node it is tried again: never called a duplicate of something that nobody got.
    let again = three.broker.publish(with_key(publish("a", 4, None), "key2")).await;
    assert!(matches!(again, Err(BrokerError::Store(StoreError::Timeout))), "nobody knows yet: {again:?}");
    way.clear();
    let again = two.broker.publish(with_key(publish("a", 4, None), "key2")).await.unwrap();
    assert!(!again.duplicate, "it is given back by the one that never published it");
    assert_eq!(numbers(&two.came(3).await), [1, 2, 4]);
    let repeated = one.broker.publish(with_key(publish("a", 5, None), "key2")).await.unwrap();
    assert!(repeated.duplicate, "now it was published");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_publication_whose_key_could_not_be_taken_has_no_place_any_more() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let options = NatsOptions::new().timeout(Duration::from_secs(1)).max_pending(2, 1 << 20);
    let one = Node::with(&format!("nats://{}", way.address), options).await;
    one.broker.publish(with_key(publish("a", 1, None), "before")).await.unwrap();
    // Of the first nobody knows whether its key was taken; that of the second was not.
    way.plan(&format!("{RECORDED}key1"), Fate::Unanswered, 1);
    let mut publishing = Box::pin(one.broker.publish(with_key(publish("a", 2, None), "key1")));
    tokio::select! {
        outcome = &mut publishing => panic!("{outcome:?}"),
        () = way.happened(1) => way.plan(LOOKED_UP, Fate::Lost, usize::MAX),
    }
    let second = one.broker.publish(with_key(publish("a", 3, None), "key2"));
    for unknown in <[_; 2]>::from(futures_util::join!(publishing, second)) {
        assert!(matches!(unknown, Err(BrokerError::Store(StoreError::Timeout))), "{unknown:?}");
    }
    let (first, second) =
        (one.broker.publish(publish("a", 4, None)), one.broker.publish(publish("a", 5, None)));
    let (first, second) = futures_util::join!(first, second);
    assert!(first.is_ok() && second.is_ok(), "what has no key has room: {first:?} {second:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_publication_that_nobody_may_have_got_is_not_called_a_duplicate() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let options = || NatsOptions::new().timeout(Duration::from_secs(1));
    let one = Node::with(&format!("nats://{}", way.address), options()).await;
    let two = Node::with(&server.url(), options()).await;
    one.broker.publish(with_key(publish("a", 1, None), "before")).await.unwrap();
    way.plan("ts.default.p.a", Fate::Lost, 1);
    // What is asked behind it, by whose answer it would be known.
    way.plan("ts.=nobody", Fate::Lost, 1);
    let unknown = one.broker.publish(with_key(publish("a", 2, None), "k")).await;
    assert!(matches!(unknown, Err(BrokerError::Store(StoreError::Timeout))), "{unknown:?}");
    let again = two.broker.publish(with_key(publish("a", 2, None), "k")).await;
    assert!(matches!(again, Err(BrokerError::Store(StoreError::Timeout))), "nobody knows: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keys_beyond_those_that_may_be_remembered_hold_up_nobody() {
    let server = engine::Nats::start().await;
    let node = Node::with(&server.url(), NatsOptions::new().max_keys(5)).await;
    for n in 1..=5 {
        let published =
            node.broker.publish(with_key(publish("a", n, Some(kept())), &format!("key {n}"))).await;
        assert_eq!(offset(&published.unwrap()), n);
    }
    for (name, history) in [("a", Some(kept())), ("b", None)] {
        let refused = node.broker.publish(with_key(publish(name, 6, history.clone()), "one more")).await;
        assert!(matches!(refused, Err(BrokerError::TooMany(_))), "{refused:?}");
        node.broker.publish(publish(name, 7, history)).await.expect("what has no key needs no room for it");
    }
    node.publish("a", 8).await.expect("and nothing waits behind it");
    let again = node.broker.publish(with_key(publish("a", 9, Some(kept())), "key 5")).await.unwrap();
    assert_eq!((again.duplicate, offset(&again)), (true, 5), "those that are remembered are");
}
