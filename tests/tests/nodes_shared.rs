//! What several nodes share: deliveries to devices and presence, whichever node a connection is to.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{ChannelOptions, Counts, DeliverOptions, Presence, QueueLimits, ServerBuilder, To};
use tokensocket_tests::bus::{Bus, Cluster};
use tokensocket_tests::device::{builder, connect, connect_with, internal};
use tokensocket_tests::limit::until;
use tokensocket_tests::wire::Client;

async fn deliver(cluster: &Cluster, node: usize, n: u64) {
    let delivered = cluster.server(node).deliver(To::user("8"), "n", n, DeliverOptions::new()).await;
    assert_eq!(delivered.expect("it is kept").devices, 1);
}

/// The next `count` deliveries, in order, each once, and nothing else.
async fn take(client: &mut Client, from: u64, count: u64) {
    for n in from..from + count {
        let delivery = internal(client, "deliver").await;
        assert_eq!((&delivery["id"], &delivery["args"]), (&json!(n), &json!([n])), "{delivery}");
    }
}

async fn phone(cluster: &Cluster, node: usize) -> Client {
    connect(&cluster.nodes[node], "user=8", Some("phone")).await.0
}

#[tokio::test]
async fn a_delivery_of_any_node_reaches_a_device_once_and_in_order() {
    let cluster = Cluster::start(3, builder).await;
    let mut client = phone(&cluster, 1).await;
    for n in 1..=60 {
        deliver(&cluster, usize::try_from(n).unwrap() % 3, n).await;
    }
    take(&mut client, 1, 60).await;
    client.expect_alive().await;
    assert_eq!(cluster.seats[1].hints(), 40, "of the two others");
    assert_eq!(cluster.seats[0].hints() + cluster.seats[2].hints(), 0);
    // What it has on one node is not sent again by another.
    let answer = client.call("_ack", json!({ "id": 60 })).await;
    assert_eq!(answer["resp"], "success");
    drop(client);
    let mut client = phone(&cluster, 2).await;
    let batch = internal(&mut client, "batch").await;
    assert_eq!(batch["items"].as_array().unwrap().len(), 59);
    deliver(&cluster, 0, 61).await;
    take(&mut client, 61, 1).await;
}

