//! All nodes are replaced one after the other under load: nothing is lost, nothing comes twice, everybody is back soon, and
//! the others are not overrun by those who come back.
//!
//! `TOKENSOCKET_CLIENTS` says how many clients, 750 by default; 6,000 want a release build.

#![cfg(any(feature = "nats", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokensocket_client::{PublishOptions, SubscriptionError, TokenSocket};
use tokensocket_tests::balancer::Balancer;
use tokensocket_tests::engine::{Keep, Kind, Settings};
use tokensocket_tests::ledger::{Ledger, Said};
use tokensocket_tests::nodes::{Audience, CROWD, Kept, Load, Nodes, history};
use tokensocket_tests::open_files;
use tokensocket_tests::scale;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node");
const NODES: usize = 3;
/// How often something is published to everybody.
const EVERY: Duration = Duration::from_millis(500);
/// How many sockets a node closes in a second, at most.
const FASTEST: u32 = 400;
/// How many connect at once, in the beginning.
const AT_ONCE: usize = 20;
/// Within this, nearly all are back: all but one of a thousand.
const BACK: Duration = Duration::from_secs(5);
/// How long all of them may take for one thing.
const PATIENCE: Duration = Duration::from_mins(5);

fn clients() -> usize {
    scale::number("TOKENSOCKET_CLIENTS", 750)
}

/// One of the many.
struct Client {
    socket: TokenSocket,
    heard: Arc<Mutex<Vec<Result<Said, SubscriptionError>>>>,
    away: Arc<Mutex<Away>>,
}

/// When its connection was lost, and how long it took each time until it followed the channel again, without a gap.
#[derive(Default)]
struct Away {
    since: Option<Instant>,
    times: Vec<Duration>,
}

impl Client {
    async fn connect(url: &str) -> Self {
        let builder = TokenSocket::builder(url).authentication(&json!({ "user": "many" }));
        let socket = builder.call_timeout(PATIENCE).connect().unwrap();
        let mut subscription = socket.subscribe(CROWD).await.unwrap().typed();
        let away = Arc::<Mutex<Away>>::default();
        let (left, back) = (Arc::clone(&away), Arc::clone(&away));
        // They stay as long as the client does.
        let _ = socket.on_disconnect(move |_| {
            left.lock().unwrap().since.get_or_insert_with(Instant::now);
        });
        let _ = socket.on_recovered(move |_| {
            let mut away = back.lock().unwrap();
            let since = away.since.take();
            away.times.extend(since.map(|since| since.elapsed()));
        });
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let to = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(next) = subscription.next().await {
                to.lock().unwrap().push(next);
            }
        });
        Self { socket, heard, away }
    }

    fn has_heard(&self, number: u64) -> bool {
        self.heard.lock().unwrap().iter().rev().any(|next| next.as_ref().is_ok_and(|said| said.1 >= number))
    }
}

/// Publishes to everybody for as long as this is not aborted. What is not answered is published again.
fn publish(url: &str, ledger: &Ledger) -> JoinHandle<()> {
    let ledger = ledger.clone();
    let builder = TokenSocket::builder(url).authentication(&json!({ "user": "publisher" }));
    let socket = builder.call_timeout(Duration::from_secs(5)).connect().unwrap();
    tokio::spawn(async move {
        for number in 1.. {
            let options = PublishOptions::new().key(format!("crowd-{number}"));
            loop {
                if let Ok(published) = socket.publish_with(CROWD, &(0, number), options.clone()).await {
                    ledger.published(CROWD, (0, number), published.position.unwrap());
                    break;
                }
                sleep(EVERY / 10).await;
            }
            sleep(EVERY).await;
        }
    })
}

async fn all_hear(clients: &[Client], number: u64) {
    let hearing = timeout(PATIENCE, async {
        for client in clients {
            while !client.has_heard(number) {
                sleep(Duration::from_millis(20)).await;
            }
        }
    });
    assert!(hearing.await.is_ok(), "waited {PATIENCE:?} for all to hear {number}");
}

