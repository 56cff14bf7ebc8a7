//! Tokens, presence and device queues over real NATS servers: their duties, several nodes, and what happens when a node or
//! a server dies.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's result")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokensocket_server::conformance;
use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Change, Channel, Device, DeviceHandler, DeviceStore, Identity,
    Member, MemoryDeviceStore, Message, Nats, NatsDeviceStore, NatsOptions, NatsPresenceStore,
    NatsReplicaOptions, NatsTokenStore, NodeId, PresenceStore, QueueLimits, Queued, RawJson, Resync,
    ResyncReason, StoreError, Timestamp, To, Token, TokenStore,
};
use tokensocket_tests::engine;
use tokensocket_tests::limit::{until, within};

/// How long a store may take to be back after its server is.
const BACK: Duration = Duration::from_secs(30);

async fn connect(server: &engine::Nats, namespace: &str) -> Nats {
    let nats = Nats::connect(&server.url(), NatsOptions::new()).await.expect("a connection");
    nats.namespace(namespace)
}

fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

fn message(args: impl serde::Serialize) -> Message {
    Message { event: "e".into(), args: RawJson::new(&[args]).unwrap(), resync: false, key: None }
}

fn arrival(user: &str, id: &str) -> Arrival {
    Arrival { device: device(user, id), rooms: vec!["room".into()], ttl: Duration::from_hours(1) }
}

/// What a node heard of others.
#[derive(Default)]
struct Heard {
    queued: Mutex<Vec<(Device, Queued, String)>>,
    resyncs: Mutex<Vec<(Device, Resync)>>,
    gaps: Mutex<usize>,
}

impl DeviceHandler for Heard {
    fn handle_queued(&self, device: &Device, queued: &Queued, message: Option<&Message>) {
        let args = message.map_or_else(String::new, |message| message.args.as_str().to_owned());
        self.queued.lock().unwrap().push((device.clone(), queued.clone(), args));
    }

    fn handle_resync(&self, device: &Device, resync: &Resync) {
        self.resyncs.lock().unwrap().push((device.clone(), resync.clone()));
    }

    fn handle_gap(&self) {
        *self.gaps.lock().unwrap() += 1;
    }
}

/// A node with a connection of its own.
struct Node {
    store: NatsDeviceStore,
    heard: Arc<Heard>,
}

impl Node {
    async fn new(server: &engine::Nats, namespace: &str) -> Self {
        Self::with(server, namespace, QueueLimits::default(), NatsReplicaOptions::new()).await
    }

    async fn with(
        server: &engine::Nats,
        namespace: &str,
        limits: QueueLimits,
        options: NatsReplicaOptions,
    ) -> Self {
        let store = NatsDeviceStore::with(&connect(server, namespace).await, limits, options);
        let heard = Arc::new(Heard::default());
        let handler = Arc::downgrade(&heard) as Weak<dyn DeviceHandler>;
        store.start(NodeId::random().unwrap(), handler).expect("it has no node yet");
        Self { store, heard }
    }

    async fn arrive(&self, user: &str, id: &str) -> Arrived {
        within("an arrival", self.store.arrive(arrival(user, id), Timestamp::now())).await.unwrap()
    }

    async fn append(&self, to: To, args: impl serde::Serialize) -> Result<Appended, StoreError> {
        self.store.append(to, message(args), Timestamp::now()).await
    }

    async fn read(&self, user: &str, id: &str) -> Vec<(u64, String)> {
        let entries =
            within("entries", self.store.read(device(user, id), 0, usize::MAX, Timestamp::now())).await;
        entries
            .unwrap()
            .into_iter()
            .map(|entry| (entry.seq, entry.message.args.as_str().to_owned()))
            .collect()
    }

    /// Waits until the node has seen what every other did before.
    async fn is_up_to_date(&self) {
        within("its own call", self.store.told(device("nobody", "x"), Vec::new())).await.unwrap();
    }
}