#[tokio::test]
async fn hints_that_come_twice_or_without_the_message_change_nothing() {
    for bare in [false, true] {
        let cluster = Cluster::start(2, builder).await;
        cluster.seats[1].double_hints();
        if bare {
            cluster.seats[1].bare_hints();
        }
        let mut client = phone(&cluster, 1).await;
        for n in 1..=30 {
            deliver(&cluster, 0, n).await;
        }
        take(&mut client, 1, 30).await;
        client.expect_alive().await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn what_hints_were_lost_of_comes_before_what_is_new() {
    let cluster = Cluster::start(2, builder).await;
    let mut client = phone(&cluster, 1).await;
    deliver(&cluster, 0, 1).await;
    take(&mut client, 1, 1).await;
    cluster.seats[1].lose_hints(true);
    for n in 2..=4 {
        deliver(&cluster, 0, n).await;
    }
    client.expect_quiet().await;
    // One of its own node shows that others are missing.
    deliver(&cluster, 1, 5).await;
    take(&mut client, 2, 4).await;
    deliver(&cluster, 0, 6).await;
    client.expect_quiet().await;
    // The store says that some were lost.
    cluster.seats[1].lose_hints(false);
    take(&mut client, 6, 1).await;
    deliver(&cluster, 0, 7).await;
    take(&mut client, 7, 1).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn a_gap_is_closed_for_all_devices() {
    let cluster = Cluster::start(2, builder).await;
    let mut clients = Vec::new();
    for n in 0..200 {
        clients.push(connect(&cluster.nodes[1], &format!("user={n}"), Some("d")).await.0);
    }
    cluster.seats[1].lose_hints(true);
    let all = cluster.server(0).deliver(To::everyone(), "n", 1, DeliverOptions::new()).await.unwrap();
    assert_eq!(all.devices, 200);
    cluster.seats[1].lose_hints(false);
    cluster.seats[1].mend();
    for client in &mut clients {
        take(client, 1, 1).await;
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_device_hears_of_a_resync_once_whoever_brought_it_about() {
    let limits = QueueLimits { count: 2, ..QueueLimits::default() };
    let cluster = Cluster::on(Bus::with(limits), 2, builder).await;
    cluster.seats[1].double_hints();
    let mut client = phone(&cluster, 1).await;
    for n in 1..=2 {
        deliver(&cluster, 0, n).await;
    }
    take(&mut client, 1, 2).await;
    deliver(&cluster, 0, 3).await;
    let resync = internal(&mut client, "resync").await;
    assert_eq!(resync["reason"], "overflow", "{resync}");
    client.expect_alive().await;
    client.expect_quiet().await;
    deliver(&cluster, 0, 4).await;
    let delivery = internal(&mut client, "deliver").await;
    assert_eq!(
        (&delivery["id"], &delivery["args"]),
        (&json!(3), &json!([4])),
        "what overflowed has no place"
    );
}

fn with_presence() -> ServerBuilder {
    builder().channels("room.>", ChannelOptions::new().presence(Presence::new().announce()))
}

async fn watch(client: &mut Client, channel: &str) {
    client.start("_subscribe", json!({ "channel": channel, "presence": true })).await;
    client.find("the subscription", |message| message["command"] == "subscribe").await;
}

async fn member(cluster: &Cluster, node: usize, user: &str) -> Client {
    connect_with(&cluster.nodes[node], &format!("user={user}&name={user}"), None, &["presence"]).await
}

fn user(told: &Value) -> &str {
    told["member"]["user"].as_str().unwrap()
}

#[tokio::test]
async fn joins_and_leaves_are_told_on_every_node_in_one_order() {
    let cluster = Cluster::start(2, with_presence).await;
    let mut here = member(&cluster, 0, "here").await;
    let mut there = member(&cluster, 1, "there").await;
    watch(&mut here, "room.a").await;
    watch(&mut there, "room.a").await;
    assert_eq!(user(&internal(&mut here, "join").await), "there");
    for n in 0..5 {
        let mut comer = member(&cluster, n % 2, "comer").await;
        comer.subscribe("room.a").await;
        let joined = internal(&mut here, "join").await;
        assert_eq!((user(&joined), &joined["member"]["info"]), ("comer", &json!({ "name": "comer" })));
        assert_eq!(internal(&mut there, "join").await, joined);
        let Counts { clients, users } = cluster.server(1).presence_counts("room.a").await.unwrap();
        assert_eq!((clients, users), (3, 3));
        comer.call("_unsubscribe", json!({ "channel": "room.a" })).await;
        assert_eq!(internal(&mut here, "leave").await, joined);
        assert_eq!(internal(&mut there, "leave").await, joined);
    }
    here.expect_alive().await;
    there.expect_alive().await;
}

#[tokio::test]
async fn those_of_a_node_that_died_leave_once_on_every_other() {
    let cluster = Cluster::start(3, with_presence).await;
    let mut watching = [member(&cluster, 0, "one").await, member(&cluster, 1, "two").await];
    for client in &mut watching {
        watch(client, "room.a").await;
    }
    internal(&mut watching[0], "join").await;
    let mut dying = member(&cluster, 2, "dying").await;
    dying.subscribe("room.a").await;
    for client in &mut watching {
        assert_eq!(user(&internal(client, "join").await), "dying");
    }
    cluster.seats[2].die();
    // A store is looked through every ten seconds.
    let told = watching.each_mut().map(|client| async {
        tokio::time::timeout(Duration::from_secs(15), async {
            loop {
                if let Some(told) = said(client).await {
                    return told;
                }
            }
        })
        .await
    });
    for told in futures_util::future::join_all(told).await {
        let told = told.expect("it is told that they left");
        assert_eq!((&told["command"], user(&told["data"])), (&json!("leave"), "dying"));
    }
    for client in &mut watching {
        client.expect_alive().await;
    }
    until("the counts to be right", || {
        futures_util::FutureExt::now_or_never(cluster.server(0).presence_counts("room.a"))
            .is_some_and(|counts| counts.unwrap().clients == 2)
    })
    .await;
}

/// What the server says next, if it does so soon.
async fn said(client: &mut Client) -> Option<Value> {
    match tokio::time::timeout(Duration::from_secs(1), client.read()).await {
        Ok(tokensocket_tests::wire::Received::Message(text)) => Some(serde_json::from_str(&text).unwrap()),
        Ok(end) => panic!("{end:?}"),
        Err(_) => None,
    }
}
