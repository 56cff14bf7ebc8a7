//! A server that is killed, away or full, and images that fail or are late.

use std::sync::Arc;
use std::time::Duration;

use tokensocket_server::{
    DeviceStore, Nats, NatsOptions, NatsReplicaOptions, Outage, QueueLimits, StoreError, Timestamp, To,
};
use tokensocket_tests::engine::{self, Fate, NatsWay};
use tokensocket_tests::limit::{until, within};

use crate::node::{BACK, Node, begins, device, eventually, message};
use crate::writers::Writers;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_that_was_answered() {
    let mut server = engine::Nats::start().await;
    let limits = QueueLimits { count: 1_000_000, bytes: 1 << 30, ..QueueLimits::default() };
    let one = Arc::new(
        Node::with(&server, "site", limits.clone(), NatsReplicaOptions::new().image_every(50, 1 << 20)).await,
    );
    let other = Arc::new(Node::with(&server, "site", limits.clone(), NatsReplicaOptions::new()).await);
    one.arrive("ann", "phone").await;
    let writers = Writers::start(8, &[Arc::clone(&one), Arc::clone(&other)]);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.start_again().await;
        eventually("an append after the restart", async || one.append(To::user("nobody"), 0).await).await;
    }
    let accepted = writers.stop(BACK).await;
    assert!(accepted.len() > 100, "{}", accepted.len());
    one.is_up_to_date().await;
    let late = Node::with(&server, "site", limits, NatsReplicaOptions::new()).await;
    late.is_up_to_date().await;
    let kept = late.read("ann", "phone").await;
    assert_eq!(kept, one.read("ann", "phone").await);
    accepted.is_kept(&kept);
    assert_eq!(late.arrive("ann", "phone").await.resyncs, []);
    assert!(one.heard.resyncs.lock().unwrap().is_empty(), "nobody is told of a loss");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_and_goes_on() {
    let server = engine::Nats::with(engine::Settings::new().storage(32 << 20)).await;
    let (one, other) = (Node::new(&server, "site").await, Node::new(&server, "site").await);
    one.arrive("ann", "phone").await;
    other.arrive("ann", "laptop").await;
    one.append(To::user("ann"), 1).await.unwrap();
    for _ in 0..3 {
        server.fill().await;
        let text = "x".repeat(100_000);
        let refused = async || loop {
            if let Err(error) = one.append(To::user("bob"), &text).await {
                return error;
            }
        };
        assert_eq!(within("a refusal", refused()).await, StoreError::DiskFull);
        for _ in 0..3 {
            assert_eq!(within("another", refused()).await, StoreError::DiskFull, "at once, each time");
            let theirs = within("one of the other", other.append(To::user("bob"), &text)).await;
            assert_eq!(theirs.unwrap_err(), StoreError::DiskFull);
        }
        server.empty().await;
        // Of both at once: whoever speaks first, the other is there still.
        let (ours, theirs) = futures_util::join!(
            eventually("room", async || one.append(To::user("ann"), "one").await),
            eventually("room", async || other.append(To::user("ann"), "other").await),
        );
        assert_eq!((ours.queued.len(), theirs.queued.len()), (2, 2));
    }
    one.is_up_to_date().await;
    other.is_up_to_date().await;
    let kept = one.read("ann", "phone").await;
    assert_eq!(
        kept.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7],
        "and nothing that was refused"
    );
    for (node, theirs) in [(&one, "other"), (&other, "one")] {
        let heard = node.heard.queued.lock().unwrap();
        let heard = heard.iter().filter(|(_, _, args)| args.contains(theirs)).count();
        assert_eq!(heard, 3, "hears all that the other did");
    }
    let over = Timestamp(Timestamp::now().0 + 7_200_000);
    assert_eq!(
        one.store.append(To::user("ann"), message("x"), over).await.unwrap().queued.len(),
        2,
        "both are connected"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_keeps_nobody_waiting_where_calls_are_held() {
    let server = engine::Nats::with(engine::Settings::new().storage(32 << 20)).await;
    let way = NatsWay::to(server.address).await;
    let held = NatsOptions::new().outage(Outage::Buffer { messages: 100, bytes: 1 << 20 });
    let nats = Nats::connect(&format!("nats://{}", way.address), held).await.unwrap().namespace("site");
    let one = Node::at(&nats, QueueLimits::default(), NatsReplicaOptions::new());
    one.arrive("ann", "phone").await;
    one.append(To::user("ann"), 1).await.unwrap();
    server.fill().await;
    // Nobody knows what became of it: it is sent again, and refused.
    way.plan("ts.site.r.devices.log", Fate::Lost, 1);
    let text = "x".repeat(100_000);
    let unknown = tokio::time::timeout(BACK, one.append(To::user("bob"), &text)).await;
    assert_eq!(unknown.expect("an end").unwrap_err(), StoreError::Timeout);
    let behind = tokio::time::timeout(BACK, one.append(To::user("bob"), &text)).await;
    assert_eq!(behind.expect("an end, too").unwrap_err(), StoreError::Timeout);
    server.empty().await;
    eventually("room", async || one.append(To::user("ann"), 2).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_used_keeps_nobody_waiting_where_calls_are_held() {
    let server = engine::Nats::start().await;
    let held = NatsOptions::new()
        .timeout(Duration::from_secs(1))
        .outage(Outage::Buffer { messages: 100, bytes: 1 << 20 });
    let nats = Nats::connect(&server.url(), held).await.unwrap().namespace("site");
    let one = Node::at(&nats, QueueLimits::default(), NatsReplicaOptions::new());
    one.arrive("ann", "phone").await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let later = r#"{"v":2,"i":1,"n":1,"e":[{"new":1}]}"#;
    jetstream.publish("ts.site.r.devices.log", later.into()).await.unwrap().await.unwrap();
    let unknown = tokio::time::timeout(BACK, one.append(To::user("ann"), 1)).await;
    assert_eq!(unknown.expect("an end").unwrap_err(), StoreError::Timeout);
    let read = one.store.read(device("ann", "phone"), 0, usize::MAX, Timestamp::now());
    tokio::time::timeout(BACK, read).await.expect("an end, too").unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_calls_are_refused_at_once() {
    let mut server = engine::Nats::start().await;
    let (one, other) = (Node::new(&server, "site").await, Node::new(&server, "site").await);
    one.arrive("ann", "phone").await;
    one.append(To::user("ann"), 1).await.unwrap();
    other.is_up_to_date().await;
    server.kill();
    let refused = async {
        loop {
            if let Err(StoreError::Unavailable(why)) = one.append(To::user("ann"), 2).await {
                return why;
            }
        }
    };
    within("a refusal, behind one call whose outcome is not known", refused).await;
    assert_eq!(other.read("ann", "phone").await.len(), 1, "what is known is read all the same");
    server.start_again().await;
    eventually("an append", async || one.append(To::user("ann"), 3).await).await;
    until("to hear that hints may be lost", || *one.heard.gaps.lock().unwrap() > 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_is_passed_over() {
    let server = engine::Nats::start().await;
    let options = NatsReplicaOptions::new().image_every(30, 1 << 30);
    let one = Node::with(&server, "site", QueueLimits::default(), options.clone()).await;
    let other = Node::with(&server, "site", QueueLimits::default(), options.clone()).await;
    one.arrive("ann", "phone").await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for text in ["by hand", "", "{}", "[7]"] {
        one.append(To::user("ann"), text).await.unwrap();
        jetstream.publish("ts.site.r.devices.log", text.into()).await.unwrap().await.unwrap();
    }
    one.append(To::user("ann"), "behind").await.unwrap();
    other.is_up_to_date().await;
    let late = Node::with(&server, "site", QueueLimits::default(), options).await;
    late.is_up_to_date().await;
    for node in [&one, &other, &late] {
        let kept = node.read("ann", "phone").await;
        assert_eq!((kept.len(), kept[4].1.as_str()), (5, "[\"behind\"]"));
    }
    assert!(one.heard.resyncs.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_leaves_its_last_frame_and_no_part_of_an_earlier_one() {
    let server = engine::Nats::start().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let often = NatsReplicaOptions::new().image_every(20, 1 << 30);
    let one = Node::with(&server, "site", QueueLimits::default(), often).await;
    one.arrive("ann", "phone").await;
    one.appends_until(&server, 100).await;
    let jetstream = async_nats::jetstream::new(client);
    let images = jetstream.get_stream("ts_site_devices-images").await.unwrap();
    // The latest, and what says that it is.
    let forgotten = async { while images.get_info().await.unwrap().state.messages > 2 {} };
    within("parts of earlier images to be gone", forgotten).await;
    let latest = images.get_last_raw_message_by_subject("ts.site.r.devices.image.latest").await.unwrap();
    let latest: serde_json::Value = serde_json::from_slice(&latest.payload).unwrap();
    assert!(begins(&server).await <= latest["place"].as_u64().unwrap(), "its last frame stays");
}

/// How the streams of images are asked which one is the latest.
const ASKED: &str = "$JS.API.STREAM.MSG.GET.ts_site_devices-images";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_fails_is_made_by_another_node() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let over = NatsOptions::new().timeout(Duration::from_secs(2));
    let nats = Nats::connect(&format!("nats://{}", way.address), over).await.unwrap().namespace("site");
    let often = NatsReplicaOptions::new().image_every(20, 1 << 30);
    let one = Node::at(&nats, QueueLimits::default(), often.clone());
    one.arrive("ann", "phone").await;
    // It has said that it makes an image; then its connection is gone.
    way.plan(ASKED, Fate::Held, 1);
    for number in 0..30 {
        one.append(To::user("ann"), number).await.unwrap();
    }
    way.happened(1).await;
    way.cut();
    let other = Node::with(&server, "site", QueueLimits::default(), often).await;
    other.appends_until(&server, 30).await;
    eventually("the one that was cut off", async || one.append(To::user("ann"), "back").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_made_slowly_takes_the_place_of_no_newer_one() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let patient = NatsOptions::new().timeout(BACK);
    let nats = Nats::connect(&format!("nats://{}", way.address), patient).await.unwrap().namespace("site");
    let often = NatsReplicaOptions::new().image_every(20, 1 << 30);
    let slow = Node::at(&nats, QueueLimits::default(), often.clone().lease(Duration::from_mins(10)));
    slow.arrive("ann", "phone").await;
    way.plan(ASKED, Fate::Held, 1);
    for number in 0..30 {
        slow.append(To::user("ann"), number).await.unwrap();
    }
    way.happened(1).await;
    // Another takes it for dead, and makes a later image.
    let gaps = || *slow.heard.gaps.lock().unwrap();
    let known = gaps();
    let quick = often.clone().lease(Duration::from_millis(100));
    let other = Node::with(&server, "site", QueueLimits::default(), quick).await;
    let ended = async {
        while gaps() == known {
            other.store.expire(Timestamp::now()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the slow one to be ended", ended).await;
    other.appends_until(&server, 60).await;
    let before = begins(&server).await;
    way.release();
    // It goes on with what it was at, if it still is.
    for _ in 0..50 {
        slow.is_up_to_date().await;
    }
    let late = Node::with(&server, "site", QueueLimits::default(), often).await;
    late.is_up_to_date().await;
    let kept = other.read("ann", "phone").await;
    assert!(!kept.is_empty() && before > 60);
    assert_eq!(late.read("ann", "phone").await, kept, "the late one begins with the newer image");
    assert!(other.heard.resyncs.lock().unwrap().is_empty(), "nothing was lost");
}
