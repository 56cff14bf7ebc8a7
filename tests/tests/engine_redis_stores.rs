//! Device queues and presence in real Redis servers: the duties of a store, several nodes, and what Redis loses.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokensocket_server::{
    Acknowledge, Appended, Arrival, Change, Channel, Device, DeviceHandler, DeviceStore, Member, Message,
    NodeId, PresenceStore, QueueLimits, Queued, RawJson, Redis, RedisDeviceStore, RedisOptions,
    RedisPresenceStore, Resync, ResyncReason, StoreError, Timestamp, To, conformance,
};
use tokensocket_tests::engine::{Keep, Redis as Engine, RedisCluster, RedisSentinel, Settings};
use tokensocket_tests::limit::within;
use tokio::sync::mpsc;

/// A namespace that nobody had before.
async fn fresh(url: &str) -> Redis {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    connected(url, &format!("n{}", COUNT.fetch_add(1, Ordering::Relaxed))).await
}

async fn connected(url: &str, namespace: &str) -> Redis {
    let options = RedisOptions::new().lease(LEASE);
    Redis::connect(url, options).await.unwrap().namespace(namespace).unwrap()
}

/// Short, so that dead nodes are found soon.
const LEASE: Duration = Duration::from_secs(1);

async fn passes_all(url: &str) {
    conformance::devices(async |limits| fresh(url).await.device_store(limits)).await;
    let kept = fresh(url).await;
    conformance::devices_kept_by_own_clock(async |limits| kept.device_store(limits)).await;
    conformance::presence(async || fresh(url).await.presence_store()).await;
}

#[tokio::test]
async fn do_what_stores_must_in_one_server() {
    let engine = Engine::start().await;
    passes_all(&engine.url()).await;
}

#[tokio::test]
async fn do_what_stores_must_in_a_cluster() {
    let cluster = RedisCluster::start().await;
    passes_all(&cluster.url()).await;
}

#[tokio::test]
async fn do_what_stores_must_in_several_servers() {
    let servers = [Engine::start().await, Engine::start().await, Engine::start().await];
    let url = servers.iter().map(Engine::url).collect::<Vec<_>>().join(",");
    passes_all(&url).await;
    for server in &servers {
        assert_ne!(server.command(&["DBSIZE"]).await.trim(), "0", "each has a part");
    }
}

#[tokio::test]
async fn do_what_stores_must_behind_sentinels() {
    let sentinel = RedisSentinel::start().await;
    passes_all(&sentinel.url()).await;
}

// Several nodes.

/// What a node was told of other nodes.
#[derive(Debug, PartialEq)]
enum Heard {
    Queued(Device, Queued, Option<String>),
    Resync(Device, Resync),
    Gap,
}

struct Ear(mpsc::UnboundedSender<Heard>);

impl DeviceHandler for Ear {
    fn handle_queued(&self, device: &Device, queued: &Queued, message: Option<&Message>) {
        let message = message.map(|message| format!("{} {}", message.event, message.args.as_str()));
        let _ = self.0.send(Heard::Queued(device.clone(), queued.clone(), message));
    }

    fn handle_resync(&self, device: &Device, resync: &Resync) {
        let _ = self.0.send(Heard::Resync(device.clone(), resync.clone()));
    }

    fn handle_gap(&self) {
        let _ = self.0.send(Heard::Gap);
    }
}

/// A node's store, and what it hears.
struct Node {
    id: NodeId,
    store: RedisDeviceStore,
    heard: mpsc::UnboundedReceiver<Heard>,
    _ear: Arc<Ear>,
}

impl Node {
    async fn new(url: &str, namespace: &str) -> Self {
        Self::with(url, namespace, QueueLimits::default()).await
    }

    async fn with(url: &str, namespace: &str, limits: QueueLimits) -> Self {
        Self::of(connected(url, namespace).await.device_store(limits))
    }

