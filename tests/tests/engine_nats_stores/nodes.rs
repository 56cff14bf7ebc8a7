//! Several nodes with the same queues: one order, and what each hears of the others.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokensocket_server::{
    Acknowledge, Device, DeviceStore, Message, NatsReplicaOptions, QueueLimits, Queued, ResyncReason,
    StoreError, Timestamp, To,
};
use tokensocket_tests::engine;
use tokensocket_tests::limit::within;

use crate::node::{Node, device, message};

#[tokio::test(flavor = "multi_thread")]
async fn appends_of_two_nodes_have_one_order_and_each_hears_of_the_other() {
    const EACH: usize = 500;
    let server = engine::Nats::start().await;
    let (one, other) = (Node::new(&server, "site").await, Node::new(&server, "site").await);
    one.arrive("ann", "phone").await;
    other.arrive("ann", "laptop").await;
    let appends = (0..EACH).flat_map(|number| {
        [
            one.append(To::user("ann"), format!("one {number}")),
            other.append(To::room("room"), format!("other {number}")),
        ]
    });
    let appended = within("all appends", join_all(appends)).await;
    let mut seqs = BTreeMap::<Device, Vec<u64>>::new();
    for appended in appended {
        for (device, queued) in appended.unwrap().queued {
            let Queued::At(seq) = queued else { panic!("nothing is full") };
            seqs.entry(device).or_default().push(seq);
        }
    }
    let all: Vec<u64> = (1..=2 * EACH as u64).collect();
    for (device, mut seqs) in seqs {
        seqs.sort_unstable();
        assert_eq!(seqs, all, "{device:?}");
    }
    one.is_up_to_date().await;
    other.is_up_to_date().await;
    let phone = one.read("ann", "phone").await;
    assert_eq!(phone.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), all);
    assert_eq!(phone, other.read("ann", "phone").await, "the same on both");
    for (node, mine, id) in [(&one, "one", "phone"), (&other, "other", "laptop")] {
        let own: Vec<_> = phone.iter().filter(|(_, args)| args.contains(&format!("\"{mine} "))).collect();
        assert!(own.is_sorted_by_key(|(_, args)| {
            args.split(' ').nth(1).unwrap().trim_end_matches("\"]").parse::<usize>().unwrap()
        }));
        let heard = node.heard.queued.lock().unwrap();
        let others: Vec<_> = phone.iter().filter(|(_, args)| !args.contains(&format!("\"{mine} "))).collect();
        assert_eq!(heard.len(), others.len(), "of each append of the other, once, for its own device");
        for ((who, queued, args), (seq, expected)) in heard.iter().zip(others) {
            assert_eq!((&*who.id, queued, args), (id, &Queued::At(*seq), expected));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_hears_what_another_did_to_its_devices() {
    let server = engine::Nats::start().await;
    let limits = QueueLimits { count: 2, ..QueueLimits::default() };
    let one = Node::with(&server, "site", limits.clone(), NatsReplicaOptions::new()).await;
    let other = Node::with(&server, "site", limits, NatsReplicaOptions::new()).await;
    one.arrive("ann", "phone").await;
    one.arrive("bob", "phone").await;
    for number in 0..3 {
        other.append(To::user("ann"), number).await.unwrap();
    }
    one.is_up_to_date().await;
    {
        let heard = one.heard.queued.lock().unwrap();
        let [(_, Queued::At(1), _), (_, Queued::At(2), _), (_, Queued::Overflowed { last: 2, resync }, _)] =
            &heard[..]
        else {
            panic!("{heard:?}")
        };
        assert_eq!(resync.reason, ResyncReason::Overflow);
    }
    // Acknowledged elsewhere, out of order.
    for _ in 0..2 {
        let ordered = Message { resync: true, ..message("x") };
        other.store.append(To::user("bob"), ordered, Timestamp::now()).await.unwrap();
    }
    let resync =
        other.store.acknowledge(device("bob", "phone"), Acknowledge::One(2), Timestamp::now()).await.unwrap();
    one.is_up_to_date().await;
    assert_eq!(*one.heard.resyncs.lock().unwrap(), [(device("bob", "phone"), resync.unwrap())]);
    // Too old, found by another.
    other.store.append(To::user("ann"), message("old"), Timestamp(1)).await.unwrap();
    other.store.expire(Timestamp::now()).await.unwrap();
    one.is_up_to_date().await;
    let resyncs = one.heard.resyncs.lock().unwrap();
    assert_eq!(resyncs.last().unwrap().1.reason, ResyncReason::Expired);
    assert!(other.heard.queued.lock().unwrap().is_empty() && other.heard.resyncs.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_begins_late_knows_everything() {
    let server = engine::Nats::start().await;
    let options = NatsReplicaOptions::new().image_every(20, 1 << 30);
    let one = Node::with(&server, "site", QueueLimits::default(), options.clone()).await;
    let arrived = one.arrive("ann", "phone").await;
    let keyed = Message { key: Some("key".into()), ..message("kept") };
    one.store.append(To::user("ann"), keyed.clone(), Timestamp::now()).await.unwrap();
    let log = async || {
        let client = async_nats::connect(server.url()).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        jetstream.get_stream("ts_site_devices").await.unwrap().cached_info().state.clone()
    };
    let mut number = 0;
    let purged = async {
        while log().await.first_sequence < 60 {
            for _ in 0..20 {
                one.append(To::user("ann"), number).await.unwrap();
                number += 1;
            }
            // So few that the queue never overflows.
            let last = one.read("ann", "phone").await.last().unwrap().0;
            one.store
                .acknowledge(device("ann", "phone"), Acknowledge::Through(last - 1), Timestamp::now())
                .await
                .unwrap();
        }
    };
    within("images, and a log that forgets what is in them", purged).await;

    let late = Node::with(&server, "site", QueueLimits::default(), options).await;
    assert!(late.store.append(To::everyone(), keyed, Timestamp::now()).await.unwrap().duplicate, "the key");
    assert_eq!(late.read("ann", "phone").await, one.read("ann", "phone").await);
    let again = late.arrive("ann", "phone").await;
    assert_eq!((again.epoch, again.resumed), (arrived.epoch, true));
    let (last, appended) = (again.last, late.append(To::room("room"), "new").await.unwrap());
    assert_eq!(appended.queued, [(device("ann", "phone"), Queued::At(last + 1))]);
    one.is_up_to_date().await;
    assert_eq!(
        one.heard.queued.lock().unwrap().last().unwrap().1,
        Queued::At(last + 1),
        "it is connected there still"
    );
    // What came while an image was made is in the next one.
    within("a short log", async { while log().await.messages >= 100 {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_has_a_bound() {
    let server = engine::Nats::start().await;
    let options = NatsReplicaOptions::new().max_bytes(10_000);
    let one = Node::with(&server, "site", QueueLimits::default(), options).await;
    one.arrive("ann", "phone").await;
    let text = "x".repeat(1000);
    let mut kept = 0;
    let refused = loop {
        match one.append(To::user("ann"), &text).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::TooMany(_)), "{refused:?}");
    assert!((3..10).contains(&kept), "{kept}");
    one.store.acknowledge(device("ann", "phone"), Acknowledge::One(1), Timestamp::now()).await.unwrap();
    one.append(To::user("ann"), &text).await.unwrap();
}
