//! The engine is away for far longer than a store may take, and what is published meanwhile waits: whoever publishes is
//! told what became of it, and not that nobody knows.

#![cfg(any(feature = "nats", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::json;
use tokensocket_client::PublishOptions;
use tokensocket_server::{
    BrokerError, ChannelOptions, EngineStatus, ErrorCode, History, Outage, PublishError, RpcError,
    ServerBuilder, StoreError,
};
use tokensocket_tests::engine::{Engine, Keep, Kind, Settings};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{connected, native};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::of_each_engine;
use tokensocket_tests::wire::Client;
use tokio::time::{sleep, timeout};

/// How long a store may take; and an outage.
const STORE: Duration = Duration::from_millis(100);
const AWAY: Duration = Duration::from_secs(6);
/// How many publications may wait.
const MOST: usize = 16;

of_each_engine! {
    a_publication_that_waited_for_the_engine_is_acknowledged_when_it_is_published
    a_server_that_ends_tells_who_still_waits_for_the_engine
}

type Status = Box<dyn Fn() -> EngineStatus>;

/// An engine, a node on it, and how it stands with the engine.
async fn start(kind: Kind) -> (Engine, Node, Status) {
    let engine = Engine::start(kind, Settings::new().keep(Keep::Always)).await;
    let (builder, status) = on(&engine.url(), builder()).await;
    let history = History::new(1000, Duration::from_hours(1));
    let builder = builder.channels("news.>", ChannelOptions::new().history(history)).store_timeout(STORE);
    (engine, Node::start(builder).await, status)
}

async fn on(url: &str, builder: ServerBuilder) -> (ServerBuilder, Status) {
    let outage = Outage::Buffer { messages: MOST, bytes: 1 << 20 };
    #[cfg(feature = "redis")]
    if url.starts_with("redis") {
        use tokensocket_server::{Redis, RedisOptions};

        let redis = Redis::connect(url, RedisOptions::new().outage(outage)).await.unwrap();
        let builder = builder.engine(&redis.namespace("tests").unwrap());
        return (builder, Box::new(move || redis.status()));
    }
    #[cfg(feature = "nats")]
    if url.starts_with("nats") {
        use tokensocket_server::{Nats, NatsOptions};

        let nats = Nats::connect(url, NatsOptions::new().outage(outage)).await.unwrap();
        let builder = builder.engine(&nats.namespace("tests"));
        return (builder, Box::new(move || nats.status()));
    }
    panic!("no engine that is built in speaks {url}");
}

async fn a_publication_that_waited_for_the_engine_is_acknowledged_when_it_is_published(kind: Kind) {
    let (mut engine, node, status) = start(kind).await;
    let mut follower = Client::hello(&node).await;
    let mut publisher = Client::hello(&node).await;
    let native = connected(native(node.address).call_timeout(Duration::from_mins(1))).await;
    follower.subscribe("news.a").await;
    node.server.publish("news.a", 0).await.unwrap();
    assert_eq!(follower.next().await["message"], 0);
    engine.kill();
    until("the engine to be missed", || status().away.is_some()).await;

    // By the application, by a client's wire and by our own client, in this order.
    let mut by_server = Box::pin(join_all((1..=4).map(|n| node.server.publish("news.a", n))));
    assert!(timeout(Duration::ZERO, &mut by_server).await.is_err());
    let mut asked = Vec::new();
    for n in 5..=8 {
        asked.push(publisher.start("_publish", json!({ "channel": "news.a", "data": n })).await);
    }
    // Behind these, on another connection, is whatever comes when they are known to be there.
    publisher.call("_ping", json!({})).await;
    let mut by_native = Box::pin(async {
        let options = PublishOptions::new;
        tokio::join!(
            native.publish_with("plain", &"late", options()),
            native.publish_with("news.a", &9, options())
        )
    });
    tokio::select! {
        biased;
        told = &mut by_server => panic!("{told:?}"),
        told = &mut by_native => panic!("{told:?}"),
        told = publisher.next() => panic!("{told}"),
        () = sleep(AWAY) => {}
    }
    // What is beyond the bound is refused, and at once.
    let mut more: Vec<_> = (0..=MOST).map(|n| Box::pin(node.server.publish("others", n))).collect();
    let refused: Vec<_> = more.iter_mut().filter_map(FutureExt::now_or_never).collect();
    assert!((1..=MOST).contains(&refused.len()), "{refused:?}");
    for told in refused {
        let code = RpcError::from(told.expect_err("there is no engine")).code();
        assert_eq!(code, ErrorCode::Overloaded);
    }

    engine.start_again().await;
    let published = within("the application's", by_server).await;
    let offsets: Vec<_> = published.into_iter().map(|one| one.unwrap().position.unwrap().offset).collect();
    assert_eq!(offsets, [2, 3, 4, 5]);
    for (uuid, offset) in asked.iter().zip(6..) {
        let answer = publisher.answer(uuid).await;
        assert_eq!(answer["resp"]["offset"], offset, "{answer}");
    }
    let (plain, kept) = within("the client's", by_native).await;
    assert_eq!((plain.unwrap().position, kept.unwrap().position.unwrap().offset), (None, 10));
    for n in 1..=9 {
        let publication = follower.find("a publication", |message| !message["offset"].is_null()).await;
        assert_eq!((&publication["message"], &publication["offset"]), (&json!(n), &json!(n + 1)));
    }
    follower.expect_alive().await;
}

async fn a_server_that_ends_tells_who_still_waits_for_the_engine(kind: Kind) {
    let (mut engine, node, status) = start(kind).await;
    engine.kill();
    until("the engine to be missed", || status().away.is_some()).await;
    let server = node.server.clone();
    let mut publishing = Box::pin(server.publish("news.a", 1));
    assert!(timeout(STORE * 5, &mut publishing).await.is_err());
    let (published, ()) = within("the end", async { tokio::join!(publishing, node.server.shutdown()) }).await;
    let told = published.expect_err("it is not known");
    assert!(matches!(told, PublishError::Broker(BrokerError::Store(StoreError::Timeout))), "{told}");
}
