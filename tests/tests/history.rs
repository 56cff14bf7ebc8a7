//! What channels keep: offsets, limits, who may read it, and keys that make it safe to publish again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{
    BrokerError, BuildError, ChannelOptions, History, HistoryError, HistoryQuery, MemoryBroker, Position,
    PublishError, PublishOptions, Published, RpcError, ServerBuilder,
};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};

const HOUR: Duration = Duration::from_hours(1);

fn keeping(count: usize) -> ServerBuilder {
    builder().channels("news.>", ChannelOptions::new().history(History::new(count, HOUR)))
}

async fn publish(node: &Node, channel: &str, numbers: std::ops::RangeInclusive<u64>) -> Position {
    let mut position = None;
    for n in numbers {
        position = node.server.publish(channel, n).await.unwrap().position;
    }
    position.expect("the channel keeps history")
}

/// The offsets and messages of a page.
fn pairs(resp: &Value) -> Vec<(u64, u64)> {
    let all = resp["publications"].as_array().unwrap();
    all.iter().map(|one| (one["offset"].as_u64().unwrap(), one["message"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn publications_on_a_channel_with_history_carry_their_offset_and_others_do_not() {
    let node = Node::start(keeping(10)).await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client.subscribe("news.sport").await;
        client.subscribe("other").await;
        let position = publish(&node, "news.sport", 1..=1).await;
        assert_eq!(node.server.publish("other", 1).await.unwrap(), Published::default());
        client.expect(json!({ "channel": "news.sport", "message": 1, "offset": position.offset })).await;
        client.expect(json!({ "channel": "other", "message": 1 })).await;
    }
}

#[tokio::test]
async fn a_publisher_that_said_hello_learns_the_place_and_others_get_success() {
    let node = Node::start(keeping(10)).await;
    let mut modern = Client::hello(&node).await;
    let mut original = Client::ready(&node, Framing::Raw).await;
    let request = json!({ "channel": "news.a", "data": 1 });
    let first = modern.call("_publish", request.clone()).await;
    assert_eq!(first["resp"]["offset"], 1, "{first}");
    assert_eq!(original.call("_publish", request.clone()).await["resp"], "success");
    let third = modern.call("_publish", request).await;
    assert_eq!(third["resp"]["offset"], 3, "{third}");
    assert_eq!(third["resp"]["epoch"], first["resp"]["epoch"]);
    assert_eq!(modern.call("_publish", json!({ "channel": "b", "data": 1 })).await["resp"], "success");
}

#[tokio::test]
async fn the_server_reads_forward_backward_and_page_by_page() {
    let node = Node::start(keeping(5)).await;
    let position = publish(&node, "news.a", 1..=8).await;
    let read = async |query| node.server.history("news.a", query).await.unwrap();
    let offsets = |page: &tokensocket_server::HistoryPage| {
        page.publications.iter().map(|kept| kept.offset).collect::<Vec<_>>()
    };
    let all = read(HistoryQuery::default()).await;
    assert_eq!(
        (offsets(&all), all.position.clone(), all.gap, all.more),
        (vec![4, 5, 6, 7, 8], position, false, false)
    );
    assert_eq!(all.publications[0].message.as_str(), "4");
    let since = |offset| Some(Position { offset, ..all.position.clone() });
    let behind = read(HistoryQuery { since: since(6), ..HistoryQuery::default() }).await;
    assert_eq!((offsets(&behind), behind.gap), (vec![7, 8], false));
    let gone = read(HistoryQuery { since: since(2), limit: Some(2), ..HistoryQuery::default() }).await;
    assert_eq!((offsets(&gone), gone.gap, gone.more), (vec![4, 5], true, true));
    let back = read(HistoryQuery { since: since(6), limit: Some(2), reverse: true }).await;
    assert_eq!((offsets(&back), back.gap, back.more), (vec![6, 5], false, true));
}

#[tokio::test]
async fn history_is_bounded_in_count_bytes_and_age() {
    const SHORT: Duration = Duration::from_millis(100);
    let small = ChannelOptions::new().history(History::new(100, HOUR).bytes(3 * (10 + 64)));
    let short = ChannelOptions::new().history(History::new(100, SHORT));
    let node = Node::start(builder().channels("small", small).channels("short", short)).await;
    for _ in 0..4 {
        node.server.publish("small", "x".repeat(8)).await.unwrap();
        node.server.publish("short", "x").await.unwrap();
    }
    let read = async |channel| node.server.history(channel, HistoryQuery::default()).await.unwrap();
    let offsets: Vec<_> = read("small").await.publications.iter().map(|kept| kept.offset).collect();
    assert_eq!(offsets, [2, 3, 4], "three times ten bytes, and what stands around them");
    tokio::time::sleep(SHORT + SHORT / 2).await;
    let page = read("short").await;
    assert!(page.publications.is_empty());
    assert_eq!(page.position.offset, 4);
}

#[tokio::test]
async fn a_history_of_many_small_messages_is_recovered_within_half_an_outbox() {
    let history = History::new(100_000, HOUR).bytes(32 << 10);
    let small = builder().channels("a", ChannelOptions::new().history(history)).outbox(1024, 64 << 10);
    let node = Node::start(small).await;
    let mut top = None;
    for n in 0..5_000 {
        top = node.server.publish("a", n % 10).await.unwrap().position;
    }
    let top = top.unwrap();
    let kept = node.server.history("a", HistoryQuery::default()).await.unwrap().publications.len() as u64;
    let mut client = Client::hello(&node).await;
    let recover = json!({ "epoch": top.epoch, "offset": top.offset - kept });
    client.start("_subscribe", json!({ "channel": "a", "recover": recover })).await;
    let told = client.find("the subscription", |message| message["command"] == "subscribe").await;
    assert_eq!(told["data"]["recovered"], true);
    assert_eq!(told["data"]["publications"].as_array().unwrap().len() as u64, kept);
    assert!(told.to_string().len() <= 32 << 10, "{} bytes for {kept} messages", told.to_string().len());
}

#[test]
fn a_history_that_an_outbox_does_not_hold_is_refused() {
    let keeping = |bytes| {
        let history = History::new(10, HOUR).bytes(bytes);
        builder().channels("news.>", ChannelOptions::new().history(history)).outbox(1024, 256 << 10).build()
    };
    assert!(keeping(128 << 10).is_ok());
    let error = keeping((128 << 10) + 1).unwrap_err();
    assert!(matches!(error, BuildError::HistoryTooLarge { outbox: 262_144, .. }), "{error}");
}

#[tokio::test]
async fn the_first_pattern_counts_and_a_channel_without_history_says_so() {
    let quiet = builder()
        .channels("news.quiet", ChannelOptions::new())
        .channels("news.*", ChannelOptions::new().history(History::new(5, HOUR)));
    let node = Node::start(quiet).await;
    assert!(node.server.publish("news.loud", 1).await.unwrap().position.is_some());
    assert!(node.server.publish("news.quiet", 1).await.unwrap().position.is_none());
    assert!(node.server.publish("news.a.b", 1).await.unwrap().position.is_none());
    let read = node.server.history("news.quiet", HistoryQuery::default()).await;
    assert!(matches!(read, Err(HistoryError::NotKept)), "{read:?}");
    let mut client = Client::hello(&node).await;
    client.subscribe("news.quiet").await;
    assert_eq!(client.call("_history", json!({ "channel": "news.quiet" })).await["code"], "not_found");
}

#[tokio::test]
async fn a_client_reads_the_history_of_what_it_follows_within_the_limit() {
    let node = Node::start(keeping(100).max_history(3)).await;
    let position = publish(&node, "news.a", 1..=5).await;
    let mut client = Client::hello(&node).await;
    let refused = client.call("_history", json!({ "channel": "news.a" })).await;
    assert_eq!(refused["code"], "forbidden", "{refused}");
    client.subscribe("news.a").await;
    let answer = client.call("_history", json!({ "channel": "news.a", "limit": 1000 })).await;
    let resp = &answer["resp"];
    assert_eq!(pairs(resp), [(1, 1), (2, 2), (3, 3)]);
    assert_eq!(resp["more"], true, "{answer}");
    assert_eq!(resp["offset"], 5);
    assert_eq!(resp["epoch"], position.epoch.as_str());
    assert!(resp["publications"][0]["at"].as_u64().unwrap() > 1_700_000_000_000);
    let since = json!({ "epoch": position.epoch.as_str(), "offset": 3 });
    let rest = client.call("_history", json!({ "channel": "news.a", "since": since })).await;
    assert_eq!(pairs(&rest["resp"]), [(4, 4), (5, 5)]);
    assert_eq!(rest["resp"].get("more"), None, "{rest}");
    assert_eq!(rest["resp"].get("gap"), None, "{rest}");
    let last = client.call("_history", json!({ "channel": "news.a", "limit": 1, "reverse": true })).await;
    assert_eq!(pairs(&last["resp"]), [(5, 5)]);
    let other = json!({ "epoch": "another", "offset": 3 });
    let gap = client.call("_history", json!({ "channel": "news.a", "since": other })).await;
    assert_eq!(gap["resp"]["gap"], true, "{gap}");
}

#[tokio::test]
async fn a_hook_says_who_may_read_history() {
    let hooked = keeping(10).on_history(async |socket, channel| {
        let user: Value = socket.identity().parse().unwrap();
        let is_hers = channel.as_str() == format!("news.{}", user["user"].as_str().unwrap());
        if is_hers { Ok(()) } else { Err(RpcError::forbidden()) }
    });
    let node = Node::start(hooked).await;
    publish(&node, "news.ann", 1..=1).await;
    let mut ann = Client::hello(&node).await;
    assert_eq!(pairs(&ann.call("_history", json!({ "channel": "news.ann" })).await["resp"]), [(1, 1)]);
    ann.subscribe("news.bob").await;
    assert_eq!(ann.call("_history", json!({ "channel": "news.bob" })).await["code"], "forbidden");
}

#[tokio::test]
async fn the_same_key_is_one_publication() {
    let node = Node::start(keeping(10)).await;
    let mut follower = Client::ready(&node, Framing::Raw).await;
    let mut client = Client::hello(&node).await;
    for channel in ["news.a", "plain"] {
        follower.subscribe(channel).await;
        let request = |n: u64, key: &str| json!({ "channel": channel, "data": n, "key": key });
        let first = client.call("_publish", request(1, "k")).await["resp"].clone();
        let again = client.call("_publish", request(2, "k")).await["resp"].clone();
        client.call("_publish", request(3, "l")).await;
        assert_eq!(again["duplicate"], true, "{again}");
        if channel == "news.a" {
            assert_eq!((&again["offset"], &again["epoch"]), (&json!(1), &first["epoch"]));
        } else {
            assert_eq!(first, "success");
            assert_eq!(again, json!({ "duplicate": true }));
        }
        assert_eq!(follower.next().await["message"], 1);
        assert_eq!(follower.next().await["message"], 3);
        // A key belongs to its channel.
        let elsewhere = json!({ "channel": format!("{channel}.b"), "data": 1, "key": "k" });
        assert_ne!(client.call("_publish", elsewhere).await["resp"]["duplicate"], true);
    }
    follower.expect_alive().await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_window() {
    let node = Node::start(keeping(10)).await;
    let short = Duration::from_millis(100);
    let options = |key, window| PublishOptions::new().key(key).key_window(window);
    let publish =
        async |key, window| node.server.publish_with("news.a", 1, options(key, window)).await.unwrap();
    for (key, window) in [("long", HOUR), ("short", short)] {
        assert!(!publish(key, window).await.duplicate);
    }
    tokio::time::sleep(short + short / 2).await;
    assert!(publish("long", HOUR).await.duplicate);
    assert!(!publish("short", short).await.duplicate);
    let too_long = PublishOptions::new().key("x".repeat(129));
    let refused = node.server.publish_with("news.a", 1, too_long).await;
    assert!(matches!(refused, Err(PublishError::InvalidKey)), "{refused:?}");
    let mut client = Client::hello(&node).await;
    let refused = client.call("_publish", json!({ "channel": "c", "data": 1, "key": "" })).await;
    assert_eq!(refused["code"], "bad_request", "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_publishers_at_once_with_one_key_one_publishes() {
    let node = Node::start(keeping(1000)).await;
    for round in 0..50 {
        let publishers: Vec<_> = (0..8)
            .map(|n| {
                let server = node.server.clone();
                let options = PublishOptions::new().key(format!("k{round}"));
                tokio::spawn(async move { server.publish_with("news.a", n, options).await.unwrap() })
            })
            .collect();
        let mut fresh = 0;
        for publisher in publishers {
            let published = publisher.await.unwrap();
            assert_eq!(published.position.unwrap().offset, round + 1);
            fresh += usize::from(!published.duplicate);
        }
        assert_eq!(fresh, 1);
    }
}

#[tokio::test]
async fn the_memory_broker_bounds_channels_and_bytes() {
    let broker = MemoryBroker::new().max_channels(2).max_history_bytes(2 * (10 + 64) + 5);
    let node = Node::start(keeping(100).broker(broker)).await;
    let publish = async |channel: &str| node.server.publish(channel, "12345678").await;
    publish("news.a").await.unwrap();
    publish("news.b").await.unwrap();
    let refused = publish("news.c").await;
    assert!(matches!(refused, Err(PublishError::Broker(BrokerError::TooMany(_)))), "{refused:?}");
    let mut client = Client::hello(&node).await;
    let refused = client.call("_publish", json!({ "channel": "news.c", "data": 1 })).await;
    assert_eq!(refused["code"], "overloaded", "{refused}");
    publish("news.a").await.unwrap();
    let page = node.server.history("news.a", HistoryQuery::default()).await.unwrap();
    let offsets: Vec<_> = page.publications.iter().map(|kept| kept.offset).collect();
    assert_eq!(offsets, [2], "its own oldest made room");
    let page = node.server.history("news.b", HistoryQuery::default()).await.unwrap();
    assert_eq!(page.publications.len(), 1, "another's did not");
}