/// Calls until it succeeds: the server was away.
async fn eventually<R>(what: &str, call: impl AsyncFn() -> Result<R, StoreError>) -> R {
    let trying = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(BACK, trying).await.unwrap_or_else(|_| panic!("waited {BACK:?} for {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn device_queues_do_what_they_must() {
    let server = engine::Nats::start().await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    conformance::devices(async |limits| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let nats = connect(&server, &format!("site{number}")).await;
        NatsDeviceStore::with(&nats, limits, NatsReplicaOptions::new())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_queues_are_kept() {
    let server = engine::Nats::start().await;
    let before = tokio::sync::Mutex::new(None);
    conformance::devices_kept(async |limits| {
        let mut before = before.lock().await;
        if let Some(ended) = before.take() {
            within::<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>("the store before to end", ended)
                .await;
        }
        let store = NatsDeviceStore::with(
            &connect(&server, "site").await,
            limits,
            NatsReplicaOptions::new().image_every(5, 1 << 20),
        );
        *before = Some(Box::pin(store.ended()));
        store
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_does_what_it_must() {
    let server = engine::Nats::start().await;
    conformance::presence(async || NatsPresenceStore::new(&connect(&server, "site").await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_what_they_must() {
    let server = engine::Nats::start().await;
    let nats = connect(&server, "site").await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    let next = || {
        nats.clone().namespace(&format!("site{}", count.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    };
    conformance::tokens(|capacity| NatsTokenStore::with_capacity(&next(), capacity)).await;
    conformance::tokens_shared(|capacity| {
        let site = next();
        [NatsTokenStore::with_capacity(&site, capacity), NatsTokenStore::with_capacity(&site, capacity)]
    })
    .await;
}

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
    let log = log().await;
    assert!(log.messages < 100, "{log:?}");
}

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

fn member(client: &str, user: Option<&str>) -> Member {
    Member {
        client: client.into(),
        user: user.map(Into::into),
        info: RawJson::null(),
        since: Timestamp::now(),
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_that_was_answered() {
    let mut server = engine::Nats::start().await;
    let limits = QueueLimits { count: 1_000_000, bytes: 1 << 30, ..QueueLimits::default() };
    let one = Arc::new(
        Node::with(&server, "site", limits.clone(), NatsReplicaOptions::new().image_every(50, 1 << 20)).await,
    );
    let other = Arc::new(Node::with(&server, "site", limits.clone(), NatsReplicaOptions::new()).await);
    one.arrive("ann", "phone").await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut writers = Vec::new();
    for writer in 0..8 {
        let (node, stopped) = (Arc::clone(if writer % 2 == 0 { &one } else { &other }), stopped.clone());
        writers.push(tokio::spawn(async move {
            let mut accepted = Vec::new();
            let mut number = 0;
            while !*stopped.borrow() {
                number += 1;
                let text = format!("{writer} {number}");
                match node.append(To::user("ann"), &text).await {
                    Ok(appended) => {
                        let [(_, Queued::At(seq))] = &appended.queued[..] else { panic!("{appended:?}") };
                        accepted.push((*seq, format!("[\"{text}\"]")));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            accepted
        }));
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.start_again().await;
        eventually("an append after the restart", async || one.append(To::user("nobody"), 0).await).await;
    }
    stop.send_replace(true);
    let mut accepted = BTreeMap::new();
    for writer in writers {
        for (seq, text) in tokio::time::timeout(BACK, writer).await.expect("a writer ends").unwrap() {
            assert!(accepted.insert(seq, text).is_none(), "{seq} was given twice");
        }
    }
    assert!(accepted.len() > 100, "{}", accepted.len());
    one.is_up_to_date().await;
    let late = Node::with(&server, "site", limits, NatsReplicaOptions::new()).await;
    late.is_up_to_date().await;
    let kept = late.read("ann", "phone").await;
    assert_eq!(kept, one.read("ann", "phone").await);
    assert!(kept.iter().zip(1..).all(|((seq, _), expected)| *seq == expected), "contiguous");
    let texts: BTreeMap<u64, String> = kept.iter().cloned().collect();
    for (seq, text) in &accepted {
        assert_eq!(texts.get(seq), Some(text), "what was answered is kept where it was said");
    }
    let mut all: Vec<&String> = kept.iter().map(|(_, text)| text).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "none twice");
    assert_eq!(late.arrive("ann", "phone").await.resyncs, []);
    assert!(one.heard.resyncs.lock().unwrap().is_empty(), "nobody is told of a loss");
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
    let client = async_nats::connect(server.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for stream in ["devices", "devices-images", "presence", "presence-images"] {
        jetstream.delete_stream(format!("ts_site_{stream}")).await.unwrap();
    }
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

fn token(number: u64) -> Token {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&(!number).to_be_bytes());
    Token::from_random(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_raced_by_two_nodes_has_one_winner() {
    const TOKENS: u64 = 10_000;
    const RACERS: usize = 4;
    const AT_ONCE: u64 = 100;
    let server = engine::Nats::start().await;
    let stores = [
        NatsTokenStore::new(&connect(&server, "site").await),
        NatsTokenStore::new(&connect(&server, "site").await),
    ];
    for first in (0..TOKENS).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let ttl = Duration::from_mins(1);
        let issued = (first..first + AT_ONCE)
            .map(|n| stores[0].issue(token(n), Identity::new(n).user(n.to_string()), ttl));
        for issued in within("tokens", join_all(issued)).await {
            issued.unwrap();
        }
        let races = (first..first + AT_ONCE).map(|number| {
            let stores = &stores;
            let racers = (0..RACERS).map(move |racer| stores[racer % 2].redeem(token(number)));
            async move { (number, join_all(racers).await) }
        });
        for (number, race) in within("redemptions", join_all(races)).await {
            let winners: Vec<_> = race.into_iter().filter_map(Result::unwrap).collect();
            let [identity] = &winners[..] else { panic!("{number}: {} winners", winners.len()) };
            assert_eq!(identity.parse::<u64>().unwrap(), number);
            assert_eq!(identity.user_id().map(|user| &**user), Some(number.to_string().as_str()));
        }
    }
    let last = stores[1].redeem(token(0)).await.unwrap();
    assert!(last.is_none(), "spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_are_bounded_and_are_not_spent_by_guesses() {
    let server = engine::Nats::start().await;
    let store = NatsTokenStore::with_capacity(&connect(&server, "site").await, 3);
    let ttl = Duration::from_mins(1);
    let identity = Identity::new("data").user("8").rooms(["a"]).public("Ann").passing();
    store.issue(token(1), identity, ttl).await.unwrap();
    store.issue(token(2), Identity::anonymous(), Duration::from_millis(1)).await.unwrap();
    let mut guess = [0; 16];
    guess[..8].copy_from_slice(&1_u64.to_be_bytes());
    assert!(store.redeem(Token::from_random(guess)).await.unwrap().is_none());
    store.issue(token(3), Identity::anonymous(), ttl).await.unwrap();
    assert!(store.issue(token(4), Identity::anonymous(), ttl).await.is_err(), "full");
    let redeemed = store.redeem(token(1)).await.unwrap().unwrap();
    assert_eq!(redeemed.parse::<String>().unwrap(), "data");
    assert_eq!(
        (redeemed.public_part().as_str(), redeemed.is_passing(), redeemed.room_names().len()),
        ("\"Ann\"", true, 1)
    );
    store.issue(token(4), Identity::anonymous(), ttl).await.unwrap();
    assert!(store.redeem(token(2)).await.unwrap().is_none(), "its time is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_forgotten_with_their_server_and_others_are_issued() {
    let mut server = engine::Nats::start().await;
    let store = NatsTokenStore::new(&connect(&server, "site").await);
    let ttl = Duration::from_mins(1);
    store.issue(token(1), Identity::anonymous(), ttl).await.unwrap();
    server.kill();
    server.start_again().await;
    let redeemed = eventually("an answer", async || {
        store.redeem(token(1)).await.map_err(|error| StoreError::Unavailable(error.to_string()))
    })
    .await;
    assert!(redeemed.is_none());
    store.issue(token(2), Identity::anonymous(), ttl).await.unwrap();
    assert!(store.redeem(token(2)).await.unwrap().is_some());
}

/// Random calls at two nodes, one after the other, and at queues in memory: the same answers but for names of epochs.
#[tokio::test(flavor = "multi_thread")]
async fn answers_as_queues_in_memory_do() {
    let server = engine::Nats::start().await;
    let limits = QueueLimits {
        count: 4,
        bytes: 60,
        age: Duration::from_secs(40),
        key_window: Duration::from_secs(20),
        keys: 3,
        devices: 5,
        devices_per_user: 2,
    };
    for seed in 0..4 {
        let options = NatsReplicaOptions::new().image_every(25, 1 << 20);
        let namespace = format!("site{seed}");
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(Node::with(&server, &namespace, limits.clone(), options.clone()).await);
        }
        compare(&mut nodes, &server, &namespace, &limits, &options, seed).await;
    }
}

#[allow(clippy::too_many_lines, reason = "a line or two for each kind of call")]
async fn compare(
    nodes: &mut Vec<Node>,
    server: &engine::Nats,
    namespace: &str,
    limits: &QueueLimits,
    options: &NatsReplicaOptions,
    seed: u64,
) {
    let memory = MemoryDeviceStore::new(limits.clone());
    let mut random = StdRng::seed_from_u64(seed);
    let mut now = 1_700_000_000_000_u64;
    let mut connected: Vec<(usize, Device)> = Vec::new();
    for step in 0..600 {
        now += random.random_range(0..2_000);
        let at = Timestamp(now);
        let node = random.random_range(0..nodes.len());
        if step % 200 == 150 {
            // One more, which reads an image and the log behind it.
            nodes.push(Node::with(server, namespace, limits.clone(), options.clone()).await);
        }
        let store = &nodes[node].store;
        let user = random.random_range(0..3).to_string();
        let device = device(&user, ["a", "b", "c"][random.random_range(0..3)]);
        let context = format!("seed {seed} step {step} {device:?}");
        match random.random_range(0..10) {
            0 | 1 => {
                let ttl = Duration::from_secs(random.random_range(0..30));
                let rooms = (0..random.random_range(0..3))
                    .map(|_| ["x", "y"][random.random_range(0..2)].into())
                    .collect();
                let arrival = Arrival { device: device.clone(), rooms, ttl };
                let (ours, theirs) =
                    (store.arrive(arrival.clone(), at).await, memory.arrive(arrival, at).await);
                if ours.is_ok() {
                    connected.push((node, device));
                }
                let plain = |arrived: Arrived| (arrived.resumed, arrived.last, arrived.resyncs);
                assert_eq!(ours.map(plain), theirs.map(plain), "{context}");
            }
            2 if !connected.is_empty() => {
                let (node, device) = connected.swap_remove(random.random_range(0..connected.len()));
                nodes[node].store.depart(device.clone(), at).await.unwrap();
                memory.depart(device, at).await.unwrap();
            }
            3..=5 => {
                let to = match random.random_range(0..4) {
                    0 => To::everyone(),
                    1 => To::room("x"),
                    2 => To::rooms(["x", "y"]),
                    _ => To::users([user.as_str(), "1"]),
                };
                let message = Message {
                    event: ["e", "f"][random.random_range(0..2)].into(),
                    resync: random.random(),
                    key: random
                        .random_bool(0.2)
                        .then(|| ["k", "l", "m", "n"][random.random_range(0..4)].into()),
                    ..message("x".repeat(random.random_range(0..30)))
                };
                let (ours, theirs) = (
                    store.append(to.clone(), message.clone(), at).await,
                    memory.append(to, message, at).await,
                );
                let plain = |mut appended: Appended| {
                    appended.queued.sort_by(|(a, _), (b, _)| a.cmp(b));
                    (appended.queued, appended.duplicate)
                };
                assert_eq!(ours.map(plain), theirs.map(plain), "{context}");
            }
            6 | 7 => {
                let seq = random.random_range(0..40);
                let what = if random.random() { Acknowledge::One(seq) } else { Acknowledge::Through(seq) };
                let ours = store.acknowledge(device.clone(), what, at).await;
                assert_eq!(ours, memory.acknowledge(device, what, at).await, "{context}");
            }
            8 => {
                let (ours, theirs) = (store.expire(at).await.unwrap(), memory.expire(at).await.unwrap());
                let plain = |mut resyncs: Vec<(Device, Resync)>| {
                    resyncs.sort_by_key(|(device, resync)| (device.clone(), resync.number));
                    resyncs
                };
                assert_eq!(
                    (ours.devices, plain(ours.resyncs)),
                    (theirs.devices, plain(theirs.resyncs)),
                    "{context}"
                );
            }
            _ => {
                let numbers: Vec<u64> = (0..random.random_range(0..6)).collect();
                store.told(device.clone(), numbers.clone()).await.unwrap();
                memory.told(device.clone(), numbers).await.unwrap();
                let plain = |entries: Vec<tokensocket_server::Entry>| {
                    entries
                        .into_iter()
                        .map(|entry| (entry.seq, entry.message.args, entry.at))
                        .collect::<Vec<_>>()
                };
                let (ours, theirs) =
                    (store.read(device.clone(), 0, 9, at).await, memory.read(device, 0, 9, at).await);
                assert_eq!(ours.map(plain), theirs.map(plain), "{context}");
            }
        }
    }
    for node in nodes.iter() {
        node.is_up_to_date().await;
        for user in ["0", "1", "2"] {
            for id in ["a", "b", "c"] {
                let entries = memory.read(device(user, id), 0, 99, Timestamp(now)).await.unwrap();
                let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
                assert_eq!(node.read(user, id).await.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), seqs);
            }
        }
        assert_eq!(node.store.counts(), memory.counts());
    }
}
