//! Following many channels at once: each publication once, in order, whatever else is followed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{Channel, ChannelOptions, Filtered, History, RpcError, ServerBuilder};
use tokensocket_tests::limit::until;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};

fn wild() -> ServerBuilder {
    builder().on_subscribe_pattern(async |_, _| Ok(()))
}

fn publication(channel: &str, message: u64) -> Value {
    json!({ "channel": channel, "message": message })
}

async fn publish(node: &Node, channel: &str, message: u64) {
    node.server.publish(channel, message).await.unwrap();
}

#[tokio::test]
async fn without_a_hook_a_pattern_is_a_channel_like_any_other() {
    let node = Node::start(builder()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("_subscribe", json!({ "channel": "news.*" })).await;
    let told = client.next().await;
    assert_eq!(told["data"].get("pattern"), None, "{told}");
    publish(&node, "news.a", 1).await;
    publish(&node, "news.*", 2).await;
    client.expect(publication("news.*", 2)).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn the_hook_decides_about_patterns_and_the_other_about_channels() {
    let builder =
        builder()
            .on_subscribe_pattern(async |_, pattern| {
                if pattern.as_str() == "news.*" { Ok(()) } else { Err(RpcError::forbidden()) }
            })
            .on_subscribe(
                async |_, channel| {
                    if channel.as_str() == "news.a" { Ok(()) } else { Err(RpcError::forbidden()) }
                },
            );
    let node = Node::start(builder).await;
    let mut client = Client::hello(&node).await;
    assert_eq!(client.call("_subscribe", json!({ "channel": ">" })).await["code"], "forbidden");
    assert_eq!(client.call("_subscribe", json!({ "channel": "news" })).await["code"], "forbidden");
    client.subscribe("news.a").await;
    client
        .start("_subscribe", json!({ "channel": "news.*", "recover": { "epoch": "e", "offset": 1 } }))
        .await;
    let told = client.find("the subscription", |message| message["command"] == "subscribe").await;
    assert_eq!(told["data"]["pattern"], true, "{told}");
    assert_eq!(told["data"]["recovered"], false, "nothing is recovered by patterns");
    assert_eq!(node.server.channels(), [Channel::new("news.a").unwrap()]);
}

#[tokio::test]
async fn a_publication_comes_once_however_it_is_followed() {
    for framing in Framing::ALL {
        for names in [
            ["news.a", "news.*", "news.>"],
            ["news.>", "news.*", "news.a"],
            [">", "news.a", "*.a"],
            ["news.*", "news.*", "news.a"],
        ] {
            let node = Node::start(wild()).await;
            let mut client = Client::ready(&node, framing).await;
            for (n, name) in (0..).zip(names) {
                client.subscribe(name).await;
                publish(&node, "news.a", n).await;
                client.expect(publication("news.a", n)).await;
            }
            publish(&node, "other", 1).await;
            if names.contains(&">") {
                client.expect(publication("other", 1)).await;
            }
            for (n, name) in (10..).zip(names) {
                client.call("_unsubscribe", json!({ "channel": name })).await;
                client.find("the unsubscription", |message| message["command"] == "unsubscribe").await;
                publish(&node, "news.a", n).await;
                if !node.server.sockets()[0].channels().is_empty() {
                    client.expect(publication("news.a", n)).await;
                }
            }
            client.expect_alive().await;
        }
    }
}

#[tokio::test]
async fn patterns_cover_channels_that_come_later_and_the_filter_sees_all() {
    let filter = |_: &_, channel: &Channel, _: &_| {
        if channel.as_str() == "news.secret" { Filtered::Drop } else { Filtered::Keep }
    };
    let node = Node::start(wild().filter(filter)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("news.>").await;
    for n in 0..100 {
        let channel = format!("news.{n}");
        publish(&node, &channel, n).await;
        publish(&node, "news.secret", n).await;
        client.expect(publication(&channel, n)).await;
    }
    assert!(node.server.channels().is_empty(), "nobody follows any of them by name");
}

#[tokio::test]
async fn followers_by_pattern_get_offsets_and_followers_by_name_recover_beside_them() {
    let history = History::new(100, Duration::from_hours(1));
    let node = Node::start(wild().channels("news.>", ChannelOptions::new().history(history))).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("news.*").await;
    let first = node.server.publish("news.a", 1).await.unwrap().position.unwrap();
    client.expect(json!({ "channel": "news.a", "message": 1, "offset": 1 })).await;
    let mut other = Client::ready(&node, Framing::Raw).await;
    let place = json!({ "epoch": first.epoch.as_str(), "offset": 0 });
    other.start("_subscribe", json!({ "channel": "news.a", "recover": place })).await;
    let told = other.next().await;
    assert_eq!(told["data"]["publications"], json!([{ "offset": 1, "message": 1 }]), "{told}");
    // The one by pattern now follows by name too.
    client.subscribe("news.a").await;
    publish(&node, "news.a", 2).await;
    for client in [&mut client, &mut other] {
        client.expect(json!({ "channel": "news.a", "message": 2, "offset": 2 })).await;
    }
    client.call("_unsubscribe", json!({ "channel": "news.a" })).await;
    publish(&node, "news.a", 3).await;
    client.find("what it gets by the pattern", |message| message["offset"] == 3).await;
}

#[tokio::test]
async fn a_pattern_is_left_by_everybody_when_the_server_says_so() {
    let node = Node::start(wild()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("news.*").await;
    client.subscribe("news.a").await;
    node.server.unsubscribe_all("news.*").await.unwrap();
    client
        .expect(json!({ "internal": true, "command": "unsubscribe", "data": { "channel": "news.*" } }))
        .await;
    publish(&node, "news.b", 1).await;
    publish(&node, "news.a", 2).await;
    client.expect(publication("news.a", 2)).await;
    drop(client);
    until("the channel is gone", || node.server.channels().is_empty()).await;
}

#[tokio::test]
async fn patterns_count_among_the_channels_a_socket_may_follow() {
    let node = Node::start(wild().max_channels_per_socket(1)).await;
    let mut client = Client::hello(&node).await;
    client.subscribe("news.*").await;
    assert_eq!(client.call("_subscribe", json!({ "channel": "a" })).await["code"], "rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_see_one_order_while_patterns_and_channels_come_and_go() {
    const EACH: u64 = 300;
    let node = Node::start(wild()).await;
    let mut followers = Vec::new();
    for name in ["c.a", "c.*", ">", "c.>"] {
        let mut client = Client::ready(&node, Framing::SockJs).await;
        client.subscribe(name).await;
        followers.push(client);
    }
    // Follows by one way at least at any time.
    let mut changing = Client::ready(&node, Framing::Raw).await;
    changing.subscribe("c.*").await;
    let publishers: Vec<_> = (0..3)
        .map(|publisher| {
            let server = node.server.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    server.publish("c.a", [publisher, n]).await.unwrap();
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
            })
        })
        .collect();
    let other = tokio::spawn({
        let server = node.server.clone();
        async move {
            // Many channels that nobody follows by name.
            for n in 0..20_000 {
                server.publish(format!("d.{n}"), n).await.unwrap();
            }
        }
    });
    let ways = ["c.*", "*.a", "c.a"];
    for n in 0..60 {
        // Comes by the next way before it goes by the last.
        changing.subscribe(ways[(n + 1) % 3]).await;
        changing.start("_unsubscribe", json!({ "channel": ways[n % 3] })).await;
        changing.find("the unsubscription", |message| message["command"] == "unsubscribe").await;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    other.await.unwrap();
    followers.push(changing);
    let mut orders = Vec::new();
    for follower in &mut followers {
        let mut order = Vec::new();
        while order.len() < 3 * usize::try_from(EACH).unwrap() {
            let message = follower.find("a publication", |message| message["channel"] == "c.a").await;
            order.push(message["message"].clone());
        }
        orders.push(order);
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
}
