//! Deliveries while things come and go: connects, closes, slow and broken stores.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{DeliverError, DeliverOptions, QueueLimits, Server, StoreError, To};
use tokensocket_tests::device::{builder, connect, connect_with, ids, internal};
use tokensocket_tests::gate::{Gate, GatedStore};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::Node;
use tokensocket_tests::wire::Client;

async fn deliver(server: &Server, args: impl serde::Serialize) -> Result<usize, DeliverError> {
    let delivering = server.deliver(To::user("8"), "e", args, DeliverOptions::new());
    Ok(within("a message to be kept", delivering).await?.devices)
}

async fn node(store: &GatedStore) -> Node {
    Node::start(builder().device_store(store.clone())).await
}

/// A device that has been here before, so that what comes is kept for it.
async fn known(node: &Node) {
    let (client, _) = connect(node, "user=8", Some("phone")).await;
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_and_goes_while_messages_come_gets_each_in_order() {
    const MESSAGES: usize = 300;
    let store = GatedStore::default();
    let node = node(&store).await;
    known(&node).await;
    let server = node.server.clone();
    let sending = tokio::spawn(async move {
        for n in 0..MESSAGES {
            // Some at once, so that they are rung out of order.
            let (one, two) = tokio::join!(deliver(&server, n), deliver(&server, n));
            assert_eq!((one.unwrap(), two.unwrap()), (1, 1));
            tokio::task::yield_now().await;
        }
    });
    let mut seen = BTreeMap::new();
    while seen.len() < 2 * MESSAGES {
        let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
        let mut last = 0;
        for _ in 0..rand::random_range(1..40) {
            if seen.len() == 2 * MESSAGES {
                break;
            }
            let message = client.find("an entry", |message| message["internal"] == true).await;
            let (items, what) = match message["command"].as_str() {
                Some("batch") => (message["data"]["items"].as_array().unwrap().clone(), "batch"),
                Some("deliver") => (vec![message["data"].clone()], "id"),
                other => panic!("{other:?}: {message}"),
            };
            for item in &items {
                let id = item["id"].as_u64().unwrap();
                assert!(id > last, "{id} after {last}");
                last = id;
                let args = item["args"].clone();
                assert_eq!(seen.insert(id, args.clone()).unwrap_or_else(|| args.clone()), args);
            }
            if rand::random_bool(0.7) {
                client.start("_ack", json!({ what: message["data"]["id"] })).await;
            }
        }
    }
    within("the sender", sending).await.unwrap();
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (1..=2 * MESSAGES as u64).collect::<Vec<_>>());
    until("every connection to depart", || store.counts().0 == store.counts().1).await;
}

#[tokio::test]
async fn a_slow_store_holds_up_a_device_and_nothing_else() {
    let store = GatedStore::default();
    let node = node(&store).await;
    known(&node).await;
    store.arrive.send_replace(Gate::Slow);
    let mut client = connect_with(&node, "user=8", Some("phone"), &["delivery"]).await;
    client.expect_alive().await;
    client.subscribe("news").await;
    assert_eq!(deliver(&node.server, 1).await.unwrap(), 1);
    node.server.publish("news", "live").await.unwrap();
    client.expect(json!({ "channel": "news", "message": "live" })).await;
    store.arrive.send_replace(Gate::Open);
    internal(&mut client, "settings").await;
    assert_eq!(ids(&internal(&mut client, "batch").await), [1]);
}

#[tokio::test]
async fn a_device_that_closes_before_the_store_has_it_departs_once() {
    let store = GatedStore::default();
    let node = node(&store).await;
    store.arrive.send_replace(Gate::Slow);
    let client = connect_with(&node, "user=8", Some("phone"), &["delivery"]).await;
    until("the device to arrive", || store.counts() == (1, 0)).await;
    drop(client);
    until("the socket to close", || node.server.sockets().is_empty()).await;
    assert_eq!(store.counts(), (1, 0));
    store.arrive.send_replace(Gate::Open);
    until("the device to depart", || store.counts() == (1, 1)).await;
}

