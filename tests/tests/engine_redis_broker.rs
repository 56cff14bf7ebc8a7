//! The broker and the tokens of Redis: their duties, on every kind of it.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::sync::atomic::{AtomicUsize, Ordering};

use tokensocket_server::conformance;
use tokensocket_server::{Redis, RedisOptions};
use tokensocket_tests::engine;
use tokensocket_tests::engine::{RedisCluster, Settings};

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
async fn tokens_do_their_duties() {
    let (one, cluster) = (engine::Redis::start().await, RedisCluster::start().await);
    for url in [one.url(), cluster.url()] {
        let (many, few) = (RedisOptions::new().max_tokens(1000), RedisOptions::new().max_tokens(48));
        let (many, few) = (Fresh::of(&url, many).await, Fresh::of(&url, few).await);
        conformance::tokens(|most| {
            let redis = if most < 1000 { few.redis.namespace("few").unwrap() } else { many.next() };
            redis.token_store()
        })
        .await;
    }
}