    fn of(store: RedisDeviceStore) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let ear = Arc::new(Ear(tell));
        let handler: Weak<dyn DeviceHandler> = Arc::downgrade(&(Arc::clone(&ear) as Arc<dyn DeviceHandler>));
        let id = NodeId::random().unwrap();
        store.start(id, handler).unwrap();
        Self { id, store, heard, _ear: ear }
    }

    async fn arrive(&self, user: &str, id: &str) -> tokensocket_server::Arrived {
        self.arrive_for(user, id, Duration::from_mins(1)).await
    }

    async fn arrive_for(&self, user: &str, id: &str, ttl: Duration) -> tokensocket_server::Arrived {
        let arrival = Arrival { device: device(user, id), rooms: vec!["staff".into()], ttl };
        self.store.arrive(arrival, Timestamp::now()).await.unwrap()
    }

    async fn arrive_at(&self, user: &str, id: &str, now: Timestamp) -> tokensocket_server::Arrived {
        let arrival = Arrival { device: device(user, id), rooms: vec![], ttl: Duration::from_mins(1) };
        self.store.arrive(arrival, now).await.unwrap()
    }

    async fn append(&self, to: To, args: &str) -> Appended {
        self.store.append(to, message(args), Timestamp::now()).await.unwrap()
    }

    async fn held(&self, user: &str, id: &str) -> Vec<(u64, String)> {
        let entries = self.store.read(device(user, id), 0, usize::MAX, Timestamp::now()).await.unwrap();
        entries.iter().map(|entry| (entry.seq, entry.message.args.as_str().to_owned())).collect()
    }

    async fn hears(&mut self) -> Heard {
        within("another node's hint", self.heard.recv()).await.unwrap()
    }

    /// Waits until the node's topics are listened to: hints come through, and nothing else.
    async fn listens(&mut self, other: &Self) {
        self.arrive_for("nobody", "probe", Duration::ZERO).await;
        within("a first hint", async {
            loop {
                other.append(To::user("nobody"), "[]").await;
                let hint = tokio::time::timeout(Duration::from_millis(50), self.heard.recv()).await;
                if matches!(hint, Ok(Some(Heard::Queued(..)))) {
                    break;
                }
            }
        })
        .await;
        self.store.depart(device("nobody", "probe"), Timestamp::now()).await.unwrap();
        while self.heard.try_recv().is_ok() {}
    }
}

fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

fn message(args: &str) -> Message {
    Message { event: "e".into(), args: RawJson::from_text(args.to_owned()).unwrap(), resync: true, key: None }
}

async fn tells_the_node_where_a_device_is(url: &str) {
    let limits = QueueLimits { count: 2, ..QueueLimits::default() };
    let one = Node::with(url, "hints", limits.clone()).await;
    let mut two = Node::with(url, "hints", limits).await;
    two.listens(&one).await;
    two.arrive("ann", "phone").await;
    one.arrive("bob", "phone").await;
    let appended = one.append(To::everyone(), r#"["x\n",1]"#).await;
    assert_eq!(appended.queued.len(), 2, "{appended:?}");
    let ann = device("ann", "phone");
    let hint = Heard::Queued(ann.clone(), Queued::At(1), Some(r#"e ["x\n",1]"#.to_owned()));
    assert_eq!(two.hears().await, hint);
    // What a node does itself it is not told.
    two.append(To::user("ann"), "[2]").await;
    let full = one.append(To::room("staff"), "[3]").await;
    let of_ann = full.queued.iter().find(|(who, _)| *who == ann).unwrap();
    assert!(matches!(of_ann.1, Queued::Overflowed { last: 2, .. }), "{of_ann:?}");
    assert_eq!(two.hears().await, Heard::Queued(ann.clone(), of_ann.1.clone(), None));
    // A device that is connected to both.
    one.arrive("ann", "phone").await;
    for args in ["[4]", "[5]"] {
        one.append(To::user("ann"), args).await;
        two.hears().await;
    }
    let told = one.store.acknowledge(ann.clone(), Acknowledge::One(4), Timestamp::now()).await.unwrap();
    assert_eq!(two.hears().await, Heard::Resync(ann.clone(), told.unwrap()));
    // One that has departed there.
    two.store.depart(ann.clone(), Timestamp::now()).await.unwrap();
    one.append(To::user("ann"), "[6]").await;
    two.arrive("ann", "tablet").await;
    one.append(To::users(["ann"]), "[7]").await;
    let hint = Heard::Queued(device("ann", "tablet"), Queued::At(1), Some("e [7]".to_owned()));
    assert_eq!(two.hears().await, hint, "nothing else came for it");
}

#[tokio::test]
async fn a_node_is_told_what_another_appends_for_its_devices() {
    let engine = Engine::start().await;
    tells_the_node_where_a_device_is(&engine.url()).await;
}

#[tokio::test]
async fn a_node_is_told_what_another_appends_for_its_devices_in_a_cluster() {
    let cluster = RedisCluster::start().await;
    tells_the_node_where_a_device_is(&cluster.url()).await;
}

#[tokio::test]
async fn what_two_nodes_append_at_once_stands_without_gaps() {
    let engine = Engine::start().await;
    let (one, two) = (Node::new(&engine.url(), "race").await, Node::new(&engine.url(), "race").await);
    for id in ["phone", "tablet"] {
        one.arrive("ann", id).await;
    }
    let send = async |node: &Node, name: &str| {
        let appends = (0..300).map(|n| {
            node.store.append(To::user("ann"), message(&format!("[\"{name}\",{n}]")), Timestamp::now())
        });
        futures_util::future::join_all(appends.collect::<Vec<_>>())
            .await
            .into_iter()
            .map(Result::unwrap)
            .count()
    };
    let (a, b) = tokio::join!(send(&one, "one"), send(&two, "two"));
    assert_eq!((a, b), (300, 300));
    let held = one.held("ann", "phone").await;
    assert_eq!(held.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=600).collect::<Vec<_>>());
    assert_eq!(held, two.held("ann", "tablet").await, "all devices have one order");
    for name in ["one", "two"] {
        let own: Vec<&str> =
            held.iter().map(|(_, args)| &**args).filter(|args| args.contains(name)).collect();
        let sent: Vec<String> = (0..300).map(|n| format!("[\"{name}\",{n}]")).collect();
        assert_eq!(own, sent, "and each node its own");
    }
}

/// What a node that dies leaves behind: it neither departs nor says anything.
fn dies<T: Send + 'static>(run: impl AsyncFnOnce() -> T + Send + 'static) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let left = runtime.block_on(async { run().await });
        drop(runtime);
        // Dropped, it would say that it ends.
        std::mem::forget(left);
    };
    std::thread::spawn(run).join().unwrap();
}

