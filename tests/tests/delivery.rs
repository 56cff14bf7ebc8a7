//! Deliveries to devices: kept until acknowledged, in order, none lost in silence.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{
    DeliverError, DeliverOptions, Delivered, MemoryDeviceStore, QueueLimits, Server, StoreError, To,
};
use tokensocket_tests::device::{builder, connect, connect_with, ids, internal};
use tokensocket_tests::node::Node;
use tokensocket_tests::wire::{Client, Framing};

async fn deliver(server: &Server, to: To, event: &str, args: Value) -> usize {
    let delivered = server.deliver(to, event, args, DeliverOptions::new()).await.expect("it is kept");
    delivered.devices
}

async fn acknowledge(client: &mut Client, what: Value) {
    let answer = client.call("_ack", what).await;
    assert_eq!(answer["resp"], "success", "{answer}");
}

#[tokio::test]
async fn a_device_that_was_away_gets_everything_in_one_batch_and_acknowledges_it_once() {
    let node = Node::start(builder()).await;
    let (client, _) = connect(&node, "user=8", Some("phone")).await;
    drop(client);
    assert_eq!(deliver(&node.server, To::user("8"), "update_store", json!(["user", { "id": 1 }])).await, 1);
    assert_eq!(deliver(&node.server, To::user("8"), "other", json!({ "a": 1 })).await, 1);

    let (mut client, settings) = connect(&node, "user=8", Some("phone")).await;
    assert_eq!(settings["resumed"], true);
    let batch = internal(&mut client, "batch").await;
    assert_eq!(
        batch,
        json!({ "id": 2, "items": [
            { "id": 1, "event": "update_store", "args": ["user", { "id": 1 }] },
            { "id": 2, "event": "other", "args": [{ "a": 1 }] },
        ] })
    );
    // What has arrived since is not the batch's.
    deliver(&node.server, To::user("8"), "live", json!([])).await;
    assert_eq!(internal(&mut client, "deliver").await, json!({ "id": 3, "event": "live", "args": [] }));
    acknowledge(&mut client, json!({ "batch": 2 })).await;
    drop(client);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    assert_eq!(ids(&internal(&mut client, "batch").await), [3]);
}

