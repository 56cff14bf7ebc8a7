//! A server that has lost what it kept, and nodes that find out.

use std::time::Duration;

use async_nats::jetstream::{self, Context};
use tokensocket_server::{
    Change, Channel, Nats, NatsOptions, NatsPresenceStore, NatsReplicaOptions, PresenceStore, QueueLimits,
    Queued, ResyncReason, To,
};
use tokensocket_tests::engine::{self, Fate, NatsWay};
use tokensocket_tests::limit::until;

use crate::node::{BACK, Node, connect, device, eventually, member};

async fn jetstream(server: &engine::Nats) -> Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

/// These streams are gone, as after a disk that was replaced.
async fn forget(server: &engine::Nats, streams: &[&str]) {
    let jetstream = jetstream(server).await;
    for stream in streams {
        jetstream.delete_stream(format!("ts_site_{stream}")).await.unwrap();
    }
}

/// Up to which place the log of devices goes.
async fn ends(server: &engine::Nats) -> u64 {
    let log = jetstream(server).await.get_stream("ts_site_devices").await.unwrap();
    log.cached_info().state.last_sequence
}

impl Node {
    fn is_told_of_a_loss(&self) -> bool {
        let resyncs = self.heard.resyncs.lock().unwrap();
        resyncs
            .iter()
            .any(|(who, resync)| *who == device("ann", "phone") && resync.reason == ResyncReason::Lost)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lost_what_it_kept_is_found_out() {
    let server = engine::Nats::start().await;
    let one = Node::new(&server, "site").await;
    let presence = NatsPresenceStore::new(&connect(&server, "site").await);
    let channel = Channel::new("c").unwrap();
    presence.join(&channel, member("1", None), false).await.unwrap();
    let arrived = one.arrive("ann", "phone").await;
    for number in 0..5 {
        one.append(To::user("ann"), number).await.unwrap();
    }
    forget(&server, &["devices", "devices-images", "presence", "presence-images"]).await;
    eventually("an append to streams made anew", async || one.append(To::user("nobody"), 0).await).await;
    until("the device to be told", || !one.heard.resyncs.lock().unwrap().is_empty()).await;
    let appended = one.append(To::user("ann"), "new").await.unwrap();
    assert_eq!(appended.queued, [(device("ann", "phone"), Queued::At(6))], "places are not given again");
    let again = one.arrive("ann", "phone").await;
    assert_ne!(again.epoch, arrived.epoch);
    assert_eq!(again.resyncs.last().unwrap().reason, ResyncReason::Lost);
    let count = eventually("members", async || presence.join(&channel, member("2", None), false).await).await;
    assert!(matches!(count, Change::Joined(_)));
    assert_eq!(presence.counts(&channel).await.unwrap().clients, 2, "who is here is said again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_was_found_is_told_though_the_log_cannot_be_followed_yet() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let over = NatsOptions::new().timeout(Duration::from_secs(1));
    let nats = Nats::connect(&format!("nats://{}", way.address), over).await.unwrap().namespace("site");
    let one = Node::at(&nats, QueueLimits::default(), NatsReplicaOptions::new());
    one.arrive("ann", "phone").await;
    one.append(To::user("ann"), 1).await.unwrap();
    forget(&server, &["devices", "devices-images"]).await;
    // Between the two: then what was applied is not there to be looked at any more.
    way.plan(".CONSUMER.CREATE.ts_site_devices", Fate::Lost, 2);
    way.cut();
    way.happened(2).await;
    until("the device to be told", || one.is_told_of_a_loss()).await;
    let appended = eventually("an append", async || one.append(To::user("ann"), "new").await).await;
    assert_eq!(appended.queued, [(device("ann", "phone"), Queued::At(2))], "places are not given again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_another_node_found_is_told_by_one_that_was_away_meanwhile() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let over = NatsOptions::new().timeout(Duration::from_secs(2));
    let nats = Nats::connect(&format!("nats://{}", way.address), over).await.unwrap().namespace("site");
    let long = NatsReplicaOptions::new().lease(Duration::from_mins(10));
    let away = Node::at(&nats, QueueLimits::default(), long.clone());
    away.arrive("ann", "phone").await;
    let one = Node::with(&server, "site", QueueLimits::default(), long.image_every(20, 1 << 30)).await;
    one.appends_until(&server, 30).await;
    // Behind the image, which is all that will be left of its calls.
    for number in 0..3 {
        away.append(To::user("bob"), number).await.unwrap();
    }
    let end = ends(&server).await;
    way.plan(".STREAM.INFO.ts_site_devices", Fate::Lost, usize::MAX);
    way.cut();
    forget(&server, &["devices"]).await;
    eventually("an append to a log made anew", async || one.append(To::user("bob"), 0).await).await;
    // Nothing of what the other knows is there to be looked at.
    one.appends_until(&server, end + 1).await;
    way.clear();
    let back = eventually("the one that was away", async || away.append(To::user("ann"), "back").await);
    assert_eq!(back.await.queued.len(), 1);
    until("its device to be told", || away.is_told_of_a_loss()).await;
    away.is_up_to_date().await;
    one.is_up_to_date().await;
    assert_eq!(away.read("ann", "phone").await, one.read("ann", "phone").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_a_hole_is_gone_on_with_and_that_is_told() {
    let server = engine::Nats::start().await;
    let one = Node::new(&server, "site").await;
    one.arrive("ann", "phone").await;
    for number in 0..5 {
        one.append(To::user("ann"), number).await.unwrap();
    }
    let log = jetstream(&server).await.get_stream("ts_site_devices").await.unwrap();
    log.delete_message(ends(&server).await - 2).await.unwrap();
    let late = Node::new(&server, "site").await;
    eventually("a late node", async || late.append(To::user("nobody"), 0).await).await;
    until("the device to be told", || one.is_told_of_a_loss()).await;
    let appended = eventually("an append", async || one.append(To::user("ann"), "new").await).await;
    assert_eq!(appended.queued, [(device("ann", "phone"), Queued::At(6))], "places are not given again");
    late.is_up_to_date().await;
    assert_eq!(late.read("ann", "phone").await, one.read("ann", "phone").await, "the same on both");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_last_message_is_gone_on_with() {
    let server = engine::Nats::start().await;
    let one = Node::new(&server, "site").await;
    one.arrive("ann", "phone").await;
    one.append(To::user("ann"), 1).await.unwrap();
    let ended = one.store.ended();
    drop(one);
    tokio::time::timeout(BACK, ended).await.unwrap();
    let log = jetstream(&server).await.get_stream("ts_site_devices").await.unwrap();
    log.delete_message(ends(&server).await).await.unwrap();
    let late = Node::new(&server, "site").await;
    eventually("a late node", async || late.append(To::user("ann"), 2).await).await;
    assert_eq!(late.read("ann", "phone").await.len(), 2);
}
