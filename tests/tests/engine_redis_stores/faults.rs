//! What Redis loses, or is cut off from.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_server::{
    Acknowledge, Channel, DeviceStore, Member, Message, PresenceStore, QueueLimits, Queued, RawJson, Redis,
    RedisOptions, Resync, ResyncReason, StoreError, Timestamp, To,
};
use tokensocket_tests::engine::{Keep, Redis as Engine, RedisSentinel, Settings};
use tokensocket_tests::limit::{until, within};

use crate::node::{Heard, Node, connected, device, message, quiet_node};

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
async fn what_a_replica_lacks_that_takes_over_is_told_and_the_rest_is_there() {
    const NAMESPACE: &str = "failover";
    let mut sentinel = RedisSentinel::start().await;
    let url = sentinel.url();
    let mut node = Node::new(&url, NAMESPACE).await;
    let presence = connected(&url, NAMESPACE).await.presence_store();
    presence.start(node.id).unwrap();
    let (room, now) = (Channel::new("room").unwrap(), Timestamp::now());
    let member = Member { client: "1".into(), user: Some("ann".into()), info: RawJson::null(), since: now };
    presence.join(&room, member, true).await.unwrap();
    let before = node.arrive("ann", "phone").await;
    let mut answered = Vec::new();
    for n in 1..=50 {
        let args = format!("[{n}]");
        let appended = node.append(To::user("ann"), &args).await;
        let [(_, Queued::At(seq))] = &appended.queued[..] else { panic!("{appended:?}") };
        answered.push((*seq, args));
    }
    sentinel.kill_primary().await;
    let mut told = Vec::new();
    loop {
        match node.hears().await {
            Heard::Gap => break,
            Heard::Resync(device, Resync { event, reason, .. }) => told.push((device, event, reason)),
            heard @ Heard::Queued(..) => panic!("{heard:?}"),
        }
    }
    assert_eq!(told, [(device("ann", "phone"), None, ResyncReason::Lost)], "nobody knows what is missing");
    let held = node.held("ann", "phone").await;
    assert!(answered.starts_with(&held), "nothing else, and in its order: {held:?}");

    // Numbers that were given are not given again.
    let appended = node.append(To::user("ann"), "[51]").await;
    assert_eq!(appended.queued, [(device("ann", "phone"), Queued::At(51))]);
    assert_eq!(node.held("ann", "phone").await.last(), Some(&(51, "[51]".to_owned())));
    let after = node.arrive("ann", "phone").await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!((after.resumed, after.last, after.resyncs.len()), (true, 51, 1), "{after:?}");
    // Who is there is said anew, whatever the replica had of it.
    within("the member", async {
        while presence.counts(&room).await.map_or(0, |counts| counts.clients) != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
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
async fn numbers_that_another_node_knows_are_not_given_again() {
    let engine = Engine::start().await;
    let key = |name: &str| format!("ts:known:d:{{ts:known:d.0/1}}:{name}");
    let (one, two) = (Node::new(&engine.url(), "known").await, quiet_node(&engine.url(), "known").await);
    two.arrive("ann", "phone").await;
    two.append(To::user("ann"), "[1]").await;
    one.arrive("ann", "phone").await;
    // As if the first node had missed what it is told of these.
    let both = engine.command(&["HGET", &key("d:1"), "c"]).await;
    engine.command(&["HSET", &key("d:1"), "c", &format!("{}=1;", two.id)]).await;
    for n in 2..=3 {
        assert_eq!(two.append(To::user("ann"), &format!("[{n}]")).await.queued[0].1, Queued::At(n));
    }
    engine.command(&["HSET", &key("d:1"), "c", &both, "l", "1", "n", "1"]).await;
    engine.command(&["ZREMRANGEBYRANK", &key("q:1"), "1", "-1"]).await;
    // Another run of Redis lacks them, and the first node is the first to come back to it.
    engine.command(&["HSET", &key("s"), "g", "another"]).await;
    within("the first node to say who is there", async {
        loop {
            let salt = engine.command(&["HGET", &key("s"), "x"]).await;
            if !salt.is_empty() && engine.command(&["HGET", &key("d:1"), "x"]).await == salt {
                break;
            }
        }
    })
    .await;
    let appended = one.append(To::user("ann"), "[4]").await;
    let Queued::At(seq) = appended.queued[0].1 else { panic!("{appended:?}") };
    assert!(seq > 3, "the connection at the other node, which was sent 3, would take {seq} for what it has");
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
async fn a_message_that_redis_dropped_is_acknowledged_like_any_other() {
    let engine = Engine::start().await;
    let node = quiet_node(&engine.url(), "dropped").await;
    node.arrive("ann", "phone").await;
    for args in ["[1]", "[2]"] {
        let unordered = Message { resync: false, ..message(args) };
        node.store.append(To::user("ann"), unordered, Timestamp::now()).await.unwrap();
    }
    assert_eq!(engine.command(&["DEL", "ts:dropped:d:{ts:dropped:d.0/1}:m:1"]).await, "1");
    let phone = device("ann", "phone");
    let told = node.store.acknowledge(phone, Acknowledge::One(1), Timestamp::now()).await.unwrap();
    assert_eq!(told, None);
    assert_eq!(node.held("ann", "phone").await, [(2, "[2]".to_owned())]);
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

#[tokio::test]
async fn very_many_that_departed_while_redis_was_away_are_away_when_it_is_back() {
    const COUNT: usize = 1_000;
    let mut engine = Engine::with(Settings::new().keep(Keep::EachSecond)).await;
    // Room for a part of them at a time.
    let options = RedisOptions::new().max_pending(64).response_limit(Duration::from_millis(500));
    let redis = Redis::connect(&engine.url(), options).await.unwrap().namespace("departed").unwrap();
    let node = Node::of(redis.device_store(QueueLimits::default()));
    let numbers: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    for some in numbers.chunks(32) {
        join_all(some.iter().map(|number| node.arrive("ann", number))).await;
    }
    let connected = format!("ts:departed:d:{{ts:departed:d.0/1}}:n:{}", node.id);
    assert_eq!(engine.command(&["SCARD", &connected]).await, COUNT.to_string());
    engine.stop().await;
    until("Redis to be missed", || redis.status().away.is_some()).await;
    for number in &numbers {
        node.store.depart(device("ann", number), Timestamp::now()).await.unwrap();
    }
    engine.start_again().await;
    within("all to be away", async { while engine.command(&["SCARD", &connected]).await != "0" {} }).await;
}
