//! What of each kind takes how much of Redis' memory. Measures, and asserts only that nothing has grown beyond reason:
//!
//! ```sh
//! cargo test -p tokensocket-tests --test engine_redis_memory -- --ignored --nocapture
//! ```

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokensocket_server::{
    Arrival, Broker, BrokerHandler, Channel, Control, Device, DeviceStore, History, Identity, Key, Member,
    Message, NodeId, PresenceStore, Publication, Publish, QueueLimits, RawJson, Redis, RedisBroker,
    RedisOptions, Server, Timestamp, To,
};
use tokensocket_tests::device::builder;
use tokensocket_tests::engine;

/// So many of each kind are made.
const COUNT: usize = 10_000;
/// What a message is, in bytes.
const MESSAGE: usize = 100;
/// More than anything takes now.
const REASON: usize = 10_000;

struct Deaf;

impl BrokerHandler for Deaf {
    fn handle_publication(&self, _: &Publication) {}

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, _: Control) {}
}

struct Scales {
    redis: engine::Redis,
    /// Others know its name.
    version: String,
}

impl Scales {
    async fn used(&self) -> usize {
        let info = self.redis.command(&["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
        used.unwrap().parse().unwrap()
    }

    /// Does something so many times, and says what each took.
    async fn weigh<F: Future<Output = ()>>(&self, what: &str, each: impl Fn(usize) -> F) {
        let before = self.used().await;
        futures_util::stream::iter((0..COUNT).map(each)).buffered(256).collect::<Vec<()>>().await;
        let one = self.used().await.saturating_sub(before) / COUNT;
        println!("{one:>6} bytes: {what}, of {COUNT} in Redis {}", self.version);
        assert!(one < REASON, "{what} takes {one} bytes");
    }

    async fn connect(&self) -> Redis {
        let redis = Redis::connect(&self.redis.url(), RedisOptions::new()).await.unwrap();
        redis.namespace("memory").unwrap()
    }

    async fn broker(&self, number: u64, handler: &Arc<Deaf>) -> RedisBroker {
        let broker = self.connect().await.broker();
        let weak: Weak<Deaf> = Arc::downgrade(handler);
        broker.start(NodeId::from_number(number), weak).unwrap();
        broker
    }
}

fn message() -> RawJson {
    RawJson::new(&"x".repeat(MESSAGE - 2)).unwrap()
}

fn channel(n: usize) -> Channel {
    Channel::new(format!("channel.{n}")).unwrap()
}

fn user(n: usize) -> String {
    format!("user{n:06}")
}

async fn weighs_devices(scales: &Scales) {
    let devices = scales.connect().await.device_store(QueueLimits::default());
    let arrive = |n: usize| {
        let device = Device { user: user(n).into(), id: format!("device{n:010}").into() };
        let arrival = Arrival { device, rooms: vec!["staff".into()], ttl: Duration::from_hours(1) };
        let arriving = devices.arrive(arrival, Timestamp::now());
        async move { drop(arriving.await.unwrap()) }
    };
    scales.weigh("a device of a user of its own, in one room", arrive).await;
    let append = |to: To, key: Option<String>| {
        let (args, key) =
            (RawJson::from_text(format!("[{}]", message().as_str())).unwrap(), key.map(Arc::from));
        let appending =
            devices.append(to, Message { event: "event".into(), args, resync: false, key }, Timestamp::now());
        async move { drop(appending.await.unwrap()) }
    };
    let of_one = |n: usize| append(To::user(user(n)), None);
    scales.weigh("a first entry of 100 bytes, which one device has", of_one).await;
    scales.weigh("a second one", of_one).await;
    let before = scales.used().await;
    append(To::everyone(), None).await;
    println!(
        "{:>6} bytes: an entry of a message that all devices have",
        (scales.used().await - before) / COUNT
    );
    scales.weigh("a delivery's key", |n| append(To::user("nobody"), Some(format!("key{n:010}")))).await;
}

async fn weighs_presence(scales: &Scales) {
    let presence = scales.connect().await.presence_store();
    presence.start(NodeId::from_number(1)).unwrap();
    let join = |n: usize| {
        let user = Some(user(n).into());
        let info = RawJson::new(&json!({ "name": "somebody" })).unwrap();
        let member = Member { client: format!("{n:016x}").into(), user, info, since: Timestamp::now() };
        let joining = presence.join(&Channel::new("news").unwrap(), member, true);
        async move { drop(joining.await.unwrap()) }
    };
    scales.weigh("a member", join).await;
}

async fn weighs_channels(scales: &Scales) {
    let deaf = Arc::new(Deaf);
    let (one, other) = (scales.broker(1, &deaf).await, scales.broker(2, &deaf).await);
    let follow = |broker: &RedisBroker, n: usize| broker.subscribe(&channel(n));
    scales
        .weigh("a channel that a node follows", |n| {
            let f = follow(&one, n);
            async move { f.await.unwrap() }
        })
        .await;
    scales
        .weigh("the same, by another node", |n| {
            let f = follow(&other, n);
            async move { f.await.unwrap() }
        })
        .await;
    let publish = |n: usize, key: Option<Key>| {
        let history = Some(History::new(100, Duration::from_hours(1)));
        let publish = Publish { channel: channel(n), message: message(), history, key, at: Timestamp::now() };
        let publishing = one.publish(publish);
        async move { drop(publishing.await.unwrap()) }
    };
    scales
        .weigh("a channel with history, and its first publication of 100 bytes", |n| publish(n, None))
        .await;
    scales.weigh("a second publication of 100 bytes", |n| publish(n, None)).await;
    scales
        .weigh("a third one, with a key", |n| {
            publish(n, Some(Key { text: format!("key{n:010}").into(), window: Duration::from_mins(5) }))
        })
        .await;
}

async fn weighs_tokens(scales: &Scales) {
    let server: Server = builder().engine(&scales.connect().await).build().unwrap();
    let issue = |n: usize| {
        let server = server.clone();
        async move {
            server.issue_token(Identity::new(json!({ "id": n })).user(user(n))).await.map(drop).unwrap();
        }
    };
    scales.weigh("a token that waits", issue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures: run it with --ignored --nocapture"]
async fn says_what_each_takes() {
    let redis = engine::Redis::start().await;
    let scales = Scales { redis, version: String::new() };
    let version = scales.connect().await.status().version.unwrap_or_default();
    let scales = Scales { version, ..scales };
    weighs_devices(&scales).await;
    weighs_presence(&scales).await;
    weighs_channels(&scales).await;
    weighs_tokens(&scales).await;
}
