//! Idempotency keys of publications, on channels with history and without.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokensocket_server::{Broker, BrokerError, NatsOptions, Publish, RawJson, StoreError};
use tokensocket_tests::engine::{self, Fate, NatsWay};
use tokensocket_tests::limit::within;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_repeated_takes_no_room_of_other_keys() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let options = || NatsOptions::new().timeout(Duration::from_secs(30)).max_keys(3);
    let one = Node::with(&format!("nats://{}", way.address), options()).await;
    let two = Node::new(&server.url()).await;
    for n in 0..10 {
        let published = one.broker.publish(with_key(publish("plain", n, None), "repeated")).await.unwrap();
        assert_eq!(published.duplicate, n > 0);
    }
    // Another node is faster each time: it is written four times over.
    one.publish("kept", 0).await.unwrap();
    way.plan("ts.default.h0.kept", Fate::Held, 3);
    let mut publishing = Box::pin(one.broker.publish(with_key(publish("kept", 1, Some(kept())), "raced")));
    for n in 1..=3 {
        tokio::select! {
            outcome = &mut publishing => panic!("{outcome:?}"),
            () = way.happened(n) => {}
        }
        two.publish("kept", 10).await.unwrap();
        way.release();
    }
    assert_eq!(offset(&publishing.await.expect("room for one key")), 5);
    one.broker.publish(with_key(publish("plain", 2, None), "third")).await.expect("there is room for three");
    let refused = one.broker.publish(with_key(publish("plain", 3, None), "fourth")).await;
    assert!(matches!(refused, Err(BrokerError::TooMany(_))), "{refused:?}");
    let repeated = one.broker.publish(with_key(publish("plain", 4, None), "third")).await;
    assert!(repeated.expect("it is remembered").duplicate);
}

/// Answers in place of JetStream as a server does that is behind: no key is there, and none can be taken. Counts the tries.
async fn is_behind(server: &engine::Nats) -> Arc<AtomicUsize> {
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut asked = client.subscribe("$JS.API.>").await.unwrap();
    let mut taken = client.subscribe("ts.default.k.>").await.unwrap();
    client.flush().await.unwrap();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    tokio::spawn(async move {
        let none = json!({ "messages": 0, "bytes": 0, "first_seq": 0, "first_ts": "2026-01-01T00:00:00Z",
            "last_seq": 0, "last_ts": "2026-01-01T00:00:00Z", "consumer_count": 0 });
        let config = json!({ "name": "ts_default_keys", "subjects": ["ts.default.k.>"], "retention": "limits",
            "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1,
            "discard": "new", "storage": "file", "num_replicas": 3 });
        let info = json!({ "config": config, "created": "2026-01-01T00:00:00Z", "state": none });
        loop {
            let (message, answer) = tokio::select! {
                Some(message) = asked.next() => {
                    let is_for_key = message.subject.contains("MSG.GET");
                    let none = json!({ "error": { "code": 404, "err_code": 10037, "description": "no message" } });
                    (message, if is_for_key { none } else { info.clone() })
                }
                Some(message) = taken.next() => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    (message, json!({ "error": { "code": 400, "err_code": 10071, "description": "wrong" } }))
                }
                else => return,
            };
            let Some(reply) = message.reply else { continue };
            client.publish(reply, answer.to_string().into()).await.unwrap();
        }
    });
    tries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_cannot_be_taken_is_given_up() {
    let server = engine::Nats::with(engine::Settings::new().more(["jetstream: disabled"])).await;
    let tries = is_behind(&server).await;
    let options = NatsOptions::new().timeout(Duration::from_secs(1)).replicas(3);
    let node = Node::with(&server.url(), options).await;
    let publishing = node.broker.publish(with_key(publish("a", 1, None), "key"));
    let unknown = within("an end", publishing).await;
    assert!(matches!(unknown, Err(BrokerError::Store(StoreError::Timeout))), "{unknown:?}");
    let tries = tries.load(Ordering::Relaxed);
    assert!((2..=20).contains(&tries), "tried {tries} times");
}