#[tokio::test]
async fn what_was_acknowledged_does_not_come_again() {
    let node = Node::start(builder()).await;
    let (mut client, first) = connect(&node, "user=8", Some("phone")).await;
    for event in ["a", "b"] {
        deliver(&node.server, To::user("8"), event, json!([])).await;
        internal(&mut client, "deliver").await;
    }
    acknowledge(&mut client, json!({ "id": 1 })).await;
    acknowledge(&mut client, json!({ "id": 1 })).await;
    drop(client);
    let (mut client, again) = connect(&node, "user=8", Some("phone")).await;
    assert_eq!(first["epoch"], again["epoch"]);
    assert_eq!(ids(&internal(&mut client, "batch").await), [2]);
    acknowledge(&mut client, json!({ "batch": 2 })).await;
    drop(client);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn a_device_is_greeted_with_its_settings() {
    let node = Node::start(builder().device_ttl(Duration::from_secs(77))).await;
    let (_client, settings) = connect(&node, "user=8", Some("phone")).await;
    assert_eq!(settings["device_ttl"], 77);
    assert_eq!(settings["device"], "phone");
    assert_eq!(settings["resumed"], false);
    assert!(!settings["epoch"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_connection_without_a_device_is_one_of_its_own_and_forgotten_with_it() {
    let store = tokensocket_tests::gate::GatedStore::default();
    let node = Node::start(builder().device_store(store.clone())).await;
    let (mut one, its) = connect(&node, "user=8", None).await;
    let (_other, others) = connect(&node, "user=8", None).await;
    assert_ne!(its["device"], others["device"]);
    assert_eq!(its["device_ttl"], 0);
    assert_eq!(deliver(&node.server, To::user("8"), "e", json!([])).await, 2);
    internal(&mut one, "deliver").await;
    drop(one);
    tokensocket_tests::limit::until("the device to be forgotten", || store.devices() == 1).await;
    assert_eq!(deliver(&node.server, To::user("8"), "e", json!([])).await, 1);
}

#[tokio::test]
async fn both_sockets_of_a_device_get_it_and_the_first_acknowledgement_removes_it() {
    let store = tokensocket_tests::gate::GatedStore::default();
    let node = Node::start(builder().device_store(store.clone())).await;
    let (mut one, _) = connect(&node, "user=8", Some("phone")).await;
    let (mut two, _) = connect(&node, "user=8", Some("phone")).await;
    assert_eq!(deliver(&node.server, To::user("8"), "e", json!([])).await, 1);
    assert_eq!(internal(&mut one, "deliver").await["id"], 1);
    assert_eq!(internal(&mut two, "deliver").await["id"], 1);
    acknowledge(&mut two, json!({ "id": 1 })).await;
    assert_eq!(store.entries(), 0);
    acknowledge(&mut one, json!({ "id": 1 })).await;
}

#[tokio::test]
async fn a_message_for_a_room_reaches_its_users_who_are_away_too() {
    let node = Node::start(builder()).await;
    for query in ["user=1&rooms=staff", "user=2&rooms=staff%2Bdesk", "user=3&rooms=desk", "user=4"] {
        drop(connect(&node, query, Some("phone")).await);
    }
    let (mut third, _) = connect(&node, "user=3&rooms=desk", Some("tablet")).await;
    assert_eq!(deliver(&node.server, To::room("staff"), "e", json!([])).await, 2);
    assert_eq!(deliver(&node.server, To::room("desk"), "e", json!([])).await, 3);
    assert_eq!(deliver(&node.server, To::room("nobody"), "e", json!([])).await, 0);
    assert_eq!(deliver(&node.server, To::users(["1", "4", "1", "9"]), "e", json!([])).await, 2);
    assert_eq!(deliver(&node.server, To::everyone(), "e", json!([])).await, 5);
    assert_eq!(internal(&mut third, "deliver").await["id"], 1);
    assert_eq!(internal(&mut third, "deliver").await["id"], 2);
    // A user's rooms are those of the last connection, on all devices.
    drop(connect(&node, "user=3&rooms=staff", Some("phone")).await);
    assert_eq!(deliver(&node.server, To::room("desk"), "e", json!([])).await, 1);
    let (mut second, _) = connect(&node, "user=2", Some("phone")).await;
    assert_eq!(ids(&internal(&mut second, "batch").await), [1, 2, 3, 4]);
}

#[tokio::test]
async fn nothing_is_kept_for_clients_that_do_not_take_it() {
    let node = Node::start(builder()).await;
    let mut plain = connect_with(&node, "user=8", Some("phone"), &["cancel"]).await;
    let mut nobody = connect_with(&node, "", Some("phone"), &["delivery"]).await;
    let mut original = Client::connect(&node, Framing::SockJs).await;
    let answer = tokensocket_tests::http::get(node.address, "/socket/token?user=8").await;
    original.auth(answer.json()["token"].as_str().unwrap()).await;
    assert_eq!(deliver(&node.server, To::everyone(), "e", json!([])).await, 0);
    for client in [&mut plain, &mut nobody, &mut original] {
        let refused = client.call("_ack", json!({ "id": 1 })).await;
        assert_eq!(refused["code"], "bad_request", "{refused}");
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_message_of_the_same_key_is_kept_once() {
    let node = Node::start(builder()).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    let options = || DeliverOptions::new().key("order-1");
    let first = node.server.deliver(To::user("8"), "e", (1,), options()).await.unwrap();
    let again = node.server.deliver(To::user("8"), "e", (2,), options()).await.unwrap();
    assert_eq!(first, Delivered { devices: 1, duplicate: false });
    assert_eq!(again, Delivered { devices: 0, duplicate: true });
    assert_eq!(internal(&mut client, "deliver").await["args"], json!([1]));
    client.expect_alive().await;
}

#[tokio::test]
async fn out_of_order_a_resync_is_sent_and_told_again_until_the_device_knows() {
    let node = Node::start(builder()).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    for event in ["a", "a", "b", "a"] {
        let options = DeliverOptions::new().resync(true);
        node.server.deliver(To::user("8"), event, (), options).await.unwrap();
        internal(&mut client, "deliver").await;
    }
    // The head of its event's queue, though not of all.
    acknowledge(&mut client, json!({ "id": 3 })).await;
    let uuid = client.start("_ack", json!({ "id": 2 })).await;
    assert_eq!(internal(&mut client, "resync").await, json!({ "id": 1, "event": "a", "reason": "order" }));
    client.answer(&uuid).await;
    drop(client);
    for _ in 0..2 {
        let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
        assert_eq!(internal(&mut client, "resync").await["reason"], "order");
        client.expect_alive().await;
    }
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    internal(&mut client, "resync").await;
    acknowledge(&mut client, json!({ "resync": 1 })).await;
    drop(client);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn without_resync_any_order_will_do() {
    let node = Node::start(builder()).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    for _ in 0..3 {
        deliver(&node.server, To::user("8"), "a", json!([])).await;
        internal(&mut client, "deliver").await;
    }
    acknowledge(&mut client, json!({ "id": 3 })).await;
    acknowledge(&mut client, json!({ "id": 1 })).await;
    drop(client);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    assert_eq!(ids(&internal(&mut client, "batch").await), [2]);
}

#[tokio::test]
async fn a_full_queue_becomes_a_resync_and_goes_on_behind_it() {
    let limits = QueueLimits { count: 2, ..QueueLimits::default() };
    let node = Node::start(builder().device_store(MemoryDeviceStore::new(limits))).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    let (away, _) = connect(&node, "user=8", Some("tablet")).await;
    drop(away);
    for n in 1..=4 {
        assert_eq!(deliver(&node.server, To::user("8"), "e", json!([n])).await, 2);
    }
    assert_eq!(internal(&mut client, "deliver").await["id"], 1);
    assert_eq!(internal(&mut client, "deliver").await["id"], 2);
    assert_eq!(internal(&mut client, "resync").await, json!({ "id": 1, "reason": "overflow" }));
    assert_eq!(internal(&mut client, "deliver").await, json!({ "id": 3, "event": "e", "args": [4] }));
    let (mut away, _) = connect(&node, "user=8", Some("tablet")).await;
    assert_eq!(internal(&mut away, "resync").await["reason"], "overflow");
    assert_eq!(ids(&internal(&mut away, "batch").await), [3]);
}

#[tokio::test]
async fn refuses_what_cannot_be_delivered() {
    let limits = QueueLimits { bytes: 100, ..QueueLimits::default() };
    let node = Node::start(builder().device_store(MemoryDeviceStore::new(limits))).await;
    let refused = async |event: &str, args: Value, options| {
        node.server.deliver(To::everyone(), event, args, options).await.unwrap_err()
    };
    let plain = DeliverOptions::new;
    assert!(matches!(refused("", json!([]), plain()).await, DeliverError::InvalidEvent));
    assert!(matches!(refused(&"x".repeat(129), json!([]), plain()).await, DeliverError::InvalidEvent));
    assert!(matches!(refused("e", json!([]), plain().key("")).await, DeliverError::InvalidKey));
    let large = refused("e", json!(["x".repeat(100)]), plain()).await;
    assert!(matches!(large, DeliverError::Store(StoreError::TooLarge { limit: 100, .. })), "{large:?}");
}

#[tokio::test]
async fn arguments_are_a_list_however_they_are_given() {
    let node = Node::start(builder()).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    let to = || To::user("8");
    let plain = DeliverOptions::new;
    node.server.deliver(to(), "e", (), plain()).await.unwrap();
    node.server.deliver(to(), "e", ("a", 1), plain()).await.unwrap();
    node.server.deliver(to(), "e", "a", plain()).await.unwrap();
    node.server.deliver(to(), "e", json!({ "a": [] }), plain()).await.unwrap();
    for expected in [json!([]), json!(["a", 1]), json!(["a"]), json!([{ "a": [] }])] {
        assert_eq!(internal(&mut client, "deliver").await["args"], expected);
    }
}

#[tokio::test]
async fn an_acknowledgement_of_what_this_connection_was_not_sent_removes_nothing() {
    let node = Node::start(builder()).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    acknowledge(&mut client, json!({ "batch": 1 })).await;
    acknowledge(&mut client, json!({ "id": 1 })).await;
    acknowledge(&mut client, json!({ "resync": 1 })).await;
    deliver(&node.server, To::user("8"), "e", json!([])).await;
    internal(&mut client, "deliver").await;
    acknowledge(&mut client, json!({ "batch": 1000 })).await;
    for bad in [json!({}), json!({ "id": "1" }), json!({ "id": 1, "batch": 1 }), json!(null)] {
        assert_eq!(client.call("_ack", bad).await["code"], "bad_request");
    }
    drop(client);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    assert_eq!(ids(&internal(&mut client, "batch").await), [1]);
}
