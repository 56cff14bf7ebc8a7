//! What the [`Broker`]s of several nodes owe one another, as tests.
//!
//! In: a way to make two brokers of one engine. Out: a panic that names the duty that is not done.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_protocol::{Pattern, RawJson};

use super::broker::{Bench, START, channel, kept, number, publish, with_key};
use crate::broker::{Broker, BrokerError, Control};
use crate::history::{History, HistoryQuery};
use crate::node_id::NodeId;

/// How long something would take at most that is not to come.
const NOTHING: Duration = Duration::from_millis(100);

/// Runs the whole suite, on a tokio runtime of several threads. `make` gives two brokers that share an engine, in which
/// nothing is kept.
///
/// # Panics
///
/// When the brokers do not do one of their duties.
pub async fn broker_nodes<B: Broker>(make: impl Fn() -> [B; 2]) {
    both_see_one_order(nodes(make()), true).await;
    other_duties(make).await;
}

/// The same for an engine that has no order of its own on channels without history: there publications of one node keep
/// theirs, and two nodes that publish at the same moment may be seen in either.
///
/// # Panics
///
/// When the brokers do not do one of their duties.
pub async fn broker_nodes_each_in_order<B: Broker>(make: impl Fn() -> [B; 2]) {
    both_see_one_order(nodes(make()), false).await;
    other_duties(make).await;
}

async fn other_duties<B: Broker>(make: impl Fn() -> [B; 2]) {
    what_is_not_followed_does_not_come(nodes(make())).await;
    one_reads_what_the_other_published(nodes(make())).await;
    a_key_is_good_on_both(nodes(make())).await;
    broadcasts_and_controls_reach_both(nodes(make())).await;
    one_tells_the_other(nodes(make())).await;
    announcements_reach_the_others_in_order(nodes(make())).await;
    a_pattern_gets_what_the_other_publishes(nodes(make())).await;
    wishes_take_effect_in_their_order(nodes(make())).await;
}

type Nodes<B> = [Arc<Bench<B>>; 2];

fn nodes<B: Broker>([one, other]: [B; 2]) -> Nodes<B> {
    [Arc::new(Bench::of(one, 1)), Arc::new(Bench::of(other, 2))]
}

/// On a channel without history one order for all only where the engine has one (`is_total`).
async fn both_see_one_order<B: Broker>(nodes: Nodes<B>, is_total: bool) {
    const EACH: u64 = 200;
    for node in &nodes {
        node.follow("a").await;
        node.follow("plain").await;
    }
    let history = History::new(1000, Duration::from_mins(1));
    let publishers = (0..4_u64).map(|publisher| {
        let node = Arc::clone(&nodes[usize::from(publisher % 2 == 1)]);
        let history = history.clone();
        tokio::spawn(async move {
            let together = (0..EACH).map(|n| {
                let message = publisher * 1000 + n;
                let (name, history) = if n % 2 == 0 { ("a", Some(history.clone())) } else { ("plain", None) };
                node.publish(publish(name, message, history))
            });
            join_all(together).await;
        })
    });
    for publisher in join_all(publishers).await {
        assert!(publisher.is_ok());
    }
    let count = usize::try_from(4 * EACH).unwrap();
    let [one, other] = [nodes[0].came(count).await, nodes[1].came(count).await];
    let of = |came: &[crate::broker::Publication], name: &str| -> Vec<_> {
        let on = came.iter().filter(|publication| publication.channel == channel(name));
        on.map(|publication| (publication.position.clone(), number(&publication.message))).collect()
    };
    assert_eq!(of(&one, "a"), of(&other, "a"), "both see one order on a channel with history");
    let [mut one_plain, mut other_plain] = [of(&one, "plain"), of(&other, "plain")];
    if !is_total {
        // Stable, so that those of each node stay in the order in which they came.
        for plain in [&mut one_plain, &mut other_plain] {
            plain.sort_by_key(|(_, number)| number / 1000 % 2);
        }
    }
    assert_eq!(one_plain, other_plain, "both see one order on a channel without history");
    let page = nodes[1].read_at("a", &history, HistoryQuery::default(), START).await;
    let kept: Vec<_> = page.publications.iter().map(|kept| number(&kept.message)).collect();
    let came = one.iter().filter(|publication| publication.channel == channel("a"));
    assert_eq!(kept, came.map(|publication| number(&publication.message)).collect::<Vec<_>>());
}

