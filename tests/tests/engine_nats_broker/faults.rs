//! A server that is killed, away, stopped for a while, or full.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokensocket_server::{Broker, BrokerError, Gap, Nats, NatsOptions, Outage, Publish, RawJson, StoreError};
use tokensocket_tests::engine::{self, NatsWay};
use tokio::time::timeout;

use crate::node::{LIMIT, Node, channel, kept, number, offset, publish, until, with_key};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_loses_nothing_that_was_accepted() {
    let mut server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    two.follow("a").await;
    let one = Arc::new(one);
    let end = Arc::new(AtomicU64::new(u64::MAX));
    let publisher = tokio::spawn({
        let (one, end) = (Arc::clone(&one), Arc::clone(&end));
        async move {
            let mut accepted = Vec::new();
            let mut n = 0;
            while n < end.load(Ordering::Relaxed) {
                n += 1;
                match one.publish("a", n).await {
                    Ok(published) => accepted.push((n, offset(&published))),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            accepted
        }
    });
    until("some", || two.heard.publications.lock().unwrap().len() > 200).await;
    server.kill();
    until("the end of the connection", || !one.is_there()).await;
    let error = two.publish("b", 1).now_or_never().expect("refused at once").unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error:?}");
    assert!(one.nats.status().away.is_some());
    assert!(timeout(LIMIT, two.broker.subscribe(&channel("a"))).await.unwrap().is_ok(), "followed already");
    server.start_again().await;
    until("the connection", || one.is_there() && two.is_there()).await;
    let last = timeout(LIMIT, async {
        loop {
            if let Ok(published) = one.publish("a", 0).await {
                return offset(&published);
            }
        }
    });
    let last = last.await.unwrap();
    end.store(0, Ordering::Relaxed);
    let accepted = timeout(LIMIT, publisher).await.unwrap().unwrap();
    assert!(accepted.len() > 200 && last > 200, "it goes on");
    until("a gap that is told", || two.heard.gaps.lock().unwrap().contains(&Gap::All)).await;
    let page = two.read("a").await;
    for (n, place) in &accepted {
        let kept = page.publications.iter().find(|kept| kept.offset == *place);
        assert_eq!(
            kept.map(|kept| number(&kept.message)),
            Some(*n),
            "what was accepted is kept at its place"
        );
    }
    let all: Vec<u64> =
        page.publications.iter().map(|kept| number(&kept.message)).filter(|n| *n > 0).collect();
    assert!(all.windows(2).all(|two| two[0] < two[1]), "in order, and nothing twice");
    // It follows still.
    two.heard.publications.lock().unwrap().clear();
    one.publish("a", 77_777).await.unwrap();
    assert_eq!(number(&two.came(1).await.last().unwrap().message), 77_777);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publications_wait_for_a_server_where_that_is_wished() {
    let mut server = engine::Nats::start().await;
    let options = NatsOptions::new().outage(Outage::Buffer { messages: 20, bytes: 1 << 20 });
    let one = Arc::new(Node::with(&server.url(), options).await);
    let two = Node::new(&server.url()).await;
    two.follow("a").await;
    two.follow("plain").await;
    one.publish("a", 0).await.unwrap();
    server.kill();
    until("the end of the connection", || !one.is_there()).await;
    let mut waiting = Vec::new();
    for n in 1..=10 {
        for (name, history, is_keyed) in [("a", Some(kept()), false), ("plain", None, n % 2 == 0)] {
            let mut publish = publish(name, n, history);
            if is_keyed {
                publish = with_key(publish, &format!("key {n}"));
            }
            let one = Arc::clone(&one);
            let (begun, is_begun) = tokio::sync::oneshot::channel();
            waiting.push(tokio::spawn(async move {
                let mut publishing = one.broker.publish(publish);
                let first = futures_util::poll!(&mut publishing);
                begun.send(()).unwrap();
                match first {
                    std::task::Poll::Ready(outcome) => outcome,
                    std::task::Poll::Pending => publishing.await,
                }
            }));
            is_begun.await.unwrap();
        }
    }
    let beyond = one.publish("a", 99).await;
    assert!(matches!(beyond, Err(BrokerError::Store(StoreError::Overloaded))), "{beyond:?}");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    server.start_again().await;
    for waiting in waiting {
        timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap();
    }
    until("the connection", || two.is_there()).await;
    let page = two.read("a").await;
    let all: Vec<u64> = page.publications.iter().map(|kept| number(&kept.message)).collect();
    assert_eq!(all, (0..=10).collect::<Vec<u64>>(), "in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_stops_for_a_while_makes_outcomes_unknown_and_nothing_twice() {
    let server = engine::Nats::start().await;
    let options = || NatsOptions::new().timeout(Duration::from_millis(700)).ping(Duration::from_millis(300));
    let (one, two) = (Node::with(&server.url(), options()).await, Node::with(&server.url(), options()).await);
    two.follow("a").await;
    one.publish("a", 1).await.unwrap();
    server.pause();
    let state = format!("/proc/{}/stat", server.pid());
    until("its stop", || std::fs::read_to_string(&state).unwrap().contains(") T ")).await;
    let outcome = timeout(LIMIT, one.publish("a", 2)).await.expect("it does not wait for the server");
    assert!(matches!(outcome, Err(BrokerError::Store(StoreError::Timeout))), "{outcome:?}");
    let plain = one.broker.publish(publish("a", 3, None)).await.unwrap_err();
    assert!(
        matches!(plain, BrokerError::Store(StoreError::Timeout) | BrokerError::Unavailable(_)),
        "{plain:?}"
    );
    until("the end of the connections", || !one.is_there() && !two.is_there()).await;
    server.unpause();
    until("the connection", || one.is_there() && two.is_there()).await;
    let last = timeout(LIMIT, async {
        loop {
            if let Ok(published) = one.publish("a", 4).await {
                return published;
            }
        }
    });
    let last = last.await.unwrap();
    let page = two.read("a").await;
    let all: Vec<u64> = page.publications.iter().map(|kept| number(&kept.message)).collect();
    assert_eq!(all.iter().filter(|n| **n == 2).count().max(1), 1, "kept once or not at all: {all:?}");
    assert_eq!((all.first(), page.position), (Some(&1), last.position.unwrap()));
    until("a gap that is told", || two.heard.gaps.lock().unwrap().contains(&Gap::All)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_died_with_a_connection_is_not_said_to_be_published() {
    const BROKERS: usize = 4;
    const EACH: u64 = 3000;
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let over = Nats::connect(&format!("nats://{}", way.address), NatsOptions::new()).await.unwrap();
    let direct = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    // Several share the connection, so that what one of them says together goes partly before it breaks and partly after.
    let sites: Vec<_> = (0..BROKERS).map(|n| format!("site{n}")).collect();
    let publishers: Vec<_> = sites.iter().map(|site| Node::on(over.namespace(site))).collect();
    let followers: Vec<_> = sites.iter().map(|site| Node::on(direct.namespace(site))).collect();
    for follower in &followers {
        follower.follow("a").await;
    }
    for publisher in &publishers {
        publisher.broker.publish(publish("a", 0, None)).await.unwrap();
    }
    way.stall();
    let message = |n: u64| RawJson::new(&(n, "x".repeat(4000))).unwrap();
    let publishing = publishers.iter().map(|publisher| {
        let all = (1..=EACH)
            .map(|n| publisher.broker.publish(Publish { message: message(n), ..publish("a", 0, None) }));
        join_all(all.collect::<Vec<_>>())
    });
    let mut publishing = Box::pin(join_all(publishing.collect::<Vec<_>>()));
    // Until all that is between here and there is full, most likely; what is to be true is so in any case.
    let stuck = timeout(Duration::from_millis(500), &mut publishing).await;
    assert!(stuck.is_err(), "nobody can know what becomes of them");
    way.cut();
    let outcomes = timeout(LIMIT, publishing).await.unwrap();
    for ((publisher, follower), outcomes) in publishers.iter().zip(&followers).zip(outcomes) {
        let accepted: Vec<u64> =
            (1..=EACH).zip(outcomes).filter_map(|(n, outcome)| outcome.is_ok().then_some(n)).collect();
        println!("{} of {EACH} were accepted", accepted.len());
        let last = async { while publisher.broker.publish(publish("a", 9, None)).await.is_err() {} };
        timeout(LIMIT, last).await.unwrap();
        until("the last", || {
            follower
                .heard
                .publications
                .lock()
                .unwrap()
                .last()
                .is_some_and(|last| last.message.as_bytes() == b"9")
        })
        .await;
        let came: std::collections::HashSet<u64> = follower
            .heard
            .publications
            .lock()
            .unwrap()
            .iter()
            .filter_map(|came| came.message.parse::<(u64, String)>().ok())
            .map(|(n, _)| n)
            .collect();
        let lost: Vec<_> = accepted.iter().filter(|n| !came.contains(n)).collect();
        assert!(lost.is_empty(), "{} that were accepted never came, such as {:?}", lost.len(), lost[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_store_refuses_and_says_so() {
    let server = engine::Nats::with(engine::Settings::new().storage(2 << 20)).await;
    let node = Node::new(&server.url()).await;
    node.follow("a").await;
    let large = RawJson::new(&"x".repeat(100_000)).unwrap();
    let mut accepted = 0;
    let error = loop {
        let one = Publish { message: large.clone(), ..publish("a", 0, Some(kept())) };
        match node.broker.publish(one).await {
            Ok(published) => {
                accepted += 1;
                assert_eq!(offset(&published), accepted);
            }
            Err(error) => break error,
        }
        assert!(accepted < 100, "a store of 2 MiB is full some time");
    };
    assert!(matches!(error, BrokerError::Store(StoreError::DiskFull)), "{error:?}");
    assert!(accepted > 5, "{accepted}");
    node.broker.publish(publish("a", 1, None)).await.expect("what is not kept needs no room");
    let page = node.read("a").await;
    assert_eq!(
        (page.publications.len() as u64, page.position.offset),
        (accepted, accepted),
        "it can be read"
    );
    let too_large = RawJson::new(&"x".repeat(2 << 20)).unwrap();
    for history in [None, Some(kept())] {
        let error =
            node.broker.publish(Publish { message: too_large.clone(), ..publish("a", 0, history) }).await;
        assert!(matches!(error, Err(BrokerError::Store(StoreError::TooLarge { .. }))), "{error:?}");
    }
}
