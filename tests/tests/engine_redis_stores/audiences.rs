//! Messages to very many devices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokensocket_server::{
    Appended, Arrival, Device, DeviceStore, Message, QueueLimits, Queued, Timestamp, To,
};
use tokensocket_tests::engine::{Redis as Engine, RedisCluster};

use crate::node::{Node, device, message};

async fn reaches_each_device_once(url: &str, devices: usize) {
    let limits = QueueLimits { count: 4, ..QueueLimits::default() };
    let node = Node::with(url, "large", limits).await;
    let arriving = (0..devices).map(|n| {
        // Every tenth user has two devices.
        let arrival = Arrival {
            device: device(&format!("user {}", n - usize::from(n % 10 == 1)), &n.to_string()),
            rooms: vec!["staff".into(), "all".into()],
            ttl: Duration::from_mins(1),
        };
        node.store.arrive(arrival, Timestamp::now())
    });
    let arrived = futures_util::future::join_all(arriving.collect::<Vec<_>>()).await;
    assert!(arrived.iter().all(Result::is_ok));
    let seqs = |appended: &Appended| {
        let names: BTreeSet<&Device> = appended.queued.iter().map(|(device, _)| device).collect();
        assert_eq!((appended.queued.len(), names.len()), (devices, devices), "each once");
        appended.queued.iter().map(|(_, queued)| queued.clone()).collect::<Vec<_>>()
    };
    // Called at once: everybody sees one order.
    let now = Timestamp::now();
    let first = node.store.append(To::everyone(), message("[1]"), now);
    let second = node.store.append(To::rooms(["staff", "all"]), message("[2]"), now);
    let third = node.store.append(To::user("user 2"), message("[3]"), now);
    let last = device(&format!("user {}", devices - 1), &(devices - 1).to_string());
    let read = node.store.read(last, 0, usize::MAX, now);
    let keyed = Message { key: Some("key".into()), ..message("[4]") };
    let fourth = node.store.append(To::room("all"), keyed.clone(), now);
    let again = node.store.append(To::room("all"), keyed, now);
    assert!(seqs(&first.await.unwrap()).iter().all(|queued| *queued == Queued::At(1)));
    assert!(seqs(&second.await.unwrap()).iter().all(|queued| *queued == Queued::At(2)));
    assert_eq!(third.await.unwrap().queued[0].1, Queued::At(3));
    assert_eq!(read.await.unwrap().len(), 2);
    seqs(&fourth.await.unwrap());
    let again = again.await.unwrap();
    assert!(again.duplicate && again.queued.is_empty(), "{} queued again", again.queued.len());
    // All overflow at once.
    node.append(To::everyone(), "[5]").await;
    let full = seqs(&node.append(To::everyone(), "[6]").await);
    let overflowed = full.iter().filter(|queued| matches!(queued, Queued::Overflowed { .. })).count();
    assert_eq!(overflowed, devices - 1, "but that of user 2, which had been cleared by the one before");
}

#[tokio::test]
async fn a_message_to_very_many_reaches_each_device_once() {
    let engine = Engine::start().await;
    reaches_each_device_once(&engine.url(), 3_500).await;
}

#[tokio::test]
async fn a_message_to_very_many_reaches_each_device_once_in_a_cluster() {
    let cluster = RedisCluster::start().await;
    reaches_each_device_once(&cluster.url(), 3_500).await;
}

#[tokio::test]
async fn a_message_to_very_many_rooms_reaches_each_device_once() {
    const DEVICES: usize = 2_500;
    const ROOMS: usize = 90;
    let engine = Engine::start().await;
    let node = Node::new(&engine.url(), "rooms").await;
    let room = |n: usize| Arc::from(format!("room {n}"));
    let arriving = (0..DEVICES).map(|n| {
        // Some rooms have nearly everybody, others a few.
        let rooms = [n % ROOMS, (n * n) % ROOMS, n % 2].map(room).to_vec();
        let arrival = Arrival { device: device(&n.to_string(), "phone"), rooms, ttl: Duration::from_mins(1) };
        node.store.arrive(arrival, Timestamp::now())
    });
    for arrived in futures_util::future::join_all(arriving.collect::<Vec<_>>()).await {
        arrived.unwrap();
    }
    for seq in 1..=2 {
        let rooms = (0..ROOMS).map(room).chain(["nobody's".into()]).collect::<Vec<Arc<str>>>();
        let appended = node.append(To::Rooms(rooms), "[]").await;
        let names: BTreeSet<&Device> = appended.queued.iter().map(|(device, _)| device).collect();
        assert_eq!((appended.queued.len(), names.len()), (DEVICES, DEVICES), "each once");
        assert!(appended.queued.iter().all(|(_, queued)| *queued == Queued::At(seq)));
    }
    let one = node.append(To::rooms(["room 7", "room 1"]), "[]").await;
    assert_eq!(one.queued.len(), DEVICES / 2, "room 7 is of odd numbers, all of which are in room 1");
}