/// The most that happened within a second.
fn most_in_a_second(times: &[Instant]) -> usize {
    let mut times = times.to_vec();
    times.sort_unstable();
    let within = |first: &Instant| times.partition_point(|time| *time < *first + Duration::from_secs(1));
    times.iter().enumerate().map(|(at, first)| within(first) - at).max().unwrap_or(0)
}

async fn rolling_restart(kind: Kind) {
    open_files::raise_limit(3 * clients() as u64 + 500);
    let rate = u32::try_from(clients() / 15).unwrap().clamp(10, FASTEST);
    let settings = Settings::new().keep(Keep::EachSecond);
    let mut nodes = Nodes::together(PROGRAM, kind, settings, NODES, rate).await;
    let balancer = Balancer::start(nodes.addresses()).await;
    let url = format!("http://{}", balancer.address);

    let connecting = stream::iter(0..clients()).map(|_| Client::connect(&url));
    let many: Vec<Client> =
        timeout(PATIENCE, connecting.buffer_unordered(AT_ONCE).collect()).await.expect("all connect");
    let mut audience = Audience::default();
    for _ in 0..NODES {
        audience.join(&url).await;
    }
    let load = Load::begin(&[balancer.address]);
    let publisher = publish(&url, &load.ledger);
    all_hear(&many, 1).await;

    let (begun, before) = (Instant::now(), balancer.opened().len());
    for node in 0..NODES {
        balancer.take_out(node);
        nodes.stop(node).await;
        nodes.start_again(node).await;
        balancer.put_back(node);
        load.succeeds(&[0]).await;
    }
    let took = begun.elapsed();
    let latest = load.ledger.on(CROWD).len() as u64 + 2;
    all_hear(&many, latest).await;
    publisher.abort();
    load.rest().await;

    let kept = history(&many[0].socket, CROWD).await;
    load.ledger.check_history(CROWD, &kept);
    let latest = load.ledger.on(CROWD).last().unwrap().1;
    all_hear(&many, latest).await;
    for (at, client) in many.iter().enumerate() {
        let heard: Result<Vec<Said>, _> = client.heard.lock().unwrap().iter().cloned().collect();
        let heard = heard.unwrap_or_else(|error| panic!("client {at} was not recovered: {error}"));
        load.ledger.check_follower(&format!("client {at}"), CROWD, &heard, &kept);
    }
    audience.check(&load.ledger, Kept::Surely).await;

    let mut times: Vec<Duration> = Vec::new();
    for (at, client) in many.iter().enumerate() {
        let away = client.away.lock().unwrap();
        assert!(away.since.is_none(), "client {at} is not back");
        assert!(!away.times.is_empty(), "client {at} was not moved");
        times.extend(&away.times);
    }
    times.sort_unstable();
    let late = times.len() - times.partition_point(|time| *time <= BACK);
    let most = most_in_a_second(&balancer.opened()[before..]);
    println!(
        "{kind:?}: {NODES} nodes replaced under {} clients in {:.1} s: {} reconnects, back after {:.2} s (p50), {:.2} s \
         (p99.9), {late} later than {BACK:?}; {rate} a second configured, at most {most} in any second; {} publications \
         to all, nothing lost, nothing twice",
        clients(),
        took.as_secs_f64(),
        times.len(),
        times[times.len() / 2].as_secs_f64(),
        times[times.len() - 1 - times.len() / 1000].as_secs_f64(),
        kept.len(),
    );
    assert!(late * 1000 <= times.len(), "{late} of {} came back late", times.len());
    assert!(most <= 2 * rate as usize, "{most} in a second, and {rate} are configured");

    let ending = stream::iter(many).for_each_concurrent(AT_ONCE, |client| async move {
        client.socket.end().await;
    });
    timeout(PATIENCE, ending).await.expect("all end");
    audience.end().await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_redis_are_replaced_under_load_without_a_loss() {
    rolling_restart(Kind::Redis).await;
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_nats_are_replaced_under_load_without_a_loss() {
    rolling_restart(Kind::Nats).await;
}
