//! Several nodes with the same queues: one order, and what each hears of the others.

use std::time::Duration;

use tokensocket_server::{Acknowledge, DeviceStore, QueueLimits, Queued, Timestamp, To};
use tokensocket_tests::engine::{Redis as Engine, RedisCluster};
use tokensocket_tests::limit::within;

use crate::node::{Heard, Node, device, message};

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