async fn what_is_not_followed_does_not_come<B: Broker>([one, other]: Nodes<B>) {
    one.follow("a").await;
    one.follow("b").await;
    other.follow("b").await;
    one.publish(publish("a", 1, None)).await;
    one.publish(publish("a", 2, Some(kept()))).await;
    one.publish(publish("b", 3, None)).await;
    one.came(3).await;
    assert_eq!(other.came(1).await.len(), 1, "what it follows");
    assert!(other.broker.unsubscribe(&channel("b")).await.is_ok());
    one.publish(publish("b", 4, None)).await;
    one.came(4).await;
    tokio::time::sleep(NOTHING).await;
    assert_eq!(other.node.came.lock().len(), 1, "and nothing any more when it has left");
}

async fn one_reads_what_the_other_published<B: Broker>([one, other]: Nodes<B>) {
    let empty = other.read_at("a", &kept(), HistoryQuery::default(), START).await;
    for n in 1..=5 {
        let position = one.publish(publish("a", n, Some(kept()))).await.position;
        let position = position.unwrap();
        assert_eq!((&position.epoch, position.offset), (&empty.position.epoch, n), "one epoch for both");
        let page = other.read_at("a", &kept(), HistoryQuery::default(), START).await;
        assert_eq!(page.position, position, "what has resolved on one node is there for the other");
        assert_eq!(page.publications.len(), usize::try_from(n).unwrap());
    }
}

async fn a_key_is_good_on_both<B: Broker>(nodes: Nodes<B>) {
    for node in &nodes {
        node.follow("a").await;
        node.follow("plain").await;
    }
    for round in 1..=20_u64 {
        for history in [Some(kept()), None] {
            let name = if history.is_some() { "a" } else { "plain" };
            let publishing = (0..6).map(|n| {
                let node = Arc::clone(&nodes[n % 2]);
                let one = with_key(publish(name, round, history.clone()), &format!("k{round}"));
                tokio::spawn(async move { node.publish(one).await })
            });
            let published: Vec<_> = join_all(publishing).await.into_iter().map(Result::unwrap).collect();
            assert_eq!(
                published.iter().filter(|one| !one.duplicate).count(),
                1,
                "one of all nodes: {published:?}"
            );
            let offset = history.is_some().then_some(round);
            let is_there = |one: &crate::broker::Published| {
                one.position.as_ref().map(|position| position.offset) == offset
            };
            assert!(published.iter().all(is_there), "all are told the same place: {published:?}");
        }
    }
    for node in &nodes {
        node.came(40).await;
    }
}

async fn broadcasts_and_controls_reach_both<B: Broker>(nodes: Nodes<B>) {
    // The other has begun to hear when what it says itself comes back.
    for node in &nodes {
        assert!(node.broker.broadcast(RawJson::new("begun").unwrap()).await.is_ok());
        node.wait("its own broadcast", || !node.node.broadcasts.lock().is_empty()).await;
    }
    let [one, other] = &nodes;
    assert!(one.broker.broadcast(RawJson::new("hello").unwrap()).await.is_ok());
    assert!(one.broker.control(Control::UnsubscribeAll(channel("a"))).await.is_ok());
    for node in [one, other] {
        let hellos = || {
            let broadcasts = node.node.broadcasts.lock();
            broadcasts.iter().filter(|message| message.as_str() == "\"hello\"").count()
        };
        node.wait("a broadcast", || hellos() > 0).await;
        node.wait("a control message", || !node.node.controls.lock().is_empty()).await;
        tokio::time::sleep(NOTHING).await;
        assert_eq!((hellos(), node.node.controls.lock().len()), (1, 1), "each once");
    }
}

