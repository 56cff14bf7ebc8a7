//! Whoever asks is answered, whatever becomes of it.

use std::sync::Arc;
use std::time::Duration;

use tokensocket_server::{
    DeviceStore, Nats, NatsOptions, NatsReplicaOptions, QueueLimits, StoreError, Timestamp, To,
};
use tokensocket_tests::engine::{self, Fate, NatsWay};
use tokio::time::timeout;

use crate::node::{BACK, Node, device, eventually};

const LOG: &str = "ts.site.r.devices.log";

async fn over(way: &NatsWay) -> Arc<Node> {
    let options = NatsOptions::new().timeout(Duration::from_secs(2));
    let nats = Nats::connect(&format!("nats://{}", way.address), options).await.unwrap();
    let node = Node::at(&nats.namespace("site"), QueueLimits::default(), NatsReplicaOptions::new());
    node.arrive("ann", "phone").await;
    node.append(To::user("ann"), 0).await.unwrap();
    Arc::new(node)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nats_passes_over_in_silence_is_not_known() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let one = over(&way).await;
    // As of one who may not publish there.
    way.plan(LOG, Fate::Lost, usize::MAX);
    for number in 1..3 {
        let unknown = timeout(BACK, one.append(To::user("ann"), number)).await.expect("an end");
        assert_eq!(unknown.unwrap_err(), StoreError::Timeout);
        let read = timeout(BACK, one.store.read(device("ann", "phone"), 0, 9, Timestamp::now()));
        assert_eq!(read.await.expect("an end, too").unwrap_err(), StoreError::Timeout);
    }
    way.clear();
    eventually("an append", async || one.append(To::user("nobody"), 0).await).await;
    let kept: Vec<_> = one.read("ann", "phone").await.into_iter().map(|(_, args)| args).collect();
    assert_eq!(kept, ["[0]", "[1]", "[2]"], "what was in line is done all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_while_the_server_is_away_is_answered_though_something_was_under_way() {
    let mut server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let one = over(&way).await;
    way.plan(LOG, Fate::Lost, 1);
    let under_way = tokio::spawn({
        let one = Arc::clone(&one);
        async move { one.append(To::user("ann"), 1).await }
    });
    way.happened(1).await;
    server.kill();
    let unknown = timeout(BACK, under_way).await.expect("an end").unwrap();
    assert_eq!(unknown.unwrap_err(), StoreError::Timeout);
    for _ in 0..2 {
        let read = timeout(BACK, one.store.read(device("ann", "phone"), 0, 9, Timestamp::now()));
        assert_eq!(read.await.expect("an end").unwrap_err(), StoreError::Timeout);
    }
    server.start_again().await;
    eventually("an append", async || one.append(To::user("nobody"), 0).await).await;
    assert_eq!(one.read("ann", "phone").await.len(), 2);
}
