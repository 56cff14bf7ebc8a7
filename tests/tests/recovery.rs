//! Coming back to a channel with history: what was missed comes before anything new, once, or the client is told
//! that it must look for itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{
    Channel, ChannelOptions, Filtered, History, Position, RawJson, RpcError, ServerBuilder,
};
use tokensocket_tests::limit::until;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};

const HOUR: Duration = Duration::from_hours(1);

fn keeping(count: usize) -> ServerBuilder {
    builder().channels("news", ChannelOptions::new().history(History::new(count, HOUR)))
}

async fn publish(node: &Node, numbers: std::ops::RangeInclusive<u64>) -> Position {
    let mut position = None;
    for n in numbers {
        position = node.server.publish("news", n).await.unwrap().position;
    }
    position.expect("the channel keeps history")
}

/// Subscribes, and returns the confirmation's data.
async fn subscribe(client: &mut Client, request: Value) -> Value {
    client.start("_subscribe", request).await;
    let told = client.find("the subscription", |message| message["command"] == "subscribe").await;
    told["data"].clone()
}

async fn recover(client: &mut Client, position: &Position) -> Value {
    let place = json!({ "epoch": position.epoch.as_str(), "offset": position.offset });
    subscribe(client, json!({ "channel": "news", "recover": place })).await
}

fn at(position: &Position, offset: u64) -> Position {
    Position { offset, ..position.clone() }
}

#[tokio::test]
async fn a_follower_learns_its_place_and_what_it_missed_before_anything_new() {
    let node = Node::start(keeping(100)).await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        let top = publish(&node, 1..=2).await;
        let data = subscribe(&mut client, json!({ "channel": "news" })).await;
        assert_eq!(data["offset"], top.offset, "{data}");
        assert_eq!(data["epoch"], top.epoch.as_str());
        assert_eq!(data.get("recovered"), None);
        drop(client);
        publish(&node, 3..=4).await;
        let mut again = Client::ready(&node, framing).await;
        let data = recover(&mut again, &top).await;
        let missed: Vec<_> = [(1, 3), (2, 4)]
            .map(|(offset, message)| json!({ "offset": top.offset + offset, "message": message }))
            .into();
        assert_eq!(data["recovered"], true, "{data}");
        assert_eq!(data["publications"], Value::from(missed));
        assert_eq!(data["offset"], top.offset + 2);
        publish(&node, 5..=5).await;
        again.expect(json!({ "channel": "news", "message": 5, "offset": top.offset + 3 })).await;
    }
}

#[tokio::test]
async fn one_who_missed_nothing_recovers_with_nothing() {
    let node = Node::start(keeping(100)).await;
    let top = publish(&node, 1..=2).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let data = recover(&mut client, &top).await;
    assert_eq!((&data["recovered"], &data["publications"]), (&json!(true), &json!([])), "{data}");
}

#[tokio::test]
async fn one_who_missed_more_than_is_kept_is_told_and_goes_on_from_now() {
    let node = Node::start(keeping(3)).await;
    let top = publish(&node, 1..=9).await;
    let other = Position { epoch: tokensocket_server::Epoch::new("other").unwrap(), offset: 9 };
    for place in [at(&top, 5), at(&top, 10), other] {
        let mut client = Client::ready(&node, Framing::Raw).await;
        let data = recover(&mut client, &place).await;
        assert_eq!(data["recovered"], false, "{data}");
        assert_eq!((data.get("publications"), &data["offset"]), (None, &json!(9)));
        client.expect_alive().await;
    }
    let mut client = Client::ready(&node, Framing::Raw).await;
    assert_eq!(recover(&mut client, &at(&top, 6)).await["recovered"], true, "three are kept");
}

#[tokio::test]
async fn recovery_may_be_switched_off_and_is_refused_where_nothing_is_kept() {
    let off =
        builder().channels("news", ChannelOptions::new().history(History::new(10, HOUR)).recovery(false));
    let node = Node::start(off).await;
    let top = publish(&node, 1..=3).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let data = recover(&mut client, &at(&top, 1)).await;
    assert_eq!((&data["recovered"], &data["offset"]), (&json!(false), &json!(3)), "{data}");
    let place = json!({ "epoch": "e", "offset": 1 });
    let data = subscribe(&mut client, json!({ "channel": "plain", "recover": place })).await;
    assert_eq!((&data["recovered"], data.get("offset")), (&json!(false), None), "{data}");
}

#[tokio::test]
async fn a_subscription_by_the_server_tells_the_place() {
    let node = Node::start(keeping(10)).await;
    let top = publish(&node, 1..=3).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let socket = node.server.sockets().remove(0);
    socket.subscribe("news").await.unwrap();
    let data = json!({ "channel": "news", "epoch": top.epoch.as_str(), "offset": 3 });
    client.expect(json!({ "internal": true, "command": "subscribe", "data": data })).await;
    publish(&node, 4..=4).await;
    client.expect(json!({ "channel": "news", "message": 4, "offset": 4 })).await;
}

