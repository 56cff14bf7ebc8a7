//! A cluster of three servers, with everything on all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokensocket_server::{
    DeviceStore, Identity, Nats, NatsDeviceStore, NatsOptions, NatsPresenceStore, NatsReplicaOptions,
    NatsTokenStore, QueueLimits, StoreError, To, TokenStore, conformance,
};
use tokensocket_tests::engine::NatsCluster;
use tokio::time::timeout;

use crate::node::{Node, begins};
use crate::tokens::token;
use crate::writers::Writers;

/// How long a cluster may take to choose another leader, and nodes to go on.
const CHOICE: Duration = Duration::from_mins(1);

async fn connect(url: &str, namespace: &str) -> Nats {
    connect_with(url, namespace, NatsOptions::new()).await
}

/// For who asks once: on a busy machine a stream may be without a leader for longer than the default.
async fn connect_patiently(url: &str, namespace: &str) -> Nats {
    connect_with(url, namespace, NatsOptions::new().timeout(CHOICE)).await
}

async fn connect_with(url: &str, namespace: &str, options: NatsOptions) -> Nats {
    let nats = Nats::connect(url, options.replicas(3)).await.expect("a connection");
    nats.namespace(namespace)
}

/// Calls until it succeeds.
async fn eventually<R>(what: &str, call: impl AsyncFn() -> Result<R, StoreError>) -> R {
    let trying = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(CHOICE, trying).await.unwrap_or_else(|_| panic!("waited {CHOICE:?} for {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_what_they_must() {
    let cluster = NatsCluster::start().await;
    let nodes = [
        connect_patiently(&cluster.servers[0].url(), "site").await,
        connect_patiently(&cluster.servers[1].url(), "site").await,
    ];
    let count = AtomicUsize::new(0);
    let next = || {
        let name = format!("site{}", count.fetch_add(1, Ordering::Relaxed));
        nodes.each_ref().map(|node| node.namespace(&name))
    };
    conformance::tokens(|capacity| NatsTokenStore::with_capacity(&next()[0], capacity)).await;
    conformance::tokens_shared(|capacity| next().map(|node| NatsTokenStore::with_capacity(&node, capacity)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_and_presence_do_what_they_must() {
    let cluster = NatsCluster::start().await;
    let nats = connect_patiently(&cluster.url(), "site").await;
    let count = AtomicUsize::new(0);
    conformance::devices(async |limits| {
        let name = format!("site{}", count.fetch_add(1, Ordering::Relaxed));
        NatsDeviceStore::with(&nats.namespace(&name), limits, NatsReplicaOptions::new())
    })
    .await;
    conformance::presence(async || NatsPresenceStore::new(&nats)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_killed_lose_nothing_that_was_answered() {
    let mut cluster = NatsCluster::start().await;
    let limits = QueueLimits { count: 1_000_000, bytes: 1 << 30, ..QueueLimits::default() };
    let often = NatsReplicaOptions::new().image_every(50, 1 << 20);
    let mut nodes = Vec::new();
    let mut tokens = Vec::new();
    for server in &cluster.servers {
        let nats = connect(&server.url(), "site").await;
        nodes.push(Arc::new(Node::at(&nats, limits.clone(), often.clone())));
        tokens.push(NatsTokenStore::new(&nats));
    }
    let ttl = Duration::from_mins(10);
    tokens[0].issue(token(1), Identity::new(1), ttl).await.unwrap();
    nodes[0].arrive("ann", "phone").await;
    let writers = Writers::start(6, &nodes);
    for round in 0..2 {
        let leader = cluster.leader("ts_site_devices").await;
        let killed = Instant::now();
        cluster.servers[leader].kill();
        for node in &nodes {
            eventually("an append", async || node.append(To::user("nobody"), 0).await).await;
        }
        println!(
            "round {round}: all nodes deliver {:.2} s after the leader was killed",
            killed.elapsed().as_secs_f64()
        );
        cluster.servers[leader].start_again().await;
        cluster.is_whole().await;
    }
    let accepted = writers.stop(CHOICE).await;
    assert!(accepted.len() > 50, "{}", accepted.len());
    eventually("the first node", async || nodes[0].append(To::user("nobody"), 0).await).await;
    let late = Node::at(&connect(&cluster.url(), "site").await, limits, often);
    eventually("a late node", async || late.append(To::user("nobody"), 0).await).await;
    let kept = late.read("ann", "phone").await;
    assert_eq!(kept, nodes[0].read("ann", "phone").await);
    accepted.is_kept(&kept);
    assert!(nodes[0].heard.resyncs.lock().unwrap().is_empty(), "nobody is told of a loss");
    let redeemed = eventually("a token", async || {
        tokens[1].redeem(token(1)).await.map_err(|error| StoreError::Unavailable(error.to_string()))
    })
    .await;
    assert_eq!(redeemed.expect("it is kept on the others").parse::<u64>().unwrap(), 1);
    assert_eq!(
        late.store.counts().map(|counts| counts.devices),
        nodes[0].store.counts().map(|counts| counts.devices)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_begin_anew_one_after_the_other_lose_nothing_that_was_answered() {
    let mut cluster = NatsCluster::start().await;
    let limits = QueueLimits { count: 1_000_000, bytes: 1 << 30, ..QueueLimits::default() };
    let often = NatsReplicaOptions::new().image_every(200, 1 << 20);
    let nats = connect_patiently(&cluster.servers[0].url(), "site").await;
    let one = Arc::new(Node::at(&nats, limits.clone(), often.clone()));
    one.arrive("ann", "phone").await;
    // The log is shortened while others are still appending to it: what came meanwhile is in no image.
    let writers = Writers::start(8, &[Arc::clone(&one)]);
    tokio::time::timeout(CHOICE, async { while begins(&cluster.servers[0]).await < 500 {} }).await.unwrap();
    let accepted = writers.stop(CHOICE).await;
    assert!(accepted.len() > 100, "{}", accepted.len());
    for number in 0..cluster.servers.len() {
        cluster.servers[number].kill();
        cluster.servers[number].start_again().await;
        cluster.is_whole().await;
    }
    let late = Node::at(&connect(&cluster.url(), "site").await, limits, often);
    eventually("a late node", async || late.append(To::user("nobody"), 0).await).await;
    accepted.is_kept(&late.read("ann", "phone").await);
    assert!(one.heard.resyncs.lock().unwrap().is_empty(), "nobody is told of a loss");
}