#[tokio::test]
async fn devices_of_a_dead_node_are_away_from_the_end_of_its_lease() {
    const PHONE: Duration = Duration::from_secs(3);
    let engine = Engine::start().await;
    let url = engine.url();
    let node = Node::new(&url, "dead").await;
    dies(async move || {
        let node = Node::new(&url, "dead").await;
        node.arrive_for("ann", "phone", PHONE).await;
        node.arrive_for("ann", "page", Duration::ZERO).await;
        node
    });
    let died = Instant::now();
    node.arrive("bob", "phone").await;
    assert_eq!(node.append(To::user("ann"), "[1]").await.queued.len(), 2, "until then they are connected");
    within("the end of its lease", async {
        while node.store.expire(Timestamp::now()).await.unwrap().devices == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(node.append(To::user("ann"), "[2]").await.queued.len(), 1, "the page had no time to live");
    within("the end of the phone's time", async {
        while node.store.expire(Timestamp::now()).await.unwrap().devices == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(died.elapsed() >= PHONE, "which it has from then on: {:?}", died.elapsed());
    assert_eq!(node.append(To::everyone(), "[3]").await.queued.len(), 1);
}

#[tokio::test]
async fn members_of_a_dead_node_are_taken_off_once() {
    let engine = Engine::start().await;
    let url = engine.url();
    let channel = Channel::new("news").unwrap();
    let member = |client: &str, user: &str| Member {
        client: client.into(),
        user: Some(user.into()),
        info: RawJson::null(),
        since: Timestamp::now(),
    };
    let stores: Vec<RedisPresenceStore> = {
        let mut stores = Vec::new();
        for number in 0..2 {
            let store = connected(&url, "dead").await.presence_store();
            store.start(NodeId::from_number(number + 1)).unwrap();
            stores.push(store);
        }
        stores
    };
    let (theirs, ann) = (channel.clone(), member("1", "ann"));
    let bob = member("2", "bob");
    dies(async move || {
        let store = connected(&url, "dead").await.presence_store();
        store.start(NodeId::from_number(3)).unwrap();
        store.join(&theirs, ann, true).await.unwrap();
        store.join(&theirs, bob, true).await.unwrap();
        store
    });
    stores[0].join(&channel, member("3", "ann"), true).await.unwrap();
    let mut left = Vec::new();
    within("the end of its lease", async {
        while left.is_empty() {
            for store in &stores {
                left.extend(store.expire(Timestamp::now()).await.unwrap());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let left: Vec<_> = left.iter().map(|(channel, member)| (channel.as_str(), &*member.client)).collect();
    assert_eq!(left, [("news", "2")], "ann has a connection elsewhere");
    let counts = stores[1].counts(&channel).await.unwrap();
    assert_eq!((counts.clients, counts.users), (1, 1));
}

#[tokio::test]
async fn a_closed_node_leaves_at_once() {
    let engine = Engine::start().await;
    let (one, two) = (Node::new(&engine.url(), "close").await, Node::new(&engine.url(), "close").await);
    one.arrive_for("ann", "page", Duration::ZERO).await;
    drop(one);
    within("its end", async {
        while two.store.expire(Timestamp::now()).await.unwrap().devices == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

// What Redis loses, or is cut off from.

#[tokio::test]
async fn a_killed_redis_that_writes_at_once_has_lost_nothing() {
    let mut engine = Engine::with(Settings::new().keep(Keep::Always)).await;
    let mut node = Node::new(&engine.url(), "kept").await;
    let before = node.arrive("ann", "phone").await;
    let mut sent = Vec::new();
    for round in 0..3 {
        let mut acknowledged = 0;
        for n in 0..50 {
            let args = format!("[{round},{n}]");
            let appended = node.append(To::user("ann"), &args).await;
            let [(_, Queued::At(seq))] = &appended.queued[..] else { panic!("{appended:?}") };
            sent.push((*seq, args));
            if n % 3 == 0 {
                acknowledged = *seq;
                let one = Acknowledge::Through(acknowledged);
                node.store.acknowledge(device("ann", "phone"), one, Timestamp::now()).await.unwrap();
            }
        }
        sent.retain(|(seq, _)| *seq > acknowledged);
        engine.kill();
        engine.start_again().await;
        assert_eq!(node.hears().await, Heard::Gap);
        assert_eq!(node.held("ann", "phone").await, sent);
    }
    let after = node.arrive("ann", "phone").await;
    assert_eq!((after.epoch, after.resumed, after.last, after.resyncs), (before.epoch, true, 150, vec![]));
}

#[tokio::test]
async fn a_redis_that_may_have_lost_something_gives_another_epoch() {
    let mut engine = Engine::with(Settings::new().keep(Keep::EachSecond)).await;
    let mut node = Node::new(&engine.url(), "restart").await;
    let before = node.arrive("ann", "phone").await;
    node.append(To::user("ann"), "[1]").await;
    engine.stop().await;
    engine.start_again().await;
    let lost = Resync { number: 1, event: None, reason: ResyncReason::Lost };
    loop {
        match node.hears().await {
            Heard::Gap => break,
            told => assert_eq!(told, Heard::Resync(device("ann", "phone"), lost.clone())),
        }
    }
    let after = node.arrive("ann", "phone").await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.resumed, after.last, after.resyncs), (true, 1, vec![lost]));
    assert_eq!(node.held("ann", "phone").await, [(1, "[1]".to_owned())], "what is there is delivered");
}

#[tokio::test]
async fn who_is_connected_while_redis_is_emptied_is_told_and_goes_on() {
    let engine = Engine::start().await;
    let mut node = Node::new(&engine.url(), "empty").await;
    let before = node.arrive("ann", "phone").await;
    for n in 0..7 {
        node.append(To::room("staff"), &format!("[{n}]")).await;
    }
    engine.command(&["FLUSHALL"]).await;
    let told = node.hears().await;
    assert!(
        matches!(&told, Heard::Resync(_, Resync { event: None, reason: ResyncReason::Lost, .. })),
        "{told:?}"
    );
    assert_eq!(node.hears().await, Heard::Gap);
    let appended = node.append(To::room("staff"), "[7]").await;
    assert_eq!(appended.queued[0].1, Queued::At(8), "its connection waits for no earlier one");
    let after = node.arrive("ann", "phone").await;
    assert_ne!(after.epoch, before.epoch);
}

#[tokio::test]
async fn hints_that_were_lost_are_a_gap() {
    let engine = Engine::start().await;
    let one = Node::new(&engine.url(), "gap").await;
    let mut two = Node::new(&engine.url(), "gap").await;
    two.listens(&one).await;
    two.arrive("ann", "phone").await;
    assert_ne!(engine.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await, "0");
    loop {
        match two.hears().await {
            Heard::Gap => break,
            // It may have come before, or be told with the gap.
            Heard::Queued(..) | Heard::Resync(..) => {}
        }
    }
    one.append(To::user("ann"), "[1]").await;
    let hint = Heard::Queued(device("ann", "phone"), Queued::At(1), Some("e [1]".to_owned()));
    assert_eq!(two.hears().await, hint, "it listens again");
}

/// As if `node` had said nothing for as long as its lease.
async fn lease_ends(engine: &Engine, namespace: &str, node: NodeId) {
    let key = format!("ts:{namespace}:d:{{ts:{namespace}:d.0/1}}:n");
    let now = Timestamp::now().0.to_string();
    engine.command(&["ZADD", &key, "XX", &now, &node.to_string()]).await;
}

#[tokio::test]
async fn a_node_that_was_given_up_takes_its_devices_back() {
    let engine = Engine::start().await;
    let one = Node::new(&engine.url(), "back").await;
    let mut two = Node::new(&engine.url(), "back").await;
    two.listens(&one).await;
    let phone = two.arrive("ann", "phone").await;
    let page = two.arrive_for("ann", "page", Duration::ZERO).await;
    one.append(To::user("ann"), "[1]").await;
    // Its next word may come first: then nobody gives it up, and it is tried again.
    within("the end of its lease", async {
        loop {
            lease_ends(&engine, "back", two.id).await;
            if one.store.expire(Timestamp::now()).await.unwrap().devices > 0 {
                break;
            }
        }
    })
    .await;
    let mut told = Vec::new();
    loop {
        match two.hears().await {
            Heard::Gap => break,
            Heard::Resync(device, resync) => told.push((device, resync.reason)),
            Heard::Queued(..) => {}
        }
    }
    assert_eq!(told, [(device("ann", "page"), ResyncReason::Lost)], "the page was forgotten meanwhile");
    // The page, which has no time to live, least of all.
    assert_eq!(one.store.expire(Timestamp::now()).await.unwrap().devices, 0, "they are connected");
    let appended = one.append(To::user("ann"), "[2]").await;
    assert!(appended.queued.iter().all(|(_, queued)| *queued == Queued::At(2)), "{appended:?}");
    for _ in 0..2 {
        assert!(matches!(two.hears().await, Heard::Queued(_, Queued::At(2), Some(_))));
    }
    assert_eq!(two.arrive("ann", "phone").await.epoch, phone.epoch);
    assert_ne!(two.arrive_for("ann", "page", Duration::ZERO).await.epoch, page.epoch);
}

/// A node's store with a lease that nobody renews within a test.
async fn quiet_node(url: &str, namespace: &str) -> Node {
    let options = RedisOptions::new().lease(Duration::from_hours(1));
    let redis = Redis::connect(url, options).await.unwrap().namespace(namespace).unwrap();
    Node::of(redis.device_store(QueueLimits::default()))
}

/// A call of a script does so much and no more; the rest is for the next.
#[tokio::test]
async fn a_node_of_which_a_part_was_given_up_takes_all_its_devices_back() {
    let engine = Engine::start().await;
    let mut node = quiet_node(&engine.url(), "part").await;
    let arriving = (0..1_500).map(|n| {
        let arrival = Arrival { device: device(&n.to_string(), "page"), rooms: vec![], ttl: Duration::ZERO };
        node.store.arrive(arrival, Timestamp::now())
    });
    for arrived in futures_util::future::join_all(arriving.collect::<Vec<_>>()).await {
        arrived.unwrap();
    }
    while node.heard.try_recv().is_ok() {}
    lease_ends(&engine, "part", node.id).await;
    // Whoever begins gives up a thousand connections.
    let other = quiet_node(&engine.url(), "part").await;
    assert_eq!(other.append(To::users(["nobody"]), "[0]").await.queued.len(), 0);
    let key = format!("ts:part:d:{{ts:part:d.0/1}}:n:{}", node.id);
    assert_eq!(engine.command(&["SCARD", &key]).await, "500");
    node.arrive("ann", "phone").await;
    within("a gap", async { while node.hears().await != Heard::Gap {} }).await;
    assert_eq!(engine.command(&["SCARD", &key]).await, "1501");
    assert_eq!(other.store.expire(Timestamp::now()).await.unwrap().devices, 0, "all are connected");
}

#[tokio::test]
async fn numbers_that_redis_lost_are_not_given_again() {
    let engine = Engine::start().await;
    let node = quiet_node(&engine.url(), "numbers").await;
    let before = node.arrive("ann", "phone").await;
    for n in 1..=3 {
        assert_eq!(node.append(To::user("ann"), &format!("[{n}]")).await.queued[0].1, Queued::At(n));
    }
    // As if this were another run of Redis, which lacks the last two.
    let key = |name: &str| format!("ts:numbers:d:{{ts:numbers:d.0/1}}:{name}");
    engine.command(&["HSET", &key("s"), "g", "another"]).await;
    engine.command(&["HSET", &key("d:1"), "l", "1", "n", "1"]).await;
    engine.command(&["ZREMRANGEBYRANK", &key("q:1"), "1", "-1"]).await;
    let appended = node.append(To::user("ann"), "[4]").await;
    let Queued::At(seq) = appended.queued[0].1 else { panic!("{appended:?}") };
    assert!(seq > 3, "a connection that was sent 3 would take {seq} for what it has");
    assert_eq!(node.append(To::user("ann"), "[5]").await.queued[0].1, Queued::At(seq + 1), "only once");
    let after = node.arrive("ann", "phone").await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.resyncs.iter().map(|resync| resync.reason).collect::<Vec<_>>(), [ResyncReason::Lost]);
}

#[tokio::test]
async fn a_device_that_redis_dropped_keeps_no_message_from_others() {
    let engine = Engine::start().await;
    let node = quiet_node(&engine.url(), "evicted").await;
    for user in ["ann", "bob", "cid"] {
        node.arrive(user, "phone").await;
    }
    assert_eq!(engine.command(&["DEL", "ts:evicted:d:{ts:evicted:d.0/1}:d:2"]).await, "1");
    for to in [To::everyone(), To::room("staff"), To::users(["ann", "bob", "cid"])] {
        let appended = node.append(to, "[1]").await;
        let names: BTreeSet<_> = appended.queued.iter().map(|(device, _)| &*device.user).collect();
        assert_eq!(names, BTreeSet::from(["ann", "cid"]));
    }
    let back = node.arrive("bob", "phone").await;
    assert!(!back.resumed);
    assert_eq!(node.append(To::everyone(), "[2]").await.queued.len(), 3);
}

#[tokio::test]
async fn a_node_whose_clock_is_ahead_forgets_nothing_early() {
    let engine = Engine::start().await;
    let (right, ahead) =
        (quiet_node(&engine.url(), "clocks").await, quiet_node(&engine.url(), "clocks").await);
    let later = Timestamp::now().after(Duration::from_hours(24 * 30));
    right.arrive("ann", "phone").await;
    right.arrive("bob", "phone").await;
    right.store.depart(device("bob", "phone"), Timestamp::now()).await.unwrap();
    let keyed = |args: &str| Message { key: Some("key".into()), ..message(args) };
    right.store.append(To::everyone(), keyed("[1]"), Timestamp::now()).await.unwrap();
    let again = ahead.store.append(To::everyone(), keyed("[1]"), later).await.unwrap();
    assert!(again.duplicate, "its key is known: {again:?}");
    assert_eq!(ahead.store.expire(later).await.unwrap().devices, 0);
    assert_eq!(ahead.store.append(To::everyone(), message("[2]"), later).await.unwrap().queued.len(), 2);
    assert!(ahead.arrive_at("bob", "phone", later).await.resumed);
    ahead.store.depart(device("bob", "phone"), later).await.unwrap();
    let held = right.held("bob", "phone").await;
    assert_eq!(held, [(1, "[1]".to_owned()), (2, "[2]".to_owned())], "nor is anything too old");
    // What it notes itself is over when it would be by a right clock.
    assert!(ahead.arrive_at("eve", "page", later).await.last == 0);
    ahead.store.append(To::user("eve"), message("[3]"), later).await.unwrap();
    let entries = right.store.read(device("eve", "page"), 0, 9, Timestamp::now()).await.unwrap();
    assert!(entries[0].at <= Timestamp::now(), "{entries:?}");
}

#[tokio::test]
async fn what_is_sent_again_with_its_key_over_lost_connections_is_kept_once() {
    const COUNT: usize = 300;
    let engine = Engine::start().await;
    let (one, two) = (Node::new(&engine.url(), "keys").await, Node::new(&engine.url(), "keys").await);
    one.arrive("ann", "phone").await;
    let send = async |node: &Node, name: &str| {
        for n in 0..COUNT {
            let key = Some(format!("{name}{n}").into());
            let keyed = Message { key, ..message(&format!("[\"{name}\",{n}]")) };
            let sending = async {
                while node.store.append(To::room("staff"), keyed.clone(), Timestamp::now()).await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            // One who cuts would cut another off.
            if name == "one" && n % 8 == 0 {
                let cutting = engine.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
                tokio::join!(sending, cutting);
            } else {
                sending.await;
            }
        }
    };
    tokio::join!(send(&one, "one"), send(&two, "two"));
    // No connection of its own was cut.
    let held = Node::new(&engine.url(), "keys").await.held("ann", "phone").await;
    assert_eq!(held.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=600).collect::<Vec<_>>());
    for name in ["one", "two"] {
        let own: Vec<&str> =
            held.iter().map(|(_, args)| &**args).filter(|args| args.contains(name)).collect();
        let sent: Vec<String> = (0..COUNT).map(|n| format!("[\"{name}\",{n}]")).collect();
        assert_eq!(own, sent);
    }
}

#[tokio::test]
async fn presence_is_put_back_after_redis_was_emptied() {
    let engine = Engine::start().await;
    let store = connected(&engine.url(), "empty").await.presence_store();
    store.start(NodeId::from_number(1)).unwrap();
    let channel = Channel::new("news").unwrap();
    let member = Member { client: "1".into(), user: None, info: RawJson::null(), since: Timestamp(5) };
    store.join(&channel, member, false).await.unwrap();
    engine.command(&["FLUSHALL"]).await;
    within("its member", async {
        while store.counts(&channel).await.unwrap().clients == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(store.members(&channel, None, 10, false).await.unwrap()[0].since, Timestamp(5));
}

/// Nodes 1, 2, … with a lease that nobody renews within a test, and one member each, `1`, `2`, …
async fn rosters(url: &str, namespace: &str, count: u64) -> Vec<RedisPresenceStore> {
    let mut stores = Vec::new();
    for number in 1..=count {
        let redis = Redis::connect(url, RedisOptions::new().lease(Duration::from_hours(1))).await.unwrap();
        let store = redis.namespace(namespace).unwrap().presence_store();
        store.start(NodeId::from_number(number)).unwrap();
        let user = Some(format!("user{number}").into());
        let client = number.to_string().into();
        let member = Member { client, user, info: RawJson::null(), since: Timestamp::now() };
        store.join(&Channel::new("news").unwrap(), member, true).await.unwrap();
        stores.push(store);
    }
    stores
}

/// The name of a key of presence.
fn presence_key(namespace: &str, name: &str) -> String {
    format!("ts:{namespace}:p:{{ts:{namespace}:p.0/1}}:{name}")
}

/// As if these nodes had said nothing for as long as their leases.
async fn leases_end(engine: &Engine, namespace: &str, nodes: &[u64]) {
    for node in nodes {
        let (key, now) = (presence_key(namespace, "n"), (Timestamp::now().0 - 1).to_string());
        engine.command(&["ZADD", &key, "XX", &now, &NodeId::from_number(*node).to_string()]).await;
    }
}

/// Whom a node finds to be gone.
async fn found_gone(store: &RedisPresenceStore) -> Vec<String> {
    let gone = store.expire(Timestamp::now()).await.unwrap();
    gone.iter().map(|(_, member)| member.client.to_string()).collect()
}

async fn at_last_gone(
    engine: &Engine,
    namespace: &str,
    store: &RedisPresenceStore,
    nodes: &[u64],
) -> Vec<String> {
    within("the end of a lease", async {
        loop {
            // Each node has something to say when it begins, which may come only now.
            leases_end(engine, namespace, nodes).await;
            engine.command(&["DEL", &presence_key(namespace, "w")]).await;
            let gone = found_gone(store).await;
            if !gone.is_empty() {
                return gone;
            }
        }
    })
    .await
}

#[tokio::test]
async fn nobody_is_gone_whose_lease_could_not_be_renewed_by_anybody() {
    let engine = Engine::start().await;
    let stores = rosters(&engine.url(), "outage", 2).await;
    let channel = Channel::new("news").unwrap();
    for _ in 0..5 {
        leases_end(&engine, "outage", &[1, 2]).await;
        assert!(found_gone(&stores[1]).await.is_empty(), "it was away itself");
        assert!(found_gone(&stores[1]).await.is_empty(), "the other has as long to come back");
    }
    assert_eq!(stores[1].counts(&channel).await.unwrap().clients, 2);
    assert_eq!(at_last_gone(&engine, "outage", &stores[1], &[1]).await, ["1"], "it does not come back");
}

#[tokio::test]
async fn whom_an_answer_named_that_did_not_come_is_named_again() {
    let engine = Engine::start().await;
    let stores = rosters(&engine.url(), "unheard", 5).await;
    let gone = at_last_gone(&engine, "unheard", &stores[3], &[1]).await;
    assert_eq!(gone, ["1"]);
    leases_end(&engine, "unheard", &[2]).await;
    drop(stores[3].expire(Timestamp::now()));
    assert_eq!(found_gone(&stores[3]).await, ["2"]);
    assert!(found_gone(&stores[3]).await.is_empty(), "it came");
    // Also by another, when the one who took them off is gone.
    leases_end(&engine, "unheard", &[3]).await;
    drop(stores[3].expire(Timestamp::now()));
    stores[3].counts(&Channel::new("news").unwrap()).await.unwrap();
    let mut gone = at_last_gone(&engine, "unheard", &stores[4], &[4]).await;
    gone.sort();
    assert_eq!(gone, ["3", "4"]);
}

#[tokio::test]
async fn a_join_without_an_answer_is_not_told_as_nothing() {
    const COUNT: usize = 300;
    let engine = Engine::start().await;
    let store = connected(&engine.url(), "unsure").await.presence_store();
    store.start(NodeId::from_number(1)).unwrap();
    let channel = Channel::new("news").unwrap();
    let mut unsure = 0;
    for round in 0..30 {
        within("its connection", async {
            while store.counts(&channel).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let joining = async {
            let mut told = Vec::new();
            for number in 0..COUNT {
                let client = format!("{round}-{number}").into();
                let member = Member { client, user: None, info: RawJson::null(), since: Timestamp(5) };
                told.push(store.join(&channel, member, false).await);
            }
            told
        };
        let cutting = engine.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let (joined, _) = tokio::join!(joining, cutting);
        for (number, joined) in joined.into_iter().enumerate() {
            match joined {
                Ok(Change::Joined(_)) => {}
                Ok(other) => panic!("{number} of round {round} is said to be there before: {other:?}"),
                Err(_) => unsure += 1,
            }
        }
    }
    assert!(unsure > 0, "nothing was cut");
}

#[tokio::test]
async fn a_full_memory_refuses_messages_and_takes_acknowledgements() {
    let engine = Engine::start().await;
    let node = Node::new(&engine.url(), "full").await;
    node.arrive("ann", "phone").await;
    for n in 0..4 {
        node.append(To::everyone(), &format!("[{n}]")).await;
    }
    engine.fill().await;
    let refused = node.store.append(To::everyone(), message("[4]"), Timestamp::now()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_) | StoreError::DiskFull)), "{refused:?}");
    let phone = device("ann", "phone");
    node.store.acknowledge(phone.clone(), Acknowledge::One(1), Timestamp::now()).await.unwrap();
    let told = node.store.acknowledge(phone.clone(), Acknowledge::One(3), Timestamp::now()).await.unwrap();
    assert_eq!(told.map(|resync| resync.reason), Some(ResyncReason::Order));
    node.store.told(phone, vec![1]).await.unwrap();
    node.store.expire(Timestamp::now()).await.unwrap();
    engine.empty().await;
    assert_eq!(node.append(To::everyone(), "[5]").await.queued[0].1, Queued::At(5));
    assert_eq!(node.held("ann", "phone").await, [(5, "[5]".to_owned())]);
}

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

// Large audiences.

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
