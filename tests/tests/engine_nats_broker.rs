//! The broker of NATS over real servers: its duties, several nodes, and what happens when a server is gone, stopped, full,
//! or has lost what it kept.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure is the test's result")]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, Gap, History, HistoryPage, HistoryQuery, Key, Nats,
    NatsBroker, NatsOptions, NodeId, Outage, Pattern, Position, Publication, Publish, Published, RawJson,
    StoreError, Timestamp,
};
use tokensocket_tests::engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// For what happens at once on a machine that does nothing else.
const LIMIT: Duration = Duration::from_secs(20);

/// What a node was given.
#[derive(Default)]
struct Heard {
    publications: Mutex<Vec<Publication>>,
    announcements: Mutex<Vec<(Channel, RawJson)>>,
    controls: Mutex<Vec<Control>>,
    gaps: Mutex<Vec<Gap>>,
}

impl BrokerHandler for Heard {
    fn handle_publication(&self, publication: &Publication) {
        self.publications.lock().unwrap().push(publication.clone());
    }

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, control: Control) {
        self.controls.lock().unwrap().push(control);
    }

    fn handle_announcement(&self, channel: &Channel, announcement: &RawJson) {
        self.announcements.lock().unwrap().push((channel.clone(), announcement.clone()));
    }

    fn handle_gap(&self, gap: Gap) {
        self.gaps.lock().unwrap().push(gap);
    }

    fn follows(&self, _: &Channel) -> bool {
        true
    }
}

/// A node with a connection of its own.
struct Node {
    nats: Nats,
    broker: NatsBroker,
    heard: Arc<Heard>,
    id: NodeId,
}

impl Node {
    async fn new(url: &str) -> Self {
        Self::with(url, NatsOptions::new()).await
    }

    async fn with(url: &str, options: NatsOptions) -> Self {
        Self::on(Nats::connect(url, options).await.expect("a connection"))
    }

    fn on(nats: Nats) -> Self {
        let (broker, heard, id) =
            (NatsBroker::new(&nats), Arc::new(Heard::default()), NodeId::random().unwrap());
        broker.start(id, Arc::downgrade(&heard) as Weak<dyn BrokerHandler>).expect("a broker starts");
        Self { nats, broker, heard, id }
    }

    async fn follow(&self, name: &str) {
        self.broker.subscribe(&channel(name)).await.expect("a channel can be followed");
    }

    async fn publish(&self, name: &str, n: u64) -> Result<Published, BrokerError> {
        self.broker.publish(publish(name, n, Some(kept()))).await
    }

    async fn read(&self, name: &str) -> HistoryPage {
        let query = HistoryQuery::default();
        self.broker.history(&channel(name), &kept(), query, Timestamp::now()).await.expect("a history")
    }

    async fn came(&self, count: usize) -> Vec<Publication> {
        until("publications", || self.heard.publications.lock().unwrap().len() >= count).await;
        self.heard.publications.lock().unwrap().clone()
    }

