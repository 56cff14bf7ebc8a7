//! Three nodes redeem the same tokens at the same moment: each token lets in exactly one.
//!
//! `TOKENSOCKET_TOKENS` says how many tokens, 100,000 by default.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokensocket_server::{Engine, Identity, Server};
use tokensocket_tests::device::builder;
use tokensocket_tests::scale;

/// How many tokens are raced at once.
const AT_ONCE: usize = 128;
/// How many nodes race.
const NODES: usize = 3;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_mins(10);

fn tokens() -> usize {
    scale::number("TOKENSOCKET_TOKENS", 100_000)
}

fn node(engine: &impl Engine) -> Server {
    builder().engine(engine).build().expect("a server")
}

/// Issues each token on one node and redeems it on all of them at once.
async fn race(nodes: [Server; NODES]) {
    let begun = Instant::now();
    let winners = stream::iter(0..tokens()).map(|number| {
        let nodes = &nodes;
        async move {
            let identity = Identity::new(json!(number));
            let token = nodes[number % NODES].issue_token(identity).await.expect("it is issued");
            let redeeming = nodes.iter().map(|node| node.redeem_token(token.clone()));
            let mut let_in: Vec<usize> = Vec::new();
            for (at, redeemed) in join_all(redeeming).await.into_iter().enumerate() {
                if let Some(identity) = redeemed.expect("the engine is there") {
                    assert_eq!(identity.parse::<usize>().unwrap(), number);
                    let_in.push(at);
                }
            }
            assert_eq!(let_in.len(), 1, "token {number} let in {let_in:?}");
            let again = nodes[(number + 1) % NODES].redeem_token(token).await;
            assert!(again.expect("the engine is there").is_none(), "token {number} is used up");
            let_in[0]
        }
    });
    let racing = winners.buffer_unordered(AT_ONCE).fold([0; NODES], |mut won, winner| async move {
        won[winner] += 1;
        won
    });
    let won = tokio::time::timeout(PATIENCE, racing).await.expect("in time");
    println!("{} tokens in {:.1} s, won by {won:?}", tokens(), begun.elapsed().as_secs_f64());
    assert!(won.iter().all(|won| *won > 0), "it was a race");
}

#[cfg(feature = "redis")]
mod redis {
    use tokensocket_server::{Redis, RedisOptions};
    use tokensocket_tests::engine;

    use super::*;

    async fn connect(url: &str) -> Server {
        let redis = Redis::connect(url, RedisOptions::new()).await.expect("it is there");
        node(&redis.namespace("tests").expect("a name"))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_token_lets_in_one_of_three_nodes_of_a_redis() {
        let redis = engine::Redis::start().await;
        let url = redis.url();
        race([connect(&url).await, connect(&url).await, connect(&url).await]).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_token_lets_in_one_of_three_nodes_of_a_redis_cluster() {
        let redis = engine::RedisCluster::start().await;
        let url = redis.url();
        race([connect(&url).await, connect(&url).await, connect(&url).await]).await;
    }
}

#[cfg(feature = "nats")]
mod nats {
    use tokensocket_server::{Nats, NatsOptions};
    use tokensocket_tests::engine;

    use super::*;

    async fn connect(url: &str) -> Server {
        let nats = Nats::connect(url, NatsOptions::new()).await.expect("it is there");
        node(&nats.namespace("tests"))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_token_lets_in_one_of_three_nodes_of_a_nats() {
        let nats = engine::Nats::start().await;
        let url = nats.url();
        race([connect(&url).await, connect(&url).await, connect(&url).await]).await;
    }
}
