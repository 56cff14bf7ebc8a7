//! What streams keep of channels.

use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_server::{
    Broker, Epoch, History, HistoryQuery, NatsOptions, Position, Publish, RawJson, Timestamp,
};
use tokensocket_tests::engine::{self, Fate, NatsWay};
use tokio::time::timeout;

use crate::node::{LIMIT, Node, channel, kept, publish};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_server_has_lost_begins_another_epoch() {
    let server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    let mut before = Position { epoch: Epoch::new("none").unwrap(), offset: 0 };
    for n in 1..=5 {
        before = one.publish("a", n).await.unwrap().position.unwrap();
    }
    two.read("a").await;
    // The stream is gone, as after a disk that was replaced.
    let client = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(client);
    streams.delete_stream("ts_default_history-0").await.unwrap();
    let after = one.publish("a", 6).await.unwrap().position.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.offset, 1);
    let query = HistoryQuery { since: Some(before), ..HistoryQuery::default() };
    let page = two.broker.history(&channel("a"), &kept(), query, Timestamp::now()).await.unwrap();
    assert!(page.gap);
    assert_eq!((page.publications.len(), page.position), (1, after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_channel_that_is_followed_keeps_its_epoch_and_old_messages_go() {
    let server = engine::Nats::start().await;
    let node = Node::new(&server.url()).await;
    let few = History::new(3, Duration::from_mins(10));
    for n in 0..3000 {
        node.broker.publish(publish("a", n, Some(few.clone()))).await.unwrap();
    }
    let client = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(client);
    let mut stream = streams.get_stream("ts_default_history-0").await.unwrap();
    assert!(stream.info().await.unwrap().state.messages <= 12);
    // Another channel keeps more: the stream does so for all, and what one does not need is dropped by and by.
    node.broker.publish(publish("b", 1, Some(kept()))).await.unwrap();
    assert!(stream.info().await.unwrap().config.max_messages_per_subject > 10_000);
    for n in 0..1500 {
        node.broker.publish(publish("a", n, Some(few.clone()))).await.unwrap();
    }
    let stored = stream.info().await.unwrap().state.messages;
    if node.purges() {
        assert!(stored < 1100, "{stored}");
    } else {
        assert!((1500..1600).contains(&stored), "as much as the widest channel asks for: {stored}");
    }
    let page =
        node.broker.history(&channel("a"), &few, HistoryQuery::default(), Timestamp::now()).await.unwrap();
    assert_eq!((page.publications.len(), page.position.offset), (3, 4500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_that_another_node_made_smaller_is_made_larger_again() {
    let server = engine::Nats::start().await;
    let node = Node::new(&server.url()).await;
    node.publish("a", 0).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(client);
    let mut stream = streams.get_stream("ts_default_history-0").await.unwrap();
    let most = async |stream: &mut async_nats::jetstream::stream::Stream| {
        stream.info().await.unwrap().config.max_messages_per_subject
    };
    assert!(most(&mut stream).await > 10_000);
    // Another one looked before this node made it larger, and changes it after.
    let mut config = stream.cached_info().config.clone();
    config.max_messages_per_subject = 100;
    streams.update_stream(config).await.unwrap();
    let growing = async {
        while most(&mut stream).await <= 10_000 {
            node.publish("a", 1).await.unwrap();
        }
    };
    timeout(LIMIT, growing).await.expect("it is found out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_that_will_not_grow_serves_those_for_whom_it_is_enough() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let options = NatsOptions::new().timeout(Duration::from_secs(1));
    let node = Node::with(&format!("nats://{}", way.address), options).await;
    node.publish("a", 1).await.unwrap();
    way.plan("$JS.API.STREAM.UPDATE.", Fate::Lost, usize::MAX);
    let more = History::new(50_000, Duration::from_hours(1));
    node.broker.publish(publish("b", 1, Some(more))).await.unwrap_err();
    node.publish("a", 2).await.expect("it is kept as well as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_account_has_the_room_again_of_what_channels_drop() {
    let server = engine::Nats::with(engine::Settings::new().storage(8 << 20)).await;
    let node = Node::new(&server.url()).await;
    let wide = History::new(2000, Duration::from_mins(10));
    node.broker.publish(publish("wide", 1, Some(wide))).await.unwrap();
    let few = History::new(3, Duration::from_mins(10));
    let text = RawJson::new(&"x".repeat(2000)).unwrap();
    // Three times as much as there is room for.
    for n in 0..12_000 {
        let one = Publish { message: text.clone(), ..publish("a", n, Some(few.clone())) };
        node.broker.publish(one).await.unwrap_or_else(|error| panic!("publication {n}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asks_of_a_stream_that_does_not_answer_waits_for_nobody_else() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let options = NatsOptions::new().timeout(Duration::from_secs(1));
    let node = Node::with(&format!("nats://{}", way.address), options).await;
    way.plan("$JS.API.STREAM.INFO.ts_default_history-0", Fate::Lost, usize::MAX);
    let names: Vec<_> = (0..20).map(|n| format!("channel {n}")).collect();
    let published = join_all(names.iter().map(|name| node.publish(name, 1)));
    let published = timeout(Duration::from_secs(8), published).await.expect("an answer each");
    assert!(published.iter().all(Result::is_err));
    way.clear();
    timeout(LIMIT, node.publish("channel 1", 2)).await.unwrap().unwrap();
}