    fn is_there(&self) -> bool {
        self.nats.status().away.is_none()
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn kept() -> History {
    History::new(10_000, Duration::from_mins(10)).bytes(16 << 20)
}

fn publish(name: &str, n: u64, history: Option<History>) -> Publish {
    Publish {
        channel: channel(name),
        message: RawJson::new(&n).unwrap(),
        history,
        key: None,
        at: Timestamp::now(),
    }
}

fn with_key(mut publish: Publish, key: &str) -> Publish {
    publish.key = Some(Key { text: key.into(), window: Duration::from_mins(1) });
    publish
}

fn number(message: &RawJson) -> u64 {
    message.parse().unwrap()
}

fn numbers(publications: &[Publication]) -> Vec<u64> {
    publications.iter().map(|publication| number(&publication.message)).collect()
}

fn offset(published: &Published) -> u64 {
    published.position.as_ref().map_or(0, |position| position.offset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn does_its_duties() {
    let server = engine::Nats::start().await;
    let nats = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    assert!(!nats.status().lacks.iter().any(|lack| lack.contains("JetStream")), "{:?}", nats.status().lacks);
    assert_eq!(nats.status().version.as_deref().map(|version| version.starts_with("2.")), Some(true));
    let next = AtomicU64::new(0);
    let make = || {
        let namespace = nats.namespace(&format!("space {}", next.fetch_add(1, Ordering::Relaxed)));
        NatsBroker::new(&namespace)
    };
    tokensocket_server::conformance::broker(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_do_their_duties() {
    let server = engine::Nats::start().await;
    let one = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    let other = Nats::connect(&server.url(), NatsOptions::new()).await.unwrap();
    let next = AtomicU64::new(0);
    let make = || {
        let name = format!("space.{}", next.fetch_add(1, Ordering::Relaxed));
        [NatsBroker::new(&one.namespace(&name)), NatsBroker::new(&other.namespace(&name))]
    };
    tokensocket_server::conformance::broker_nodes(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_race_agree_on_one_order() {
    const EACH: u64 = 300;
    let server = engine::Nats::start().await;
    let nodes =
        [Node::new(&server.url()).await, Node::new(&server.url()).await, Node::new(&server.url()).await];
    for node in &nodes {
        node.follow("a").await;
    }
    let nodes = Arc::new(nodes);
    let publishers: Vec<_> = (0..6_usize)
        .map(|publisher| {
            let nodes = Arc::clone(&nodes);
            tokio::spawn(async move {
                let mut last = 0;
                for n in 0..EACH {
                    let published =
                        nodes[publisher % 3].publish("a", publisher as u64 * 10_000 + n).await.unwrap();
                    assert!(offset(&published) > last, "one publisher's own order is kept");
                    last = offset(&published);
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let all = usize::try_from(6 * EACH).unwrap();
    let page = nodes[0].read("a").await;
    assert_eq!(page.publications.len(), all);
    for node in nodes.iter() {
        let came = node.came(all).await;
        assert_eq!(came.len(), all, "each once");
        for ((n, came), kept) in (1..).zip(&came).zip(&page.publications) {
            let place = came.position.as_ref().unwrap();
            assert_eq!((place.offset, &place.epoch), (n, &page.position.epoch), "without a hole");
            assert_eq!((kept.offset, &kept.message), (n, &came.message));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_from_several_nodes_is_one_publication() {
    let server = engine::Nats::start().await;
    let nodes = Arc::new([
        Node::new(&server.url()).await,
        Node::new(&server.url()).await,
        Node::new(&server.url()).await,
    ]);
    for (name, history) in [("kept", Some(kept())), ("plain", None)] {
        nodes[0].follow(name).await;
        for round in 0..20 {
            let publishers: Vec<_> = (0..9)
                .map(|n: usize| {
                    let (nodes, history) = (Arc::clone(&nodes), history.clone());
                    let one = with_key(publish(name, n as u64, history), &format!("key {round}"));
                    tokio::spawn(async move { nodes[n % 3].broker.publish(one).await.unwrap() })
                })
                .collect();
            let mut published = Vec::new();
            for publisher in publishers {
                published.push(publisher.await.unwrap());
            }
            assert_eq!(
                published.iter().filter(|published| !published.duplicate).count(),
                1,
                "{name} {round}"
            );
            let places: HashSet<_> = published.iter().map(offset).collect();
            assert_eq!(places.len(), 1, "all are told the place of the one");
        }
    }
    assert_eq!(nodes[0].came(40).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_channel_may_be_followed_by_name_and_by_patterns() {
    let server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    let patterns = [Pattern::new("a.*").unwrap(), Pattern::new("a.>").unwrap()];
    two.follow("a.x").await;
    let mut sent = 0;
    for round in 0..20 {
        // Publications go on while patterns come and go.
        let publishing = async {
            for _ in 0..20 {
                for history in [None, Some(kept())] {
                    one.broker.publish(publish("a.x", sent, history)).await.unwrap();
                    sent += 1;
                }
            }
        };
        let changing = async {
            for pattern in &patterns {
                if round % 2 == 0 {
                    two.broker.subscribe_pattern(pattern).await.unwrap();
                } else {
                    two.broker.unsubscribe_pattern(pattern).await.unwrap();
                }
            }
        };
        tokio::join!(publishing, changing);
    }
    let came = numbers(&two.came(usize::try_from(sent).unwrap()).await);
    let plain = |n: &&u64| n.is_multiple_of(2);
    let in_order: Vec<u64> = (0..sent).collect();
    assert_eq!(
        came.iter().filter(plain).collect::<Vec<_>>(),
        in_order.iter().filter(plain).collect::<Vec<_>>()
    );
    let kept = |n: &&u64| *n % 2 == 1;
    assert_eq!(
        came.iter().filter(kept).collect::<Vec<_>>(),
        in_order.iter().filter(kept).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_said_to_nodes_reaches_them() {
    let server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    one.follow("a").await;
    two.follow("a").await;
    for n in 0..10 {
        one.broker.announce(&channel("a"), RawJson::new(&n).unwrap()).await.unwrap();
    }
    one.broker.control(Control::UnsubscribeAll(channel("all"))).await.unwrap();
    one.broker.tell(two.id, Control::UnsubscribeAll(channel("two"))).await.unwrap();
    until("two's", || two.heard.controls.lock().unwrap().len() == 2).await;
    until("one's", || one.heard.controls.lock().unwrap().len() == 1).await;
    let told = format!("{:?}", two.heard.controls.lock().unwrap());
    assert!(told.contains("all") && told.contains("two"), "{told}");
    let announced: Vec<u64> =
        two.heard.announcements.lock().unwrap().iter().map(|(_, text)| number(text)).collect();
    assert_eq!(announced, (0..10).collect::<Vec<u64>>(), "in order");
    assert!(one.heard.announcements.lock().unwrap().is_empty(), "not to who announces");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn credentials_and_own_certificates_are_used() {
    let server = engine::Nats::with(engine::Settings::new().tls().password("p@ss,w/rd:1")).await;
    let certificate = server.certificate.as_ref().unwrap().path.clone();
    let address = format!("tls://{}", server.address);
    let options = || NatsOptions::new().certificate_authority(&certificate);
    let node = Node::with(&address, options().user_and_password("tests", "p@ss,w/rd:1")).await;
    node.publish("a", 1).await.unwrap();
    let in_address = format!("tls://tests:p%40ss%2Cw%2Frd%3A1@{}", server.address);
    assert!(Nats::connect(&in_address, options()).await.unwrap().status().address.ends_with(&address));
    for (options, address) in [
        (options().user_and_password("tests", "wrong"), address.as_str()),
        (options(), &address),
        (NatsOptions::new(), &in_address),
        (options().credentials_file(Path::new("nowhere.creds")), &address),
    ] {
        let error = Nats::connect(address, options).await.expect_err("nobody else is let in").to_string();
        assert!(!error.contains("p@ss") && !error.contains("p%40ss"), "{error}");
    }
    let token =
        engine::Nats::with(engine::Settings::new().more(["authorization { token: \"s3cret\" }"])).await;
    let address = token.address;
    assert!(Nats::connect(&format!("nats://s3cret@{address}"), NatsOptions::new()).await.is_ok());
    assert!(Nats::connect(&format!("nats://{address}"), NatsOptions::new().token("s3cret")).await.is_ok());
    assert!(Nats::connect(&format!("nats://{address}"), NatsOptions::new()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn says_what_a_server_without_jetstream_cannot_do() {
    let server = engine::Nats::with(engine::Settings::new().more(["jetstream: disabled"])).await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    let lacks = one.nats.status().lacks.join(" ");
    assert!(lacks.contains("JetStream") && lacks.contains("histories"), "{lacks}");
    two.follow("a").await;
    one.broker.publish(publish("a", 7, None)).await.unwrap();
    assert_eq!(numbers(&two.came(1).await), [7], "what needs no JetStream works");
    let refused = one.publish("a", 1).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
    let refused = one.broker.history(&channel("a"), &kept(), HistoryQuery::default(), Timestamp::now()).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
    let refused = one.broker.publish(with_key(publish("a", 1, None), "k")).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
}

/// What asks whether there is JetStream, and what nobody answers.
const ASKED: &[u8] = b"$JS.API.INFO";
const SILENT: &[u8] = b"$JS.API.NONE";

/// The way to a server, on which JetStream does not answer while it `is_silent`.
async fn way_to(server: SocketAddr, is_silent: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut answers, mut asks) = TcpStream::connect(server).await.unwrap().into_split();
            let (mut from, mut to) = client.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to).await });
            let is_silent = Arc::clone(&is_silent);
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while from.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
                    let asked = bytes.windows(ASKED.len()).position(|part| part == ASKED);
                    if let Some(place) = asked.filter(|_| is_silent.load(Ordering::Relaxed)) {
                        bytes.splice(place..place + ASKED.len(), SILENT.iter().copied());
                    }
                    asks.write_all(&bytes).await.unwrap();
                    bytes.clear();
                }
            });
        }
    });
    here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jetstream_that_begins_late_is_found() {
    let server = engine::Nats::start().await;
    let is_silent = Arc::new(AtomicBool::new(true));
    let way = way_to(server.address, Arc::clone(&is_silent)).await;
    let options = NatsOptions::new().timeout(Duration::from_millis(500));
    let node = Node::with(&format!("nats://{way}"), options).await;
    let lacks = |node: &Node| node.nats.status().lacks.iter().any(|lack| lack.contains("JetStream"));
    assert!(lacks(&node), "it does not answer yet");
    let refused = node.publish("a", 1).await;
    assert!(matches!(refused, Err(BrokerError::Unsupported(_))), "{refused:?}");
    is_silent.store(false, Ordering::Relaxed);
    until("JetStream", || !lacks(&node)).await;
    assert_eq!(offset(&node.publish("a", 1).await.unwrap()), 1);
    assert!(node.heard.gaps.lock().unwrap().is_empty(), "over the same connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refused_publication_leaves_its_key_to_the_next_try() {
    let server = engine::Nats::start().await;
    let (one, two) = (
        Node::with(&server.url(), NatsOptions::new().max_pending(10, 100)).await,
        Node::new(&server.url()).await,
    );
    two.follow("a").await;
    let long = |bytes: usize, key: &str| {
        let message = RawJson::new(&"x".repeat(bytes)).unwrap();
        with_key(Publish { message, ..publish("a", 0, None) }, key)
    };
    let refused = one.broker.publish(long(200, "busy")).await;
    assert!(matches!(refused, Err(BrokerError::Store(StoreError::Overloaded))), "{refused:?}");
    let refused = two.broker.publish(long(2 << 20, "large")).await;
    assert!(matches!(refused, Err(BrokerError::Store(StoreError::TooLarge { .. }))), "{refused:?}");
    for (n, key) in [(1, "busy"), (2, "large")] {
        let published = two.broker.publish(with_key(publish("a", n, None), key)).await.unwrap();
        assert!(!published.duplicate, "{key}: it was not published before");
        let published = one.broker.publish(with_key(publish("a", n, None), key)).await.unwrap();
        assert!(published.duplicate, "{key}: now it was");
    }
    assert_eq!(numbers(&two.came(2).await), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_loses_nothing_that_was_accepted() {
    let mut server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    two.follow("a").await;
    let one = Arc::new(one);
    let end = Arc::new(AtomicU64::new(u64::MAX));
    let publisher = tokio::spawn({
        let (one, end) = (Arc::clone(&one), Arc::clone(&end));
        async move {
            let mut accepted = Vec::new();
            let mut n = 0;
            while n < end.load(Ordering::Relaxed) {
                n += 1;
                match one.publish("a", n).await {
                    Ok(published) => accepted.push((n, offset(&published))),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            accepted
        }
    });
    until("some", || two.heard.publications.lock().unwrap().len() > 200).await;
    server.kill();
    until("the end of the connection", || !one.is_there()).await;
    let refused = Instant::now();
    let error = two.publish("b", 1).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unavailable(_)), "{error:?}");
    assert!(refused.elapsed() < Duration::from_millis(500), "refused at once");
    assert!(one.nats.status().away.is_some());
    assert!(timeout(LIMIT, two.broker.subscribe(&channel("a"))).await.unwrap().is_ok(), "followed already");
    server.start_again().await;
    until("the connection", || one.is_there() && two.is_there()).await;
    let last = timeout(LIMIT, async {
        loop {
            if let Ok(published) = one.publish("a", 0).await {
                return offset(&published);
            }
        }
    });
    let last = last.await.unwrap();
    end.store(0, Ordering::Relaxed);
    let accepted = timeout(LIMIT, publisher).await.unwrap().unwrap();
    assert!(accepted.len() > 200 && last > 200, "it goes on");
    until("a gap that is told", || two.heard.gaps.lock().unwrap().contains(&Gap::All)).await;
    let page = two.read("a").await;
    for (n, place) in &accepted {
        let kept = page.publications.iter().find(|kept| kept.offset == *place);
        assert_eq!(
            kept.map(|kept| number(&kept.message)),
            Some(*n),
            "what was accepted is kept at its place"
        );
    }
    let all: Vec<u64> =
        page.publications.iter().map(|kept| number(&kept.message)).filter(|n| *n > 0).collect();
    assert!(all.windows(2).all(|two| two[0] < two[1]), "in order, and nothing twice");
    // It follows still.
    two.heard.publications.lock().unwrap().clear();
    one.publish("a", 77_777).await.unwrap();
    assert_eq!(number(&two.came(1).await.last().unwrap().message), 77_777);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publications_wait_for_a_server_where_that_is_wished() {
    let mut server = engine::Nats::start().await;
    let options = NatsOptions::new().outage(Outage::Buffer { messages: 20, bytes: 1 << 20 });
    let one = Arc::new(Node::with(&server.url(), options).await);
    let two = Node::new(&server.url()).await;
    two.follow("a").await;
    two.follow("plain").await;
    one.publish("a", 0).await.unwrap();
    server.kill();
    until("the end of the connection", || !one.is_there()).await;
    let mut waiting = Vec::new();
    for n in 1..=10 {
        for (name, history) in [("a", Some(kept())), ("plain", None)] {
            let (one, publish) = (Arc::clone(&one), publish(name, n, history));
            let (begun, is_begun) = tokio::sync::oneshot::channel();
            waiting.push(tokio::spawn(async move {
                let mut publishing = one.broker.publish(publish);
                let first = futures_util::poll!(&mut publishing);
                begun.send(()).unwrap();
                match first {
                    std::task::Poll::Ready(outcome) => outcome,
                    std::task::Poll::Pending => publishing.await,
                }
            }));
            is_begun.await.unwrap();
        }
    }
    let beyond = one.publish("a", 99).await;
    assert!(matches!(beyond, Err(BrokerError::Store(StoreError::Overloaded))), "{beyond:?}");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    server.start_again().await;
    for waiting in waiting {
        timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap();
    }
    until("the connection", || two.is_there()).await;
    let page = two.read("a").await;
    let all: Vec<u64> = page.publications.iter().map(|kept| number(&kept.message)).collect();
    assert_eq!(all, (0..=10).collect::<Vec<u64>>(), "in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_stops_for_a_while_makes_outcomes_unknown_and_nothing_twice() {
    let server = engine::Nats::start().await;
    let options = || NatsOptions::new().timeout(Duration::from_millis(700)).ping(Duration::from_millis(300));
    let (one, two) = (Node::with(&server.url(), options()).await, Node::with(&server.url(), options()).await);
    two.follow("a").await;
    one.publish("a", 1).await.unwrap();
    server.pause();
    let state = format!("/proc/{}/stat", server.pid());
    until("its stop", || std::fs::read_to_string(&state).unwrap().contains(") T ")).await;
    let begun = Instant::now();
    let outcome = one.publish("a", 2).await;
    assert!(matches!(outcome, Err(BrokerError::Store(StoreError::Timeout))), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    let plain = one.broker.publish(publish("a", 3, None)).await.unwrap_err();
    assert!(
        matches!(plain, BrokerError::Store(StoreError::Timeout) | BrokerError::Unavailable(_)),
        "{plain:?}"
    );
    until("the end of the connections", || !one.is_there() && !two.is_there()).await;
    server.unpause();
    until("the connection", || one.is_there() && two.is_there()).await;
    let last = timeout(LIMIT, async {
        loop {
            if let Ok(published) = one.publish("a", 4).await {
                return published;
            }
        }
    });
    let last = last.await.unwrap();
    let page = two.read("a").await;
    let all: Vec<u64> = page.publications.iter().map(|kept| number(&kept.message)).collect();
    assert_eq!(all.iter().filter(|n| **n == 2).count().max(1), 1, "kept once or not at all: {all:?}");
    assert_eq!((all.first(), page.position), (Some(&1), last.position.unwrap()));
    until("a gap that is told", || two.heard.gaps.lock().unwrap().contains(&Gap::All)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_store_refuses_and_says_so() {
    let server = engine::Nats::with(engine::Settings::new().storage(2 << 20)).await;
    let node = Node::new(&server.url()).await;
    node.follow("a").await;
    let large = RawJson::new(&"x".repeat(100_000)).unwrap();
    let mut accepted = 0;
    let error = loop {
        let one = Publish { message: large.clone(), ..publish("a", 0, Some(kept())) };
        match node.broker.publish(one).await {
            Ok(published) => {
                accepted += 1;
                assert_eq!(offset(&published), accepted);
            }
            Err(error) => break error,
        }
        assert!(accepted < 100, "a store of 2 MiB is full some time");
    };
    assert!(matches!(error, BrokerError::Store(StoreError::DiskFull)), "{error:?}");
    assert!(accepted > 5, "{accepted}");
    node.broker.publish(publish("a", 1, None)).await.expect("what is not kept needs no room");
    let page = node.read("a").await;
    assert_eq!(
        (page.publications.len() as u64, page.position.offset),
        (accepted, accepted),
        "it can be read"
    );
    let too_large = RawJson::new(&"x".repeat(2 << 20)).unwrap();
    for history in [None, Some(kept())] {
        let error =
            node.broker.publish(Publish { message: too_large.clone(), ..publish("a", 0, history) }).await;
        assert!(matches!(error, Err(BrokerError::Store(StoreError::TooLarge { .. }))), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_server_has_lost_begins_another_epoch() {
    let server = engine::Nats::start().await;
    let (one, two) = (Node::new(&server.url()).await, Node::new(&server.url()).await);
    let mut before = Position { epoch: tokensocket_server::Epoch::new("none").unwrap(), offset: 0 };
    for n in 1..=5 {
        before = one.publish("a", n).await.unwrap().position.unwrap();
    }
    two.read("a").await;
    // The stream is gone, as after a disk that was replaced.
    let client = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(client);
    streams.delete_stream("ts_default_history-0").await.unwrap();
    let after = one.publish("a", 6).await.unwrap().position.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.offset, 1);
    let query = HistoryQuery { since: Some(before), ..HistoryQuery::default() };
    let page = two.broker.history(&channel("a"), &kept(), query, Timestamp::now()).await.unwrap();
    assert!(page.gap);
    assert_eq!((page.publications.len(), page.position), (1, after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_channel_that_is_followed_keeps_its_epoch_and_old_messages_go() {
    let server = engine::Nats::start().await;
    let node = Node::new(&server.url()).await;
    let few = History::new(3, Duration::from_mins(10));
    for n in 0..3000 {
        node.broker.publish(publish("a", n, Some(few.clone()))).await.unwrap();
    }
    let client = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(client);
    let mut stream = streams.get_stream("ts_default_history-0").await.unwrap();
    assert!(stream.info().await.unwrap().state.messages <= 12);
    // Another channel keeps more: the stream does so for all, and what one does not need is dropped by and by.
    node.broker.publish(publish("b", 1, Some(kept()))).await.unwrap();
    assert!(stream.info().await.unwrap().config.max_messages_per_subject > 10_000);
    for n in 0..1500 {
        node.broker.publish(publish("a", n, Some(few.clone()))).await.unwrap();
    }
    let stored = stream.info().await.unwrap().state.messages;
    assert!(stored < 1100, "{stored}");
    let page =
        node.broker.history(&channel("a"), &few, HistoryQuery::default(), Timestamp::now()).await.unwrap();
    assert_eq!((page.publications.len(), page.position.offset), (3, 4500));
}