async fn one_tells_the_other<B: Broker>([one, other]: Nodes<B>) {
    // It hears when what is for all has come.
    assert!(other.broker.broadcast(RawJson::null()).await.is_ok());
    other.wait("its own broadcast", || !other.node.broadcasts.lock().is_empty()).await;
    for n in 0..100_u64 {
        let control = Control::Node(RawJson::new(&n).unwrap());
        let told = one.broker.tell(NodeId::from_number(2), control).await;
        assert!(told.is_ok(), "a node that is there can be told: {told:?}");
    }
    other.wait("what it was told", || other.node.controls.lock().len() >= 100).await;
    let said: Vec<_> = other.node.controls.lock().iter().map(|control| format!("{control:?}")).collect();
    let expected = (0..100_u64).map(|n| format!("{:?}", Control::Node(RawJson::new(&n).unwrap())));
    assert_eq!(said, expected.collect::<Vec<_>>(), "in order, each once");
    assert!(one.node.controls.lock().is_empty(), "what is for one node reaches no other");
}

async fn announcements_reach_the_others_in_order<B: Broker>([one, other]: Nodes<B>) {
    one.follow("a").await;
    other.follow("a").await;
    one.follow("b").await;
    for n in 0..100_u64 {
        assert!(one.broker.announce(&channel("a"), RawJson::new(&n).unwrap()).await.is_ok());
        assert!(one.broker.announce(&channel("b"), RawJson::null()).await.is_ok());
    }
    other.wait("announcements", || other.node.announcements.lock().len() >= 100).await;
    tokio::time::sleep(NOTHING).await;
    let announced: Vec<_> = other.node.announcements.lock().clone();
    let numbers: Vec<_> = announced.iter().map(|(on, said)| (on.clone(), number(said))).collect();
    assert_eq!(numbers, (0..100).map(|n| (channel("a"), n)).collect::<Vec<_>>(), "what it follows, in order");
    assert!(one.node.announcements.lock().is_empty(), "not to the one that says it");
    assert!(other.node.came.lock().is_empty(), "and they are no publications");
}

async fn a_pattern_gets_what_the_other_publishes<B: Broker>([one, other]: Nodes<B>) {
    let [star, tail] = ["a.*", "a.>"].map(|pattern| Pattern::new(pattern).unwrap());
    match other.broker.subscribe_pattern(&star).await {
        Ok(()) => {}
        Err(BrokerError::Unsupported(_)) => return,
        Err(error) => panic!("a pattern is followed, or refused as unsupported: {error}"),
    }
    assert!(other.broker.subscribe_pattern(&tail).await.is_ok());
    other.follow("a.x").await;
    for (n, name) in (1..).zip(["a.x", "a.y", "a.y.z", "a", "b.x", "a.{x}*?[%", "ab.x"]) {
        one.publish(publish(name, n, (n % 2 == 0).then(kept))).await;
    }
    let numbers = |came: Vec<crate::broker::Publication>| {
        let mut numbers: Vec<_> = came.iter().map(|came| number(&came.message)).collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(numbers(other.came(4).await), [1, 2, 3, 6], "each once, by name and by however many patterns");
    assert!(other.broker.unsubscribe_pattern(&tail).await.is_ok());
    assert!(other.broker.unsubscribe(&channel("a.x")).await.is_ok());
    for (n, name) in (11..).zip(["a.x", "a.y", "a.y.z"]) {
        one.publish(publish(name, n, None)).await;
    }
    assert_eq!(numbers(other.came(6).await), [1, 2, 3, 6, 11, 12], "by what is still followed");
}

async fn wishes_take_effect_in_their_order<B: Broker>([one, other]: Nodes<B>) {
    for n in 0..50_u64 {
        // None is waited for but the last.
        let wishes: Vec<_> = (0..5)
            .map(|wish| {
                let (broker, channel) = (&other.broker, channel("a"));
                if wish % 2 == 0 { broker.subscribe(&channel) } else { broker.unsubscribe(&channel) }
            })
            .collect();
        for wish in wishes {
            assert!(wish.await.is_ok());
        }
        one.publish(publish("a", n, None)).await;
        other.wait("a publication", || other.node.came.lock().len() as u64 > n).await;
        let wishes = [other.broker.unsubscribe(&channel("a")), other.broker.subscribe(&channel("a"))];
        for wish in join_all(wishes).await {
            assert!(wish.is_ok());
        }
        assert!(other.broker.unsubscribe(&channel("a")).await.is_ok());
    }
    one.publish(publish("a", 99, None)).await;
    tokio::time::sleep(NOTHING).await;
    other.came(50).await;
}
