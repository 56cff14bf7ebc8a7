//! A cluster of three servers, with everything on all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use tokensocket_server::{Broker, Gap, History, HistoryQuery, Nats, NatsBroker, NatsOptions, Timestamp};
use tokensocket_tests::engine::NatsCluster;
use tokio::time::{sleep, timeout};

use crate::node::{Node, channel, kept, number, offset, publish, until};

/// How long a cluster may take to choose another leader, and clients to find it.
const CHOICE: Duration = Duration::from_mins(1);
/// The stream that keeps what is published here.
const STREAM: &str = "ts_default_history-0";

fn options() -> NatsOptions {
    NatsOptions::new().replicas(3)
}

/// For who asks once: on a busy machine a stream may be without a leader for longer than the default.
fn patient() -> NatsOptions {
    options().timeout(CHOICE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn does_its_duties() {
    let cluster = NatsCluster::start().await;
    let nats = Nats::connect(&cluster.url(), patient()).await.unwrap();
    assert!(
        !nats.status().lacks.iter().any(|lack| lack.contains("on 3 servers")),
        "{:?}",
        nats.status().lacks
    );
    let jetstream = async_nats::jetstream::new(async_nats::connect(cluster.servers[0].url()).await.unwrap());
    let streams: Vec<String> = jetstream.stream_names().try_collect().await.unwrap();
    assert!(streams.is_empty(), "nothing is left of what was tried: {streams:?}");
    let next = AtomicU64::new(0);
    let make = || {
        let name = format!("space{}", next.fetch_add(1, Ordering::Relaxed));
        NatsBroker::new(&nats.namespace(&name))
    };
    tokensocket_server::conformance::broker(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_begin_at_once_are_not_in_each_other_s_way() {
    const NODES: usize = 6;
    let cluster = NatsCluster::start().await;
    for _ in 0..3 {
        let connecting = (0..NODES).map(|n| {
            let url = cluster.servers[n % cluster.servers.len()].url();
            async move { Nats::connect(&url, patient()).await.unwrap() }
        });
        let before = std::time::Instant::now();
        let nodes = join_all(connecting).await;
        println!("{NODES} nodes began in {:.2} s", before.elapsed().as_secs_f64());
        assert!(before.elapsed() < CHOICE / 2, "each is answered");
        for node in &nodes {
            assert!(!node.status().lacks.iter().any(|lack| lack.contains("on 3 servers")));
        }
    }
    let jetstream = async_nats::jetstream::new(async_nats::connect(cluster.servers[0].url()).await.unwrap());
    let left = async {
        while !jetstream.stream_names().try_collect::<Vec<_>>().await.unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(CHOICE, left).await.expect("nothing is left of what was tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_of_one_server_do_their_duties() {
    let cluster = NatsCluster::start().await;
    let one = Nats::connect(&cluster.servers[1].url(), patient()).await.unwrap();
    let other = Nats::connect(&cluster.servers[1].url(), patient()).await.unwrap();
    let next = AtomicU64::new(0);
    let make = || {
        let name = format!("space{}", next.fetch_add(1, Ordering::Relaxed));
        [NatsBroker::new(&one.namespace(&name)), NatsBroker::new(&other.namespace(&name))]
    };
    tokensocket_server::conformance::broker_nodes_each_in_order(make).await;
}

/// Publishes 1, 2, 3, … until it is stopped, and gives what was accepted: the number and its offset.
fn publishes(node: &Arc<Node>, stops: &Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<(u64, u64)>> {
    let (node, stops) = (Arc::clone(node), Arc::clone(stops));
    tokio::spawn(async move {
        let mut accepted = Vec::new();
        let mut n = 0;
        while !stops.load(Ordering::Relaxed) {
            n += 1;
            match node.publish("a", n).await {
                Ok(published) => accepted.push((n, offset(&published))),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
        accepted
    })
}

impl Node {
    /// Publishes on another channel until that is accepted.
    async fn works(&self) {
        let trying = async {
            while self.publish("b", 0).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(CHOICE, trying).await.expect("it is accepted in time");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_are_killed_lose_nothing_that_was_accepted() {
    let mut cluster = NatsCluster::start().await;
    let mut nodes = Vec::new();
    for server in &cluster.servers {
        nodes.push(Arc::new(Node::with(&server.url(), options()).await));
    }
    for node in &nodes {
        // As a node does that has a follower of a channel with history.
        node.follow("a").await;
        node.read("a").await;
    }
    nodes[0].works().await;
    let stops = Arc::new(AtomicBool::new(false));
    let publisher = publishes(&nodes[0], &stops);
    let enough = || nodes[1].heard.publications.lock().unwrap().len();
    until("some", || enough() > 50).await;
    // Who leads the stream, and then the one to which the publisher went.
    for round in 0..2 {
        let leader = cluster.leader(STREAM).await;
        let before = std::time::Instant::now();
        cluster.servers[leader].kill();
        for node in &nodes {
            node.works().await;
        }
        println!(
            "round {round}: all nodes publish {:.2} s after the leader was killed",
            before.elapsed().as_secs_f64()
        );
        cluster.servers[leader].start_again().await;
        cluster.is_whole().await;
    }
    stops.store(true, Ordering::Relaxed);
    let accepted = timeout(CHOICE, publisher).await.unwrap().unwrap();
    assert!(accepted.len() > 50, "it goes on: {}", accepted.len());
    let page =
        nodes[2].broker.history(&channel("a"), &kept(), HistoryQuery::default(), Timestamp::now()).await;
    let page = page.unwrap();
    for (n, place) in &accepted {
        let kept = page.publications.iter().find(|kept| kept.offset == *place);
        assert_eq!(
            kept.map(|kept| number(&kept.message)),
            Some(*n),
            "what was accepted is kept at its place"
        );
    }
    let all: Vec<u64> = page.publications.iter().map(|kept| number(&kept.message)).collect();
    assert!(all.is_sorted_by(|one, next| one < next), "in order, and nothing twice");
    // Each follower has all of it: what came by itself, and what it reads after a gap that was told.
    for node in &nodes {
        let came = node.heard.publications.lock().unwrap().clone();
        let came: Vec<_> = came.iter().filter(|it| it.channel == channel("a")).collect();
        let places: Vec<u64> = came.iter().map(|it| it.position.as_ref().unwrap().offset).collect();
        assert!(places.is_sorted_by(|one, next| one < next), "in order, and nothing twice");
        assert!(
            came.iter().all(|it| it.position.as_ref().unwrap().epoch == page.position.epoch),
            "one epoch"
        );
        let told = node.heard.gaps.lock().unwrap().iter().any(|gap| match gap {
            Gap::All => true,
            Gap::Channels(channels) => channels.contains(&channel("a")),
        });
        assert!(told, "who may miss something is told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_begin_anew_one_after_the_other_lose_nothing_that_was_accepted() {
    let mut cluster = NatsCluster::start().await;
    let node = Node::with(&cluster.servers[0].url(), patient()).await;
    let mut last = 0;
    for n in 1..=20 {
        last = offset(&node.publish("wide", n).await.unwrap());
    }
    // So many that the stream is asked to drop what this channel does not need.
    let few = History::new(3, Duration::from_mins(10));
    for n in 0..1500 {
        node.broker.publish(publish("few", n, Some(few.clone()))).await.unwrap();
    }
    for number in 0..cluster.servers.len() {
        cluster.servers[number].kill();
        cluster.servers[number].start_again().await;
        cluster.is_whole().await;
    }
    let late = Node::with(&cluster.url(), patient()).await;
    let page = late.read("wide").await;
    let all: Vec<u64> = page.publications.iter().map(|kept| number(&kept.message)).collect();
    assert_eq!((all, page.position.offset), ((1..=20).collect(), last));
}
