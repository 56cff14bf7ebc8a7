//! A cluster whose slots move from one server to another.

use std::time::Duration;

use tokensocket_server::{
    Arrival, DeviceStore, QueueLimits, Queued, Redis, RedisOptions, StoreError, Timestamp, To,
};
use tokensocket_tests::engine::RedisCluster;
use tokensocket_tests::limit::within;

use crate::node::{device, message};

/// A slot that is on its way: half of a shard's keys are here, half there, and a step that found one half would take it for
/// all there is.
#[tokio::test]
async fn a_slot_that_moves_refuses_and_spoils_nothing() {
    let cluster = RedisCluster::start().await;
    let options = RedisOptions::new().response_limit(Duration::from_millis(300));
    let engine = Redis::connect(&cluster.url(), options).await.unwrap().namespace("move").unwrap();
    let store = engine.device_store(QueueLimits::default());
    let arrival = Arrival { device: device("ann", "phone"), rooms: vec![], ttl: Duration::from_mins(1) };
    store.arrive(arrival, Timestamp::now()).await.unwrap();
    store.append(To::user("ann"), message("[1]"), Timestamp::now()).await.unwrap();
    let mut keys = Vec::new();
    for (at, node) in cluster.nodes.iter().enumerate() {
        let found = node.command(&["KEYS", "ts:move:d:*:U"]).await;
        keys.extend(found.lines().filter(|key| !key.is_empty()).map(|key| (at, key.to_owned())));
    }
    let [(from, key)] = &keys[..] else { panic!("one shard has users: {keys:?}") };
    let (from, to) = (&cluster.nodes[*from], &cluster.nodes[(*from + 1) % 3]);
    let slot = from.command(&["CLUSTER", "KEYSLOT", key]).await;
    let ids = (from.command(&["CLUSTER", "MYID"]).await, to.command(&["CLUSTER", "MYID"]).await);
    to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids.0]).await;
    from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids.1]).await;
    let port = to.port().to_string();
    assert_eq!(from.command(&["MIGRATE", "127.0.0.1", &port, key, "0", "1000"]).await, "OK");
    let refused = store.append(To::user("ann"), message("[2]"), Timestamp::now()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let count = to.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).await;
    assert_eq!(count, "1", "nothing was made there");
    loop {
        let left = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]).await;
        let left: Vec<&str> = left.lines().filter(|key| !key.is_empty()).collect();
        if left.is_empty() {
            break;
        }
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "1000", "KEYS"];
        words.extend(left);
        assert_eq!(from.command(&words).await, "OK");
    }
    for node in [to, from] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids.1]).await;
    }
    let appended = within("the slot's new place", async {
        loop {
            let appended = store.append(To::user("ann"), message("[2]"), Timestamp::now()).await;
            if let Ok(appended) = appended {
                break appended;
            }
        }
    })
    .await;
    // Another server may lack what the one before had: numbers that somebody may have been sent are not given again.
    let Queued::At(seq) = appended.queued[0].1 else { panic!("{appended:?}") };
    assert!(seq > 2, "{seq}");
    let entries = store.read(device("ann", "phone"), 0, 9, Timestamp::now()).await.unwrap();
    let held: Vec<_> = entries.iter().map(|entry| (entry.seq, entry.message.args.as_str())).collect();
    assert_eq!(held, [(1, "[1]"), (seq, "[2]")], "and what was refused was not done");
}