#[tokio::test]
async fn a_device_that_closes_while_its_queue_is_read_departs_once() {
    let store = GatedStore::default();
    let node = node(&store).await;
    store.read.send_replace(Gate::Slow);
    let (client, _) = connect(&node, "user=8", Some("phone")).await;
    drop(client);
    until("the device to depart", || store.counts() == (1, 1)).await;
    store.read.send_replace(Gate::Open);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    client.expect_alive().await;
    assert_eq!(store.counts(), (2, 1));
}

#[tokio::test]
async fn a_store_that_refuses_an_arrival_is_asked_again() {
    let store = GatedStore::default();
    let node = node(&store).await;
    store.arrive.send_replace(Gate::Broken);
    let mut client = connect_with(&node, "user=8", Some("phone"), &["delivery"]).await;
    client.expect_alive().await;
    store.arrive.send_replace(Gate::Open);
    internal(&mut client, "settings").await;
    assert_eq!(store.counts(), (1, 0));
}

#[tokio::test]
async fn a_departure_that_the_store_refuses_is_made_again() {
    let store = GatedStore::default();
    let node = node(&store).await;
    store.depart.send_replace(Gate::Broken);
    let (client, _) = connect(&node, "user=8", Some("phone")).await;
    drop(client);
    until("the socket to close", || node.server.sockets().is_empty()).await;
    store.depart.send_replace(Gate::Open);
    // As soon as the store takes something again, or after ten seconds.
    let (_other, _) = connect(&node, "user=9", Some("phone")).await;
    until("the device to depart", || store.counts() == (2, 1)).await;
}

