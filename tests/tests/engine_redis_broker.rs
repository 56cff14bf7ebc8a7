//! The broker and the tokens of Redis: their duties, on every kind of it.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_server::conformance;
use tokensocket_server::{
    Broker, BrokerHandler, Channel, Control, History, HistoryPage, HistoryQuery, Key, NodeId, Pattern,
    Publication, Publish, RawJson, Redis, RedisBroker, RedisOptions, Timestamp,
};
use tokensocket_tests::engine;
use tokensocket_tests::engine::{RedisCluster, RedisSentinel, SENTINEL_PASSWORD, Settings};
use tokensocket_tests::limit::{until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Namespaces of one engine, each of which nobody had before.
struct Fresh {
    redis: Redis,
    made: AtomicUsize,
}

impl Fresh {
    async fn of(url: &str, options: RedisOptions) -> Self {
        Self { redis: Redis::connect(url, options).await.unwrap(), made: AtomicUsize::new(0) }
    }

    fn next(&self) -> Redis {
        self.redis.namespace(&format!("n{}", self.made.fetch_add(1, Ordering::Relaxed))).unwrap()
    }
}

/// All that is owed. `other` has connections of its own.
async fn does_its_duties(url: &str, options: &RedisOptions) {
    let fresh = Fresh::of(url, options.clone()).await;
    let other = Redis::connect(url, options.clone()).await.unwrap();
    assert_eq!(fresh.redis.status().away, None);
    conformance::broker(|| fresh.next().broker()).await;
    let shared = AtomicUsize::new(0);
    let two = || {
        let name = format!("shared{}", shared.fetch_add(1, Ordering::Relaxed));
        [&fresh.redis, &other].map(|redis| redis.namespace(&name).unwrap())
    };
    conformance::broker_nodes(|| two().map(|redis| redis.broker())).await;
    conformance::tokens_shared(|_| two().map(|redis| redis.token_store())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_server_does_its_duties() {
    let redis = engine::Redis::start().await;
    does_its_duties(&redis.url(), &RedisOptions::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_does_its_duties() {
    let cluster = RedisCluster::start().await;
    does_its_duties(&cluster.url(), &RedisOptions::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_that_share_the_channels_do_their_duties() {
    let servers = [engine::Redis::start().await, engine::Redis::start().await];
    let url = servers.iter().map(engine::Redis::url).collect::<Vec<_>>().join(",");
    does_its_duties(&url, &RedisOptions::new()).await;
    for server in &servers {
        assert_ne!(server.command(&["DBSIZE"]).await.trim(), "0", "each has a part");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_sentinels_know_does_its_duties() {
    let sentinel = RedisSentinel::start().await;
    does_its_duties(&sentinel.url(), &RedisOptions::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_with_tls_and_a_password_does_its_duties() {
    let redis =
        engine::Redis::with(Settings::new().tls().password("se%cret").more(["--appendonly", "no"])).await;
    let path = redis.certificate.as_ref().unwrap().path.clone();
    let address = format!("rediss://{}", redis.address);
    let options = RedisOptions::new().ca_file(path).password("se%cret");
    does_its_duties(&address, &options).await;
    let refused = Redis::connect(&address, options.password("wrong")).await.unwrap_err();
    assert!(matches!(refused, tokensocket_server::RedisError::Unfit { .. }), "{refused}");
    let distrusted = Redis::connect(&address, RedisOptions::new().password("se%cret")).await.unwrap_err();
    assert!(distrusted.to_string().contains("certificate"), "{distrusted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sentinels_and_their_servers_may_each_ask_for_a_password() {
    let mut sentinel = RedisSentinel::with(Settings::new().password("servers")).await;
    let options = RedisOptions::new().sentinel_password(SENTINEL_PASSWORD);
    let redis = Redis::connect(&sentinel.url(), options.clone()).await.unwrap();
    assert_eq!(redis.status().away, None);
    sentinel.kill_primary().await;
    // The new one asks for the same.
    until("the new primary to let it in", || redis.status().away.is_none()).await;
    for wrong in
        [RedisOptions::new(), options.password("wrong"), RedisOptions::new().sentinel_password("wrong")]
    {
        let refused = Redis::connect(&sentinel.url(), wrong).await.unwrap_err();
        assert!(matches!(refused, tokensocket_server::RedisError::Unfit { .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sentinel_that_was_left_behind_hides_no_other() {
    let mut sentinel = RedisSentinel::start().await;
    let url = sentinel.url();
    // The first of them is sure that the primary is one that is gone.
    let gone = sentinel.servers[1].address;
    sentinel.servers[1].kill();
    let first = url.trim_start_matches("redis+sentinel://").split([',', '/']).next().unwrap();
    let mut stream = TcpStream::connect(first).await.unwrap();
    for command in
        ["SENTINEL REMOVE main".to_owned(), format!("SENTINEL MONITOR main {} {} 2", gone.ip(), gone.port())]
    {
        stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 5];
        within("an answer", stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"+OK\r\n");
    }
    let redis = Redis::connect(&url, RedisOptions::new()).await.unwrap();
    redis.broker().publish(publication("a", Timestamp::now())).await.unwrap();
    assert_eq!(redis.status().away, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_do_their_duties() {
    let (one, cluster) = (engine::Redis::start().await, RedisCluster::start().await);
    let sentinel = RedisSentinel::start().await;
    let servers = [engine::Redis::start().await, engine::Redis::start().await];
    let several = servers.iter().map(engine::Redis::url).collect::<Vec<_>>().join(",");
    for url in [one.url(), cluster.url(), sentinel.url(), several] {
        let (many, few) = (RedisOptions::new().max_tokens(1000), RedisOptions::new().max_tokens(48));
        let (many, few) = (Fresh::of(&url, many).await, Fresh::of(&url, few).await);
        conformance::tokens(|most| {
            let redis = if most < 1000 { few.redis.namespace("few").unwrap() } else { many.next() };
            redis.token_store()
        })
        .await;
    }
}

/// A node that counts what comes.
#[derive(Default)]
struct Counts(AtomicUsize);

impl BrokerHandler for Counts {
    fn handle_publication(&self, _: &Publication) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, _: Control) {}
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn publication(name: &str, at: Timestamp) -> Publish {
    Publish { channel: channel(name), message: RawJson::new(&1).unwrap(), history: None, key: None, at }
}

/// Publications that a pattern covers come while other threads subscribe, unsubscribe and publish.
async fn follows_a_pattern_amid_subscriptions(url: &str) {
    // Nothing is missed while it has this connection, however late it reads what came.
    let options = RedisOptions::new().response_limit(Duration::from_mins(2));
    let redis = Redis::connect(url, options).await.unwrap();
    let (broker, node) = (Arc::new(redis.broker()), Arc::new(Counts::default()));
    let weak: Weak<Counts> = Arc::downgrade(&node);
    broker.start(NodeId::from_number(1), weak).unwrap();
    // For each message it is asked of all of them whether they have handed it on.
    let patterns: Vec<_> = (0..50).map(|n| format!("a{n}.*")).chain(["news.*".to_owned()]).collect();
    for pattern in patterns {
        broker.subscribe_pattern(&Pattern::new(pattern).unwrap()).await.unwrap();
    }
    let publishing = |of: usize| {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move {
            for _ in 0..100 {
                // Of one channel all would come as one message.
                let name = |n| format!("news.{of}-{n}");
                let publish = |n| broker.publish(publication(&name(n), Timestamp::now()));
                for published in join_all((0..100).map(publish)).await {
                    published.unwrap();
                }
            }
        })
    };
    let subscribing = |of: usize| {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move {
            let pattern = Pattern::new(format!("news.*.{of}")).unwrap();
            for turn in 0..50 {
                let channels: Vec<_> = (0..100).map(|n| channel(&format!("c.{of}.{turn}.{n}"))).collect();
                let followed = join_all(channels.iter().map(|channel| broker.subscribe(channel)));
                followed.await.into_iter().for_each(Result::unwrap);
                broker.subscribe_pattern(&pattern).await.unwrap();
                let left = join_all(channels.iter().map(|channel| broker.unsubscribe(channel)));
                left.await.into_iter().for_each(Result::unwrap);
                broker.unsubscribe_pattern(&pattern).await.unwrap();
            }
        })
    };
    let all = (0..2).map(publishing).chain((0..2).map(subscribing)).collect::<Vec<_>>();
    for done in join_all(all).await {
        done.unwrap();
    }
    // All of it has one limit, below.
    while node.0.load(Ordering::Relaxed) < 20_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_pattern_and_subscriptions_never_wait_for_each_other() {
    let begin = tokio::runtime::Runtime::new().unwrap();
    let redis = begin.block_on(engine::Redis::start());
    let url = redis.url();
    let (done, ended) = mpsc::channel();
    // On threads of their own: where they stop for ever no timer of theirs runs.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
        runtime.unwrap().block_on(follows_a_pattern_amid_subscriptions(&url));
        let _ = done.send(());
    });
    let limit = Duration::from_mins(1);
    assert_eq!(ended.recv_timeout(limit), Ok(()), "threads that wait for each other, or a panic above");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_whose_clock_is_ahead_drops_nothing_early() {
    let redis = engine::Redis::start().await;
    let connect = || async { Redis::connect(&redis.url(), RedisOptions::new()).await.unwrap().broker() };
    let (right, ahead) = (connect().await, connect().await);
    let minute = Duration::from_mins(1);
    let history = History::new(100, minute);
    let now = Timestamp::now();
    let later = now.after(2 * minute);
    let read = async |broker: &RedisBroker, at| -> HistoryPage {
        broker.history(&channel("kept"), &history, HistoryQuery::default(), at).await.unwrap()
    };
    let publish = async |broker: &RedisBroker, key: Option<&str>, at| {
        let key = key.map(|text| Key { text: text.into(), window: minute });
        let publish = Publish { history: Some(history.clone()), key, ..publication("kept", at) };
        broker.publish(publish).await.unwrap()
    };
    for _ in 0..3 {
        publish(&right, None, now).await;
    }
    let first = publish(&right, Some("a"), now).await;
    assert_eq!(read(&ahead, later).await.publications.len(), 4, "it reads all");
    assert_eq!(read(&right, now).await.publications.len(), 4, "and deletes nothing by that");
    let again = publish(&ahead, Some("a"), later).await;
    assert!(again.duplicate, "it forgets no key early");
    assert_eq!(again.position, first.position);
    let second = publish(&ahead, Some("b"), later).await;
    assert!(!second.duplicate);
    assert!(publish(&right, Some("b"), now).await.duplicate, "its keys are known to others");
    let page = read(&right, now).await;
    assert_eq!(page.publications.len(), 5, "it deletes nothing by what it publishes");
    assert!(page.publications.iter().all(|kept| kept.at < now.after(minute)), "nor keeps it for longer");
    // Without history a key is as good.
    let bare = |at| {
        let key = Some(Key { text: "c".into(), window: minute });
        Publish { key, ..publication("bare", at) }
    };
    assert!(!right.publish(bare(now)).await.unwrap().duplicate);
    assert!(ahead.publish(bare(later)).await.unwrap().duplicate);
}

/// Does something in Redis with each key that is of a channel's log.
async fn with_each_log(redis: &engine::Redis, what: &str) -> String {
    let script =
        format!("local n = 0 for _, key in ipairs(redis.call('KEYS', 'ts:[hs]:*')) do {what} end return n");
    redis.command(&["EVAL", &script, "0"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_many_channels_are_followed_their_logs_are_kept_and_others_find_room() {
    const CHANNELS: usize = 300;
    let redis = engine::Redis::start().await;
    // Room for a part of them at a time.
    let engine = Redis::connect(&redis.url(), RedisOptions::new().max_pending(128)).await.unwrap();
    let (broker, node) = (engine.broker(), Arc::new(Counts::default()));
    let weak: Weak<Counts> = Arc::downgrade(&node);
    broker.start(NodeId::from_number(1), weak).unwrap();
    let day = History::new(10, Duration::from_hours(24));
    for n in 0..CHANNELS {
        let name = format!("c{n}");
        broker.subscribe(&channel(&name)).await.unwrap();
        let query = HistoryQuery::default();
        broker.history(&channel(&name), &day, query, Timestamp::now()).await.unwrap();
        if n % 3 == 0 {
            let publish = Publish { history: Some(day.clone()), ..publication(&name, Timestamp::now()) };
            broker.publish(publish).await.unwrap();
        }
    }
    let logs = (CHANNELS + CHANNELS / 3).to_string();
    // As if most of their time had passed.
    let passes = "redis.call('PEXPIRE', key, 100000) n = n + 1";
    assert_eq!(with_each_log(&redis, passes).await, logs);
    broker.expire(Timestamp::now().after(Duration::from_mins(4)));
    broker.publish(publication("other", Timestamp::now())).await.unwrap();
    let prolonged = "if redis.call('PTTL', key) > 100000 then n = n + 1 end";
    within("all to be prolonged", async { while with_each_log(&redis, prolonged).await != logs {} }).await;
    // Each name that somebody follows has a log: those are not for long.
    let too_long = "if redis.call('PTTL', key) > 3600000 then n = n + 1 end";
    assert_eq!(with_each_log(&redis, too_long).await, "0");
    // What has longer anyway keeps that.
    let long = "redis.call('PEXPIRE', key, string.sub(key, 4, 4) == 's' and 7200000 or 100000) n = n + 1";
    assert_eq!(with_each_log(&redis, long).await, logs);
    within("all to be prolonged", async {
        // What it began before may not have come to its end.
        while with_each_log(&redis, prolonged).await != logs {
            broker.expire(Timestamp::now().after(Duration::from_mins(8)));
        }
    })
    .await;
    assert_eq!(with_each_log(&redis, too_long).await, (CHANNELS / 3).to_string());
}
