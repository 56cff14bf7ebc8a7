//! What the broker of Redis does when Redis ends, stops, is full, is cut off, or moves.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, Gap, History, HistoryPage, HistoryQuery, Key,
    NodeId, Outage, Publication, Publish, Published, RawJson, Redis, RedisBroker, RedisError, RedisOptions,
    StoreError, Timestamp,
};
use tokensocket_tests::engine;
use tokensocket_tests::engine::{Keep, RedisCluster, RedisSentinel, Settings};
use tokensocket_tests::limit::within;
use tokensocket_tests::proxy::Proxy;
use tokio::sync::mpsc;

/// Redis is given up soon, so that tests need not wait.
const LIMIT: Duration = Duration::from_millis(500);

fn options() -> RedisOptions {
    RedisOptions::new().response_limit(LIMIT).connect_limit(LIMIT)
}

/// What a broker said.
struct Ears {
    publications: mpsc::UnboundedSender<Publication>,
    gaps: mpsc::UnboundedSender<Gap>,
}

impl BrokerHandler for Ears {
    fn handle_publication(&self, publication: &Publication) {
        let _ = self.publications.send(publication.clone());
    }

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, _: Control) {}

    fn handle_gap(&self, gap: Gap) {
        let _ = self.gaps.send(gap);
    }
}

struct Node {
    redis: Redis,
    broker: RedisBroker,
    came: mpsc::UnboundedReceiver<Publication>,
    gaps: mpsc::UnboundedReceiver<Gap>,
    _ears: Arc<Ears>,
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn history() -> History {
    History::new(10_000, Duration::from_hours(1))
}

impl Node {
    async fn connect(url: &str, options: RedisOptions) -> Self {
        let redis = Redis::connect(url, options).await.unwrap();
        let broker = redis.broker();
        let (publications, came) = mpsc::unbounded_channel();
        let (gaps, gapped) = mpsc::unbounded_channel();
        let ears = Arc::new(Ears { publications, gaps });
        let handler = Arc::downgrade(&ears) as Weak<dyn BrokerHandler>;
        broker.start(NodeId::random().unwrap(), handler).unwrap();
        Self { redis, broker, came, gaps: gapped, _ears: ears }
    }

    async fn follow(&self, name: &str) {
        within("a channel to be followed", self.broker.subscribe(&channel(name))).await.unwrap();
    }

    fn publication(name: &str, number: u64, key: Option<&str>) -> Publish {
        let key = key.map(|text| Key { text: text.into(), window: Duration::from_mins(5) });
        let (message, at) = (RawJson::new(&number).unwrap(), Timestamp::now());
        Publish { channel: channel(name), message, history: Some(history()), key, at }
    }

    async fn publish(&self, name: &str, number: u64) -> Result<Published, BrokerError> {
        within("an outcome", self.broker.publish(Self::publication(name, number, None))).await
    }

    /// Publishes until it is accepted.
    async fn publish_at_last(&self, name: &str, number: u64) -> Published {
        within("a publication to be accepted", async {
            loop {
                match self.publish(name, number).await {
                    Ok(published) => return published,
                    Err(BrokerError::Unavailable(_) | BrokerError::Store(StoreError::Timeout)) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err(error) => panic!("an outage is unavailable, or not known: {error:?}"),
                }
            }
        })
        .await
    }

    async fn read(&self, name: &str) -> HistoryPage {
        let query = HistoryQuery::default();
        self.broker.history(&channel(name), &history(), query, Timestamp::now()).await.unwrap()
    }

    async fn kept(&self, name: &str) -> Vec<u64> {
        self.read(name).await.publications.iter().map(|kept| kept.message.parse().unwrap()).collect()
    }

    async fn gap(&mut self) -> Gap {
        within("a gap", self.gaps.recv()).await.unwrap()
    }

    /// Waits for this publication, and returns all numbers that came until then.
    async fn came_until(&mut self, number: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&number) {
            let came = within("a publication", self.came.recv()).await.unwrap();
            numbers.push(came.message.parse().unwrap());
        }
        numbers
    }

