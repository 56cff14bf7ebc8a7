//! Nodes that die, and such as are taken for dead, with the devices that they hold.

use std::time::{Duration, Instant};

use tokensocket_server::{Arrival, DeviceStore, Message, Queued, ResyncReason, Timestamp, To};
use tokensocket_tests::engine::Redis as Engine;
use tokensocket_tests::limit::within;

use crate::node::{Heard, Node, device, dies, lapses, lease_ends, message, quiet_node};

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

#[tokio::test]
async fn no_device_is_gone_whose_node_could_not_renew_its_lease_as_nobody_could() {
    let engine = Engine::start().await;
    let (one, two) = (quiet_node(&engine.url(), "outage").await, quiet_node(&engine.url(), "outage").await);
    two.arrive_for("ann", "page", Duration::ZERO).await;
    one.arrive("bob", "phone").await;
    for _ in 0..5 {
        lapses(&engine, "outage", one.id).await;
        lapses(&engine, "outage", two.id).await;
        assert_eq!(one.store.expire(Timestamp::now()).await.unwrap().devices, 0, "it was away itself");
        one.arrive("bob", "phone").await;
        assert_eq!(one.store.expire(Timestamp::now()).await.unwrap().devices, 0, "the other may come back");
        let began = quiet_node(&engine.url(), "outage").await;
        assert_eq!(began.append(To::user("ann"), "[]").await.queued.len(), 1, "also to one that begins");
    }
    within("the page of a node that does not come back to be gone", async {
        loop {
            lease_ends(&engine, "outage", two.id).await;
            if one.store.expire(Timestamp::now()).await.unwrap().devices > 0 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_got_nothing_while_its_node_was_given_up_is_told() {
    let engine = Engine::start().await;
    let mut node = quiet_node(&engine.url(), "over").await;
    node.arrive_for("ann", "page", Duration::ZERO).await;
    within("its connection to be ended", async {
        loop {
            lease_ends(&engine, "over", node.id).await;
            // Whoever begins ends the connections of a node that is gone, and forgets no device.
            let other = quiet_node(&engine.url(), "over").await;
            if other.append(To::user("ann"), "[1]").await.queued.is_empty() {
                break;
            }
        }
    })
    .await;
    while node.heard.try_recv().is_ok() {}
    node.arrive("bob", "phone").await;
    let mut told = Vec::new();
    loop {
        match node.hears().await {
            Heard::Gap => break,
            Heard::Resync(device, resync) => told.push((device, resync.reason)),
            Heard::Queued(..) => {}
        }
    }
    assert_eq!(told, [(device("ann", "page"), ResyncReason::Lost)]);
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