#[tokio::test]
async fn a_broken_store_is_an_error_for_the_sender_while_live_traffic_goes_on() {
    let store = GatedStore::default();
    let node = node(&store).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    client.subscribe("news").await;
    store.append.send_replace(Gate::Broken);
    let refused = deliver(&node.server, 1).await.unwrap_err();
    assert!(matches!(refused, DeliverError::Store(StoreError::DiskFull)), "{refused:?}");
    node.server.publish("news", "live").await.unwrap();
    client.expect(json!({ "channel": "news", "message": "live" })).await;
    store.append.send_replace(Gate::Open);
    deliver(&node.server, 2).await.unwrap();
    assert_eq!(internal(&mut client, "deliver").await["args"], json!([2]));
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_an_error_in_time_and_what_it_kept_still_comes() {
    let store = GatedStore::default();
    let builder = builder().device_store(store.clone()).store_timeout(Duration::from_millis(50));
    let node = Node::start(builder).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    store.append.send_replace(Gate::Slow);
    let late = deliver(&node.server, 1).await.unwrap_err();
    assert!(matches!(late, DeliverError::Store(StoreError::Timeout)), "{late:?}");
    client.expect_alive().await;
    store.append.send_replace(Gate::Open);
    assert_eq!(internal(&mut client, "deliver").await["args"], json!([1]));
}

#[tokio::test]
async fn a_message_comes_live_although_its_sender_has_given_up() {
    let store = GatedStore::default();
    let node = node(&store).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    store.append.send_replace(Gate::Slow);
    let server = node.server.clone();
    let sending = tokio::spawn(async move { deliver(&server, 1).await });
    until("the store to have it", || store.entries() == 1).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    client.expect_alive().await;
    store.append.send_replace(Gate::Open);
    assert_eq!(internal(&mut client, "deliver").await["args"], json!([1]));
}

#[tokio::test]
async fn entries_whose_senders_learn_of_them_out_of_order_come_in_order_and_once() {
    let store = GatedStore::default();
    let node = node(&store).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    store.append.send_replace(Gate::Held);
    let server = node.server.clone();
    let first = tokio::spawn(async move { deliver(&server, 1).await });
    until("the store to have it", || store.entries() == 1).await;
    deliver(&node.server, 2).await.unwrap();
    deliver(&node.server, 3).await.unwrap();
    for id in 1..=3 {
        assert_eq!(internal(&mut client, "deliver").await["id"], id);
    }
    store.release.notify_one();
    first.await.unwrap().unwrap();
    client.expect_alive().await;
}

#[tokio::test]
async fn an_acknowledgement_that_the_store_refuses_is_answered_so() {
    let store = GatedStore::default();
    let node = node(&store).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    deliver(&node.server, 1).await.unwrap();
    internal(&mut client, "deliver").await;
    store.acknowledge.send_replace(Gate::Broken);
    assert_eq!(client.call("_ack", json!({ "id": 1 })).await["code"], "overloaded");
    assert_eq!(store.entries(), 1);
    store.acknowledge.send_replace(Gate::Open);
    assert_eq!(client.call("_ack", json!({ "id": 1 })).await["resp"], "success");
    assert_eq!(store.entries(), 0);
}

#[tokio::test]
async fn slow_acknowledgements_hold_up_neither_one_another_nor_the_connection() {
    let store = GatedStore::default();
    let node = node(&store).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    for n in 0..3 {
        deliver(&node.server, n).await.unwrap();
        internal(&mut client, "deliver").await;
    }
    store.acknowledge.send_replace(Gate::Slow);
    let mut uuids = Vec::new();
    for id in 1..=3 {
        uuids.push(client.start("_ack", json!({ "id": id })).await);
    }
    client.expect_alive().await;
    assert_eq!(store.entries(), 0, "all three were told to the store");
    store.acknowledge.send_replace(Gate::Open);
    for uuid in uuids {
        assert_eq!(client.answer(&uuid).await["resp"], "success");
    }
}

#[tokio::test]
async fn an_acknowledgement_before_the_batch_removes_nothing_of_it() {
    let store = GatedStore::default();
    let node = node(&store).await;
    known(&node).await;
    deliver(&node.server, 1).await.unwrap();
    store.read.send_replace(Gate::Slow);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    // Of an earlier connection, perhaps of another epoch.
    assert_eq!(client.call("_ack", json!({ "id": 1 })).await["resp"], "success");
    assert_eq!(client.call("_ack", json!({ "batch": 1 })).await["resp"], "success");
    assert_eq!(store.entries(), 1);
    store.read.send_replace(Gate::Open);
    assert_eq!(ids(&internal(&mut client, "batch").await), [1]);
}

#[tokio::test]
async fn what_a_resync_cleared_while_it_was_read_does_not_come_behind_the_resync() {
    let store = GatedStore::new(QueueLimits { count: 2, ..QueueLimits::default() });
    let node = node(&store).await;
    known(&node).await;
    deliver(&node.server, 1).await.unwrap();
    deliver(&node.server, 2).await.unwrap();
    store.read.send_replace(Gate::Slow);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    client.expect_alive().await;
    // The store has read both by now, and clears them.
    deliver(&node.server, 3).await.unwrap();
    deliver(&node.server, 4).await.unwrap();
    store.read.send_replace(Gate::Open);
    assert_eq!(internal(&mut client, "resync").await["reason"], "overflow");
    assert_eq!(ids(&internal(&mut client, "batch").await), [3]);
}

#[tokio::test]
async fn what_is_appended_while_the_queue_is_read_comes_behind_it() {
    let store = GatedStore::default();
    let node = node(&store).await;
    known(&node).await;
    deliver(&node.server, 1).await.unwrap();
    store.read.send_replace(Gate::Held);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    until("the store to be read", || *store.read.borrow() == Gate::Open).await;
    deliver(&node.server, 2).await.unwrap();
    client.expect_alive().await;
    store.release.notify_one();
    assert_eq!(ids(&internal(&mut client, "batch").await), [1]);
    assert_eq!(internal(&mut client, "deliver").await["id"], 2);
    client.expect_alive().await;
}

#[tokio::test]
async fn a_resync_that_is_learnt_of_while_its_device_arrives_is_told_once() {
    let store = GatedStore::new(QueueLimits { count: 1, ..QueueLimits::default() });
    let node = node(&store).await;
    known(&node).await;
    deliver(&node.server, 1).await.unwrap();
    // One that the store has noted when the device arrives, and one that it notes later.
    store.append.send_replace(Gate::Held);
    let server = node.server.clone();
    let first = tokio::spawn(async move { deliver(&server, 2).await });
    until("the queue to overflow", || store.entries() == 0).await;
    store.arrive.send_replace(Gate::Slow);
    let mut client = connect_with(&node, "user=8", Some("phone"), &["delivery"]).await;
    until("the device to arrive", || store.counts() == (2, 1)).await;
    store.release.notify_one();
    first.await.unwrap().unwrap();
    deliver(&node.server, 3).await.unwrap();
    deliver(&node.server, 4).await.unwrap();
    store.arrive.send_replace(Gate::Open);
    internal(&mut client, "settings").await;
    assert_eq!(internal(&mut client, "resync").await["id"], 1);
    assert_eq!(internal(&mut client, "resync").await["id"], 2);
    client.expect_alive().await;
    assert_eq!(client.call("_ack", json!({ "resync": 2 })).await["resp"], "success");
    drop(client);
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn what_an_overflow_cleared_does_not_come_behind_its_resync() {
    let store = GatedStore::new(QueueLimits { count: 1, ..QueueLimits::default() });
    let node = node(&store).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    store.append.send_replace(Gate::Held);
    let server = node.server.clone();
    let first = tokio::spawn(async move { deliver(&server, 1).await });
    until("the store to have it", || store.entries() == 1).await;
    deliver(&node.server, 2).await.unwrap();
    assert_eq!(internal(&mut client, "resync").await["reason"], "overflow");
    store.release.notify_one();
    first.await.unwrap().unwrap();
    client.expect_alive().await;
}

#[tokio::test]
async fn a_shutdown_has_every_device_depart_once_and_takes_acknowledgements_to_the_end() {
    let store = GatedStore::default();
    let node = node(&store).await;
    let (mut client, _) = connect(&node, "user=8", Some("phone")).await;
    let (mut other, _) = connect(&node, "user=9", None).await;
    deliver(&node.server, 1).await.unwrap();
    internal(&mut client, "deliver").await;
    // Keeps the connection from closing at once.
    let socket = node
        .server
        .sockets()
        .into_iter()
        .find(|socket| socket.identity().user_id().is_some_and(|user| &**user == "8"));
    let call = socket.unwrap().rpc::<Value>("finish", ());
    let calling = tokio::spawn(call.into_future());
    let (fid, ..) = client.called().await;
    let server = node.server.clone();
    let ending = tokio::spawn(async move { server.shutdown().await });
    other.closed().await;
    until("the idle one to close", || node.server.sockets().len() == 1).await;
    assert_eq!(client.call("_ack", json!({ "id": 1 })).await["resp"], "success");
    client.reply(&fid, json!({ "data": 1 })).await;
    calling.await.unwrap().unwrap();
    client.closed().await;
    within("the shutdown", ending).await.unwrap();
    assert_eq!((store.counts(), store.entries()), ((2, 2), 0));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_store_that_never_answers() {
    let store = GatedStore::default();
    let builder = builder().device_store(store.clone()).store_timeout(Duration::from_millis(50));
    let node = Node::start(builder).await;
    store.arrive.send_replace(Gate::Slow);
    store.append.send_replace(Gate::Slow);
    let client: Client = connect_with(&node, "user=8", Some("phone"), &["delivery"]).await;
    until("the device to arrive", || store.counts().0 == 1).await;
    deliver(&node.server, 1).await.unwrap_err();
    drop(client);
    within("the shutdown", node.server.shutdown()).await;
}
