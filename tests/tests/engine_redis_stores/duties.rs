//! What every store must do, done by those in Redis.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokensocket_server::{Redis, conformance};
use tokensocket_tests::engine::{Redis as Engine, RedisCluster, RedisSentinel};

use crate::node::connected;

/// A namespace that nobody had before.
async fn fresh(url: &str) -> Redis {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    connected(url, &format!("n{}", COUNT.fetch_add(1, Ordering::Relaxed))).await
}

async fn passes_all(url: &str) {
    conformance::devices(async |limits| fresh(url).await.device_store(limits)).await;
    let kept = fresh(url).await;
    conformance::devices_kept_by_own_clock(async |limits| kept.device_store(limits)).await;
    conformance::presence(async || fresh(url).await.presence_store()).await;
}

#[tokio::test]
async fn do_what_stores_must_in_one_server() {
    let engine = Engine::start().await;
    passes_all(&engine.url()).await;
}

#[tokio::test]
async fn do_what_stores_must_in_a_cluster() {
    let cluster = RedisCluster::start().await;
    passes_all(&cluster.url()).await;
}

#[tokio::test]
async fn do_what_stores_must_in_several_servers() {
    let servers = [Engine::start().await, Engine::start().await, Engine::start().await];
    let url = servers.iter().map(Engine::url).collect::<Vec<_>>().join(",");
    passes_all(&url).await;
    for server in &servers {
        assert_ne!(server.command(&["DBSIZE"]).await.trim(), "0", "each has a part");
    }
}

#[tokio::test]
async fn do_what_stores_must_behind_sentinels() {
    let sentinel = RedisSentinel::start().await;
    passes_all(&sentinel.url()).await;
}
