//! Nodes that die, and such as are taken for dead.

use std::time::Duration;

use tokensocket_server::{
    Arrival, Change, Channel, DeviceStore, Nats, NatsDeviceStore, NatsOptions, NatsPresenceStore,
    NatsReplicaOptions, PresenceStore, QueueLimits, Queued, ResyncReason, Timestamp, To,
};
use tokensocket_tests::engine;
use tokensocket_tests::limit::within;

use crate::node::{Node, arrival, connect, device, member, message};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_held_is_let_go() {
    let server = engine::Nats::start().await;
    let options = NatsReplicaOptions::new().lease(Duration::from_millis(600));
    let (url, runtime) =
        (server.url(), tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
    let doomed = options.clone();
    let devices = runtime.spawn(async move {
        let nats = Nats::connect(&url, NatsOptions::new()).await.unwrap().namespace("site");
        let devices = NatsDeviceStore::with(&nats, QueueLimits::default(), doomed.clone());
        let presence = NatsPresenceStore::with(&nats, doomed);
        devices.arrive(arrival("ann", "phone"), Timestamp::now()).await.unwrap();
        let passing = Arrival { ttl: Duration::ZERO, ..arrival("bob", "~1") };
        devices.arrive(passing, Timestamp::now()).await.unwrap();
        presence.join(&Channel::new("c").unwrap(), member("1", None), false).await.unwrap();
        (devices, presence)
    });
    let held = devices.await.unwrap();
    let node = Node::with(&server, "site", QueueLimits::default(), options.clone()).await;
    let presence = NatsPresenceStore::with(&connect(&server, "site").await, options);
    let channel = Channel::new("c").unwrap();
    within("the member", async { while presence.counts(&channel).await.unwrap().clients != 1 {} }).await;
    assert_eq!(node.append(To::everyone(), 1).await.unwrap().queued.len(), 2);
    // Nothing of it runs any more; it tells nobody.
    std::mem::forget(held);
    runtime.shutdown_background();

    // The one that is kept for as long as it is connected is forgotten with its connection.
    let forgotten = async {
        loop {
            node.store.expire(Timestamp::now()).await.unwrap();
            if node.append(To::everyone(), 2).await.unwrap().queued.len() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within("its device to be forgotten", forgotten).await;
    let over = Timestamp(Timestamp::now().0 + 3_601_000);
    assert_eq!(
        node.store.append(To::everyone(), message(3), over).await.unwrap().queued.len(),
        0,
        "the other departed"
    );

    let other = NatsPresenceStore::with(&connect(&server, "site").await, NatsReplicaOptions::new());
    let left = async {
        loop {
            // Two look at once: one of them says it.
            let (one, two) = (presence.expire(Timestamp::now()), other.expire(Timestamp::now()));
            let left: Vec<_> = [one.await.unwrap(), two.await.unwrap()].concat();
            if !left.is_empty() {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let left = within("its member to leave", left).await;
    assert_eq!(
        left.iter().map(|(channel, member)| (channel.as_str(), &*member.client)).collect::<Vec<_>>(),
        [("c", "1")]
    );
    assert_eq!(presence.counts(&channel).await.unwrap().clients, 0);
    assert!(presence.expire(Timestamp::now()).await.unwrap().is_empty(), "said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_taken_for_dead_says_again_what_it_holds() {
    let server = engine::Nats::start().await;
    let long = NatsReplicaOptions::new().lease(Duration::from_mins(10));
    let one = Node::with(&server, "site", QueueLimits::default(), long.clone()).await;
    let presence = NatsPresenceStore::with(&connect(&server, "site").await, long.clone());
    let channel = Channel::new("c").unwrap();
    presence.join(&channel, member("1", Some("ann")), true).await.unwrap();
    one.arrive("ann", "phone").await;
    let passing = Arrival { ttl: Duration::ZERO, ..arrival("bob", "~1") };
    one.store.arrive(passing, Timestamp::now()).await.unwrap();
    one.append(To::everyone(), 1).await.unwrap();
    // By its clock the other one waits for next to nothing.
    let short = NatsReplicaOptions::new().lease(Duration::from_millis(100));
    let other = Node::with(&server, "site", QueueLimits::default(), short.clone()).await;
    let impatient = NatsPresenceStore::with(&connect(&server, "site").await, short);
    let ended = async {
        while one.heard.resyncs.lock().unwrap().is_empty() {
            other.store.expire(Timestamp::now()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the device that was forgotten to be told", ended).await;
    {
        let resyncs = one.heard.resyncs.lock().unwrap();
        let [(lost, resync)] = &resyncs[..] else { panic!("{resyncs:?}") };
        assert_eq!(
            (lost, resync.reason),
            (&device("bob", "~1"), ResyncReason::Lost),
            "only what was forgotten"
        );
    }
    let appended = one.append(To::everyone(), 2).await.unwrap();
    let mut queued = appended.queued;
    queued.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(
        queued,
        [(device("ann", "phone"), Queued::At(2)), (device("bob", "~1"), Queued::At(2))],
        "places go on"
    );
    assert_eq!(one.read("ann", "phone").await.len(), 2, "it kept what it had");
    let over = Timestamp(Timestamp::now().0 + 7_200_000);
    assert_eq!(
        other.store.append(To::everyone(), message(3), over).await.unwrap().queued.len(),
        2,
        "both are connected"
    );

    let left = async {
        loop {
            let left = impatient.expire(Timestamp::now()).await.unwrap();
            if !left.is_empty() {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(&*within("it to be taken off", left).await[0].1.client, "1");
    let back = async { while impatient.counts(&channel).await.unwrap().clients != 1 {} };
    within("it to be there again", back).await;
    let left = presence.leave(&channel, "1", true).await.unwrap();
    assert!(matches!(left, Change::Left(_)), "{left:?}");
}