    /// Until it is noticed that the server of a channel is away: by what is asked, and by what is heard.
    async fn misses(&self, name: &str) {
        within("Redis to be missed", async {
            loop {
                let (channel, query) = (channel(name), HistoryQuery::default());
                let read = self.broker.history(&channel, &history(), query, Timestamp::now()).await;
                if matches!(read, Err(BrokerError::Unavailable(_))) && self.redis.status().away.is_some() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_its_file_it_loses_nothing_and_keeps_its_epochs() {
    let mut engine = engine::Redis::with(Settings::new().keep(Keep::Always)).await;
    let mut node = Node::connect(&engine.url(), options()).await;
    assert_eq!(node.redis.status().lacks, Vec::<String>::new());
    node.follow("a").await;
    let together = (1..=500).map(|n| node.publish("a", n));
    let epoch = join_all(together).await.pop().unwrap().unwrap().position.unwrap().epoch;
    // What was kept and had not come when the server died would be read from the history, which is the node's affair.
    assert_eq!(node.came_until(500).await, (1..=500).collect::<Vec<_>>());
    engine.kill();
    node.misses("a").await;
    // Without waiting for anything.
    let refused = node.broker.publish(Node::publication("a", 0, None)).now_or_never().unwrap();
    assert!(matches!(refused, Err(BrokerError::Unavailable(_))), "{refused:?}");
    let what_is_followed = node.broker.subscribe(&channel("a"));
    within("a channel that is followed already", what_is_followed).await.unwrap();
    engine.start_again().await;
    assert_eq!(node.gap().await, Gap::All);
    let position = node.publish_at_last("a", 501).await.position.unwrap();
    assert_eq!((position.epoch, position.offset), (epoch, 501), "the same epoch, nothing in between");
    assert_eq!(node.kept("a").await, (1..=501).collect::<Vec<_>>());
    assert_eq!(node.came_until(501).await, [501], "each once");
    assert_eq!(node.redis.status().away, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_lost_is_another_epoch() {
    let mut engine = engine::Redis::start().await;
    let mut node = Node::connect(&engine.url(), options()).await;
    assert_eq!(node.redis.status().lacks.len(), 1, "it says that it keeps nothing");
    node.follow("a").await;
    let first = node.publish("a", 1).await.unwrap().position.unwrap();
    assert_eq!(engine.command(&["FLUSHALL"]).await, "OK");
    let flushed = node.publish("a", 2).await.unwrap().position.unwrap();
    assert_eq!(flushed.offset, 1);
    assert_ne!(flushed.epoch, first.epoch, "flushed");
    // A snapshot has what was there a while ago: the same epoch would be a lie.
    assert_eq!(engine.command(&["SAVE"]).await, "OK");
    node.publish("a", 3).await.unwrap();
    engine.kill();
    node.misses("a").await;
    engine.start_again().await;
    node.gap().await;
    let page = node.read("a").await;
    assert_eq!((page.position.offset, page.publications.len()), (0, 0));
    assert_ne!(page.position.epoch, flushed.epoch, "restarted from a snapshot");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_lack_its_end_is_another_epoch() {
    let mut engine = engine::Redis::with(Settings::new().keep(Keep::EachSecond)).await;
    let mut node = Node::connect(&engine.url(), options()).await;
    assert_eq!(node.redis.status().lacks.len(), 1, "it says so");
    node.follow("a").await;
    let before = node.publish("a", 1).await.unwrap().position.unwrap();
    engine.kill();
    node.misses("a").await;
    engine.start_again().await;
    assert_eq!(node.gap().await, Gap::All);
    let after = node.publish("a", 2).await.unwrap().position.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.offset, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_for_ten_seconds_it_is_missed_and_comes_back() {
    let engine = engine::Redis::with(Settings::new().keep(Keep::EachSecond)).await;
    let mut node = Node::connect(&engine.url(), options()).await;
    let patient = Node::connect(&engine.url(), RedisOptions::new().response_limit(20 * LIMIT)).await;
    node.follow("a").await;
    for n in 1..=10 {
        node.publish("a", n).await.unwrap();
    }
    engine.pause();
    let stopped = Instant::now();
    let mut patience = patient.broker.publish(Node::publication("b", 1, None));
    assert!(futures_util::poll!(&mut patience).is_pending());
    let keyed = node.broker.publish(Node::publication("a", 11, Some("k")));
    let (unknown, keyed) = futures_util::join!(node.publish("a", 12), keyed);
    assert!(matches!(unknown, Err(BrokerError::Store(StoreError::Timeout))), "not known: {unknown:?}");
    assert!(keyed.is_err());
    assert!(futures_util::poll!(&mut patience).is_pending(), "each waits as long as it was told to");
    let refused = node.publish("a", 13).await;
    assert!(matches!(refused, Err(BrokerError::Unavailable(_))), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(10).saturating_sub(stopped.elapsed())).await;
    assert!(node.redis.status().away > Some(Duration::from_secs(5)), "{:?}", node.redis.status());
    engine.unpause();
    assert_eq!(node.gap().await, Gap::All);
    node.publish_at_last("a", 14).await;
    let again = node.broker.publish(Node::publication("a", 11, Some("k"))).await.unwrap();
    let kept = node.kept("a").await;
    assert_eq!(kept.iter().filter(|n| **n == 11).count(), 1, "with a key it is kept once: {kept:?}");
    assert!(kept.iter().filter(|n| **n == 12).count() <= 1, "without one at most once: {kept:?}");
    assert_eq!(kept.iter().filter(|n| **n == 13).count(), 0, "what was refused was not done: {kept:?}");
    assert_eq!(kept[..10], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!(again.position.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_memory_it_refuses_and_loses_nothing() {
    let engine = engine::Redis::start().await;
    let node = Node::connect(&engine.url(), options()).await;
    node.publish("a", 1).await.unwrap();
    engine.fill().await;
    let refused = node.publish("a", 2).await;
    assert!(
        matches!(&refused, Err(BrokerError::Unavailable(why)) if why.contains("maxmemory")),
        "{refused:?}"
    );
    for name in ["new", "newer"] {
        let refused = node.publish(name, 2).await;
        assert!(matches!(refused, Err(BrokerError::Unavailable(_))), "the first of {name}: {refused:?}");
    }
    let plain = Publish { history: None, ..Node::publication("a", 3, None) };
    assert!(node.broker.publish(plain).await.is_ok(), "what is not kept needs no room");
    assert_eq!(node.kept("a").await, [1], "what is kept can be read");
    engine.empty().await;
    let position = node.publish("a", 4).await.unwrap().position.unwrap();
    assert_eq!(position.offset, 2);
    assert_eq!(node.kept("a").await, [1, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_buffered_is_published_in_its_order() {
    const ROOM: usize = 100;
    let mut engine = engine::Redis::with(Settings::new().keep(Keep::Always)).await;
    // What waits for an engine that is away is not what may be on its way to one that is there.
    let options = options().outage(Outage::Buffer { messages: ROOM, bytes: 1 << 20 }).max_pending(16);
    let mut node = Node::connect(&engine.url(), options).await;
    node.follow("a").await;
    node.publish("a", 0).await.unwrap();
    engine.kill();
    node.misses("a").await;
    let publishing = (1..=150).map(|n| node.broker.publish(Node::publication("a", n, None)));
    let publishing = join_all(publishing);
    let back = async {
        // All of them wait, or were refused, by now.
        tokio::time::sleep(2 * LIMIT).await;
        engine.start_again().await;
    };
    let (published, ()) = within("outcomes", futures_util::future::join(publishing, back)).await;
    let (accepted, refused) = published.split_at(ROOM);
    assert!(accepted.iter().all(Result::is_ok), "{accepted:?}");
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(BrokerError::TooMany(_)))), "{refused:?}");
    assert_eq!(node.kept("a").await, (0..=100).collect::<Vec<_>>(), "in order, each once");
    assert_eq!(node.gap().await, Gap::All);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_say_of_themselves_does_not_wait_for_an_engine() {
    let mut engine = engine::Redis::with(Settings::new().keep(Keep::Always)).await;
    let options = options().outage(Outage::Buffer { messages: 1, bytes: 1 << 20 });
    let node = Node::connect(&engine.url(), options).await;
    engine.kill();
    node.misses("a").await;
    for _ in 0..3 {
        let said = within("a refusal", node.broker.control(Control::Node(RawJson::null()))).await;
        assert!(matches!(said, Err(BrokerError::Unavailable(_))), "{said:?}");
    }
    // There is room for what an application wants.
    let mut asked = Box::pin(node.broker.control(Control::UnsubscribeAll(channel("a"))));
    assert!(futures_util::poll!(&mut asked).is_pending());
    engine.start_again().await;
    within("its outcome", asked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_a_gap() {
    let engine = engine::Redis::start().await;
    let mut node = Node::connect(&engine.url(), options()).await;
    node.follow("a").await;
    let one = tokensocket_server::Pattern::new("news.*").unwrap();
    node.broker.subscribe_pattern(&one).await.unwrap();
    for round in 1..=3 {
        assert_ne!(engine.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await, "0");
        assert_eq!(node.gap().await, Gap::All);
        node.publish_at_last("a", round).await;
        node.came_until(round).await;
        node.publish_at_last("news.x", 100 + round).await;
        node.came_until(100 + round).await;
    }
    assert_ne!(engine.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await, "0");
    node.publish_at_last("a", 9).await;
    assert_eq!(
        node.came_until(9).await,
        [9],
        "what is asked and what is heard go by connections of their own"
    );
    assert_eq!(engine.command(&["SCRIPT", "FLUSH"]).await, "OK");
    node.publish("a", 10).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_at_another_server_that_took_over_comes_from_there() {
    let (before, after) = (engine::Redis::start().await, engine::Redis::start().await);
    let address = Proxy::start(before.address).await;
    let mut node = Node::connect(&format!("redis://{}", address.address), options()).await;
    node.follow("a").await;
    node.publish("a", 1).await.unwrap();
    node.came_until(1).await;
    address.lead_to(after.address);
    // What is asked is asked the other one from now on, and what is heard would go on at the first, which lives.
    assert_eq!(before.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await, "1");
    within("a publication", async {
        let mut number = 1;
        while node.came.try_recv().is_err() {
            number += 1;
            node.publish_at_last("a", number).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(node.gap().await, Gap::All);
    assert_eq!(after.command(&["PUBSUB", "NUMSUB", "ts:c:{a}"]).await.lines().nth(1), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed_and_is_another_epoch() {
    let mut sentinel = RedisSentinel::with(Settings::new().keep(Keep::EachSecond)).await;
    let mut node = Node::connect(&sentinel.url(), options()).await;
    node.follow("a").await;
    let before = node.publish("a", 1).await.unwrap().position.unwrap();
    sentinel.kill_primary().await;
    assert_eq!(node.gap().await, Gap::All);
    let after = node.publish_at_last("a", 2).await.position.unwrap();
    assert_ne!(after.epoch, before.epoch, "a replica may lack the last");
    assert_eq!(node.came_until(2).await.last(), Some(&2));
}

/// Channels of which each server of a cluster has one, in the servers' order.
async fn one_of_each(cluster: &RedisCluster) -> Vec<String> {
    let mut channels = vec![String::new(); cluster.nodes.len()];
    for n in 0.. {
        let name = format!("c{n}");
        // A key of the channel's slot.
        let key = format!("x{{{name}}}");
        for (at, server) in cluster.nodes.iter().enumerate() {
            if !server.command(&["GET", &key]).await.starts_with("MOVED") {
                channels[at].clone_from(&name);
            }
        }
        if channels.iter().all(|name| !name.is_empty()) {
            break;
        }
    }
    channels
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_cluster_only_what_one_server_had_is_missed() {
    let mut cluster = RedisCluster::with(Settings::new().keep(Keep::Always)).await;
    let channels = one_of_each(&cluster).await;
    let mut node = Node::connect(&cluster.url(), options()).await;
    for name in &channels {
        node.follow(name).await;
        node.publish(name, 1).await.unwrap();
        node.came_until(1).await;
    }
    cluster.nodes[1].kill();
    node.misses(&channels[1]).await;
    for name in [&channels[0], &channels[2]] {
        let published = node.publish(name, 2).await.unwrap();
        assert_eq!(published.position.unwrap().offset, 2, "the others go on");
        node.came_until(2).await;
    }
    assert!(node.publish(&channels[1], 2).await.is_err());
    cluster.nodes[1].start_again().await;
    assert_eq!(node.gap().await, Gap::Channels(vec![channel(&channels[1])]));
    let position = node.publish_at_last(&channels[1], 3).await.position.unwrap();
    assert_eq!(position.offset, 2, "the same epoch");
    node.came_until(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_followed_to_another_server_of_its_cluster() {
    let cluster = RedisCluster::with(Settings::new().keep(Keep::EachSecond)).await;
    let channels = one_of_each(&cluster).await;
    let mut node = Node::connect(&cluster.url(), options()).await;
    let name = &channels[0];
    node.follow(name).await;
    node.publish(name, 1).await.unwrap();
    node.came_until(1).await;
    let (from, to) = (&cluster.nodes[0], &cluster.nodes[1]);
    let slot = from.command(&["CLUSTER", "KEYSLOT", &format!("{{{name}}}")]).await;
    let (from_id, to_id) = (from.command(&["CLUSTER", "MYID"]).await, to.command(&["CLUSTER", "MYID"]).await);
    assert_eq!(to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await, "OK");
    assert_eq!(from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await, "OK");
    let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
    for key in keys.lines() {
        let port = to.port().to_string();
        let host = to.address.ip().to_string();
        assert_eq!(from.command(&["MIGRATE", &host, &port, key, "0", "5000"]).await, "OK");
    }
    for server in [to, from, &cluster.nodes[2]] {
        assert_eq!(server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await, "OK");
    }
    let published = node.publish_at_last(name, 2).await;
    assert!(published.position.is_some());
    let Gap::Channels(missed) = node.gap().await else { panic!("of some channels") };
    assert!(missed.contains(&channel(name)));
    node.publish_at_last(name, 3).await;
    assert_eq!(node.came_until(3).await.last(), Some(&3), "it comes from where the slot is now");
}

/// The name of a channel whose slot is one of these.
async fn channel_within(server: &engine::Redis, slots: std::ops::Range<usize>) -> String {
    for n in 0.. {
        let name = format!("c{n}");
        let slot = server.command(&["CLUSTER", "KEYSLOT", &format!("{{{name}}}")]).await;
        if slots.contains(&slot.parse().unwrap()) {
            return name;
        }
    }
    unreachable!("there are enough names")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_one_server_of_a_cluster_holds_up_no_other() {
    let settings = Settings::new().keep(Keep::Always).more(["--cluster-require-full-coverage", "no"]);
    let mut cluster = RedisCluster::with(settings).await;
    // The first server has slots up to 5460, and the second those behind: next to each other, as they are shared out.
    let (first, second) =
        (channel_within(&cluster.nodes[0], 5120..5461), channel_within(&cluster.nodes[0], 5461..5632));
    let (first, second) = (first.await, second.await);
    let buffer = Outage::Buffer { messages: 100, bytes: 1 << 20 };
    let node = Node::connect(&cluster.url(), RedisOptions::new().outage(buffer)).await;
    for name in [&first, &second] {
        node.publish(name, 1).await.unwrap();
    }
    cluster.nodes[0].kill();
    node.misses(&first).await;
    let mut waiting = join_all((2..=3).map(|n| node.broker.publish(Node::publication(&first, n, None))));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    for n in 2..=50 {
        let published = node.publish(&second, n).await.unwrap();
        assert_eq!(published.position.unwrap().offset, n);
    }
    assert!(futures_util::poll!(&mut waiting).is_pending(), "it waits all the while");
    cluster.nodes[0].start_again().await;
    let published = within("outcomes", waiting).await;
    assert!(published.iter().all(Result::is_ok), "{published:?}");
    assert_eq!(node.kept(&first).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_of_a_slot_that_nobody_has_is_followed_when_somebody_has_it() {
    let settings = Settings::new().more(["--cluster-require-full-coverage", "no"]);
    let cluster = RedisCluster::with(settings).await;
    let mut node = Node::connect(&cluster.url(), options()).await;
    let (before, after) =
        (channel_within(&cluster.nodes[0], 0..400).await, channel_within(&cluster.nodes[0], 400..800).await);
    node.follow(&before).await;
    // The first server has no slot any more: nobody has those it had.
    let range: Vec<String> = (0..5461).map(|slot| slot.to_string()).collect();
    for server in &cluster.nodes {
        let words: Vec<&str> =
            ["CLUSTER", "DELSLOTS"].into_iter().chain(range.iter().map(|n| &**n)).collect();
        assert_eq!(server.command(&words).await, "OK");
    }
    within("the slots to be missed", async {
        while !matches!(node.broker.subscribe(&channel(&after)).await, Err(BrokerError::Unavailable(_))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // One that is not wished any more.
    let left = channel_within(&cluster.nodes[0], 800..1200).await;
    let _ = node.broker.subscribe(&channel(&left)).await;
    node.broker.unsubscribe(&channel(&left)).await.unwrap();
    assert_eq!(cluster.nodes[1].command(&["CLUSTER", "ADDSLOTSRANGE", "0", "5460"]).await, "OK");
    for (name, number) in [(&before, 1), (&after, 2)] {
        node.publish_at_last(name, number).await;
        within("a publication", async {
            let mut number = number;
            while node.came.try_recv().is_err() {
                number += 10;
                node.publish_at_last(name, number).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
    let topic = |name: &str| format!("ts:c:{{{name}}}");
    let counted = cluster.nodes[1].command(&["PUBSUB", "SHARDNUMSUB", &topic(&left), &topic(&after)]).await;
    let counted: Vec<&str> = counted.lines().collect();
    assert_eq!([counted[1], counted[3]], ["0", "1"], "{counted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_reset_takes_no_other_with_it() {
    let settings = Settings::new().more(["--cluster-require-full-coverage", "no"]);
    let cluster = RedisCluster::with(settings).await;
    let channels = one_of_each(&cluster).await;
    let node = Node::connect(&cluster.url(), options()).await;
    // Who is asked first who has which slots.
    let first = (0..cluster.nodes.len()).min_by_key(|at| cluster.nodes[*at].address.to_string()).unwrap();
    let others = (0..cluster.nodes.len()).filter(|at| *at != first);
    assert_eq!(cluster.nodes[first].command(&["CLUSTER", "RESET", "HARD"]).await, "OK");
    // It says that somebody else may have the slot, and then that it knows of nobody who has any.
    assert!(node.publish(&channels[first], 1).await.is_err());
    for name in others.map(|at| &channels[at]) {
        node.publish(name, 1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_served_while_its_slot_moves_to_a_new_server() {
    let mut cluster = RedisCluster::start().await;
    let node = Node::connect(&cluster.url(), RedisOptions::new()).await;
    cluster.add().await;
    let (from, to) = (&cluster.nodes[0], &cluster.nodes[3]);
    let name = channel_within(from, 0..5461).await;
    node.publish(&name, 1).await.unwrap();
    let slot = from.command(&["CLUSTER", "KEYSLOT", &format!("{{{name}}}")]).await;
    let (from_id, to_id) = (from.command(&["CLUSTER", "MYID"]).await, to.command(&["CLUSTER", "MYID"]).await);
    assert_eq!(to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await, "OK");
    assert_eq!(from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await, "OK");
    let keys = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
    let (host, port) = (to.address.ip().to_string(), to.port().to_string());
    let words = ["MIGRATE", &host, &port, "", "0", "5000", "KEYS"].into_iter().chain(keys.lines());
    assert_eq!(from.command(&words.collect::<Vec<_>>()).await, "OK");
    // All of it is at the new server, which no map names yet.
    node.publish(&name, 2).await.unwrap();
    assert_eq!(to.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).await, "2");
    for server in [to, from] {
        assert_eq!(server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await, "OK");
    }
    node.publish_at_last(&name, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_refused_at_once() {
    let (one, cluster) = (engine::Redis::start().await, RedisCluster::start().await);
    let address = cluster.nodes[0].url();
    let refused = Redis::connect(&address, options()).await.unwrap_err();
    assert!(
        matches!(&refused, RedisError::Unfit { reason, .. } if reason.contains("redis+cluster")),
        "{refused}"
    );
    let refused = Redis::connect(&format!("{}?cluster", one.url()), options()).await.unwrap_err();
    assert!(refused.to_string().contains("cluster"), "{refused}");
    let replica = engine::Redis::with(Settings::new().more([
        "--replicaof".to_owned(),
        one.address.ip().to_string(),
        one.port().to_string(),
    ]))
    .await;
    let refused = Redis::connect(&replica.url(), options()).await.unwrap_err();
    assert!(matches!(&refused, RedisError::Connect { .. }), "{refused}");
    one.pause();
    let (url, patient) = (one.url(), options().connect_limit(20 * LIMIT).response_limit(20 * LIMIT));
    let refused = tokio::select! {
        biased;
        refused = Redis::connect(&url, options()) => refused.unwrap_err(),
        early = Redis::connect(&url, patient) => panic!("it has twenty times as long: {early:?}"),
    };
    assert!(matches!(&refused, RedisError::Connect { .. }), "{refused}");
    one.unpause();
    let redis = Redis::connect(&one.url(), options()).await.unwrap();
    for name in ["", "a{b", "a b", "é", &"x".repeat(66)] {
        assert!(matches!(redis.namespace(name), Err(RedisError::Name(_))));
    }
    // What sets a name of 64 letters apart from all others has room.
    assert!(redis.namespace(&format!(".{}", "x".repeat(64))).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_and_the_rest_is_kept() {
    let engine = engine::Redis::start().await;
    let node = Node::connect(&engine.url(), RedisOptions::new().max_pending(64)).await;
    // Nothing is answered before all were asked for.
    engine.pause();
    let mut publishing = join_all((0..200).map(|n| node.broker.publish(Node::publication("a", n, None))));
    assert!(futures_util::poll!(&mut publishing).is_pending());
    engine.unpause();
    let published = within("outcomes", publishing).await;
    let accepted = published.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = published.iter().filter(|outcome| matches!(outcome, Err(BrokerError::TooMany(_)))).count();
    assert_eq!((accepted, refused), (64, 136));
    assert_eq!(node.kept("a").await, (0..64).collect::<Vec<_>>());
    node.publish("a", 200).await.unwrap();
}

#[tokio::test]
async fn services_in_two_databases_do_not_hear_each_other() {
    let engine = engine::Redis::start().await;
    let at = |database: u8| Node::connect(format!("{}/{database}", engine.url()).leak(), options());
    let (mut production, mut staging) = (at(0).await, at(1).await);
    production.follow("news").await;
    staging.follow("news").await;
    for (one, other) in [(&production, &staging), (&staging, &production)] {
        one.publish("news", 1).await.unwrap();
        other.publish("news", 2).await.unwrap();
    }
    production.publish("news", 3).await.unwrap();
    staging.publish("news", 4).await.unwrap();
    assert_eq!(production.came_until(3).await, [1, 2, 3]);
    assert_eq!(staging.came_until(4).await, [2, 1, 4]);
    // Two nodes in one database are still one service.
    at(1).await.publish("news", 5).await.unwrap();
    assert_eq!(staging.came_until(5).await, [5]);
}