#[tokio::test]
async fn the_filter_sees_what_is_recovered() {
    let filter = |_: &_, _: &Channel, message: &RawJson| match message.as_str() {
        "2" => Filtered::Drop,
        "3" => Filtered::Replace(RawJson::new("three").unwrap()),
        _ => Filtered::Keep,
    };
    let node = Node::start(keeping(10).filter(filter)).await;
    let top = publish(&node, 1..=4).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let data = recover(&mut client, &at(&top, 0)).await;
    let expected = json!([
        { "offset": 1, "message": 1 },
        { "offset": 3, "message": "three" },
        { "offset": 4, "message": 4 },
    ]);
    assert_eq!((&data["publications"], &data["recovered"]), (&expected, &json!(true)));
    publish(&node, 2..=3).await;
    client.expect(json!({ "channel": "news", "message": "three", "offset": 6 })).await;
}

#[tokio::test]
async fn a_slow_follower_whose_oldest_are_dropped_recovers_when_it_comes_back() {
    const COUNT: u64 = 300;
    let history = History::new(1000, HOUR).bytes(32 << 20);
    let thinned = builder()
        .channels("news", ChannelOptions::new().history(history))
        .outbox(64, 64 << 20)
        .drop_oldest_on(|_| true);
    let node = Node::start(thinned).await;
    let mut slow = Client::ready(&node, Framing::Raw).await;
    let data = subscribe(&mut slow, json!({ "channel": "news" })).await;
    let text = "x".repeat(50_000);
    let mut top = None;
    for _ in 0..COUNT {
        top = node.server.publish("news", &text).await.unwrap().position;
    }
    let top = top.unwrap();
    let (mut seen, mut count) = (0, 0);
    while seen < top.offset {
        let message = slow.next().await;
        let offset = message["offset"].as_u64().unwrap();
        assert!(offset > seen, "{offset} behind {seen}");
        (seen, count) = (offset, count + 1);
    }
    assert!(count < COUNT, "none was dropped");
    drop(slow);
    let begin = at(&top, data["offset"].as_u64().unwrap());
    let mut again = Client::ready(&node, Framing::Raw).await;
    let data = recover(&mut again, &begin).await;
    assert_eq!(data["publications"].as_array().unwrap().len() as u64, COUNT);
}

#[tokio::test]
async fn what_was_answered_before_goes_out_before_the_confirmation() {
    let node = Node::start(keeping(10)).await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        let mut expected = Vec::new();
        for n in 0..50 {
            client.start("_ping", json!({})).await;
            client.start("_subscribe", json!({ "channel": "news" })).await;
            client.start("_unsubscribe", json!({ "channel": "news" })).await;
            expected.extend([3 * n + 1, 3 * n + 2, 3 * n + 3].map(|n| format!("u{n}")));
        }
        let mut answered = Vec::new();
        while answered.len() < expected.len() {
            let message = client.next().await;
            let uuid = message.get("uuid").or_else(|| message["data"].get("uuid"));
            answered.extend(uuid.map(|uuid| uuid.as_str().unwrap().to_owned()));
        }
        assert_eq!(answered, expected);
    }
}

#[tokio::test]
async fn a_subscription_behind_a_slow_hook_keeps_its_turn() {
    let slow = keeping(10).on_subscribe(async |_, _| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, RpcError>(())
    });
    let node = Node::start(slow).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("_subscribe", json!({ "channel": "news" })).await;
    client.start("_publish", json!({ "channel": "news", "data": 1 })).await;
    assert_eq!(client.next().await["command"], "subscribe");
    client.expect(json!({ "channel": "news", "message": 1, "offset": 1 })).await;
    assert_eq!(client.next().await["uuid"], "u2");
}

#[tokio::test]
async fn one_who_subscribes_twice_is_one_follower() {
    let node = Node::start(keeping(10)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let first = subscribe(&mut client, json!({ "channel": "news" })).await;
    publish(&node, 1..=1).await;
    client.expect(json!({ "channel": "news", "message": 1, "offset": 1 })).await;
    let second = subscribe(&mut client, json!({ "channel": "news" })).await;
    assert_eq!((&second["offset"], &second["epoch"]), (&json!(1), &first["epoch"]));
    publish(&node, 2..=2).await;
    client.expect(json!({ "channel": "news", "message": 2, "offset": 2 })).await;
    client.start("_unsubscribe", json!({ "channel": "news" })).await;
    until("nobody follows", || node.server.channels().is_empty()).await;
    publish(&node, 3..=3).await;
    assert_eq!(client.next().await["command"], "unsubscribe");
    assert_eq!(client.next().await["resp"], "success");
    client.expect_alive().await;
}
