//! The engine goes away and comes back: nothing is lost in silence, nothing comes twice, and what needs no engine goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, pending, ready};
use futures_util::{FutureExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokensocket_client::SubscriptionError;
use tokensocket_server::socketio::{NamespaceOptions, SocketIoOptions};
use tokensocket_server::{
    Actions, Broker, BrokerError, BrokerHandler, Change, Channel, ChannelOptions, Control, Counts, Engine,
    Filtered, History, HistoryPage, HistoryQuery, Member, MemoryPresenceStore, NodeId, Pattern, Presence,
    PresenceStore, Publish, Published, RawJson, RpcError, Server, ServerBuilder, StoreError, Timestamp,
};
use tokensocket_tests::bus::{Bus, Seat};
use tokensocket_tests::device;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{connected, native};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::packets::{self, Packets};
use tokensocket_tests::wire::{Client, Framing};
use tokio::sync::Notify;

fn keeping(count: usize) -> ServerBuilder {
    let history = History::new(count, Duration::from_hours(1));
    builder().channels("news.>", ChannelOptions::new().history(history))
}

/// A node, and one more that publishes and is never cut off.
async fn two_nodes(builder: impl Fn() -> ServerBuilder) -> (Node, Seat, Node) {
    let bus = Bus::new();
    let seat = bus.seat();
    let here = Node::start(builder().engine(&seat)).await;
    let there = Node::start(builder().engine(&bus.seat())).await;
    (here, seat, there)
}

/// What a follower has heard.
#[derive(Default)]
struct Heard {
    last: HashMap<String, u64>,
    lost: usize,
}

impl Heard {
    /// Reads until each channel has been heard up to its last publication.
    async fn up_to(&mut self, client: &mut Client, last: &HashMap<String, u64>) {
        while last.iter().any(|(channel, last)| self.last.get(channel).copied().unwrap_or_default() < *last) {
            let message = client.next().await;
            self.take(&message);
        }
    }

    fn take(&mut self, message: &Value) {
        let subscribed = &message["data"];
        if message["command"] == "subscribe" && subscribed["recovered"] == false {
            let channel = subscribed["channel"].as_str().unwrap().to_owned();
            let offset = subscribed["offset"].as_u64().unwrap();
            assert!(self.last.insert(channel, offset) <= Some(offset), "it goes back: {message}");
            self.lost += 1;
        } else if let (Some(channel), Some(offset)) =
            (message["channel"].as_str(), message["offset"].as_u64())
        {
            let last = self.last.entry(channel.to_owned()).or_default();
            assert_eq!(offset, *last + 1, "{message}");
            assert_eq!(message["message"], offset, "{message}");
            *last = offset;
        }
    }
}

async fn followers(node: &Node, channels: &[String]) -> Vec<(Client, Heard)> {
    let mut followers = Vec::new();
    for framing in Framing::ALL {
        let mut client = Client::ready(node, framing).await;
        for channel in channels {
            client.subscribe(channel).await;
        }
        followers.push((client, Heard::default()));
    }
    followers
}

async fn publish(node: &Node, last: &mut HashMap<String, u64>, channel: &str) {
    let number = last.entry(channel.to_owned()).or_default();
    *number += 1;
    node.server.publish(channel, *number).await.unwrap();
}

#[tokio::test]
async fn followers_of_channels_with_history_miss_nothing_whatever_is_cut() {
    let channels: Vec<_> = (0..4).map(|n| format!("news.{n}")).collect();
    for seed in 0..6 {
        let builder = || {
            // However long this machine takes: what cannot be read for longer is lost.
            let builder = keeping(10_000).store_timeout(Duration::from_hours(1));
            if seed % 3 == 2 { builder.filter(|_, _, _| Filtered::Keep) } else { builder }
        };
        let (here, seat, there) = two_nodes(builder).await;
        let mut followers = followers(&here, &channels).await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut last = HashMap::new();
        for _ in 0..1000 {
            publish(&there, &mut last, &channels[random.random_range(0..4)]).await;
            match random.random_range(0..60) {
                0 => seat.cut(),
                // The node hears nothing, and nobody tells it.
                1 => seat.deafen(true),
                2 => {
                    seat.deafen(false);
                    seat.mend();
                }
                3 => seat.deafen(false),
                4 => seat.delay(Duration::from_millis(random.random_range(0..3))),
                _ => {}
            }
            if random.random_range(0..20) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        seat.delay(Duration::ZERO);
        seat.deafen(false);
        seat.mend();
        for (client, heard) in &mut followers {
            heard.up_to(client, &last).await;
            assert_eq!(heard.lost, 0, "seed {seed}");
        }
        // It goes on, and nothing comes late.
        for channel in &channels {
            publish(&there, &mut last, channel).await;
        }
        for (client, heard) in &mut followers {
            heard.up_to(client, &last).await;
            client.expect_alive().await;
        }
    }
}

#[tokio::test]
async fn what_history_does_not_keep_any_more_is_told() {
    let (here, seat, there) = two_nodes(|| keeping(5)).await;
    let channels = ["news.a".to_owned(), "news.b".to_owned()];
    let mut followers = followers(&here, &channels).await;
    let mut last = HashMap::new();
    publish(&there, &mut last, "news.a").await;
    publish(&there, &mut last, "news.b").await;
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
    }
    seat.cut();
    for _ in 0..20 {
        publish(&there, &mut last, "news.a").await;
    }
    for _ in 0..4 {
        publish(&there, &mut last, "news.b").await;
    }
    seat.mend();
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
        assert_eq!(heard.lost, 1, "of the one, and not of the other");
    }
    publish(&there, &mut last, "news.a").await;
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
    }
}

#[tokio::test]
async fn a_hole_that_cannot_be_read_holds_up_its_channel_no_longer_than_a_store_may_take() {
    let (engine, watched) = Watched::new();
    let here = Node::start(keeping(100).engine(&engine).store_timeout(Duration::from_millis(200))).await;
    let there = Node::start(keeping(100).engine(&watched.bus.seat())).await;
    let mut followers = followers(&here, &["news.a".to_owned()]).await;
    watched.answer(Answer::Never);
    let mut last = HashMap::new();
    watched.seat.deafen(true);
    publish(&there, &mut last, "news.a").await;
    watched.seat.deafen(false);
    for _ in 0..3 {
        publish(&there, &mut last, "news.a").await;
    }
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
        assert_eq!(heard.lost, 1);
    }
}

#[tokio::test]
async fn ten_thousand_channels_are_read_some_at_a_time_and_a_second_gap_is_not_lost() {
    const CHANNELS: usize = 10_000;
    let (engine, watched) = Watched::new();
    let here = Node::start(keeping(10).engine(&engine).max_channels_per_socket(CHANNELS)).await;
    let there = Node::start(keeping(10).engine(&watched.bus.seat())).await;
    let mut client = Client::ready(&here, Framing::Raw).await;
    let socket = here.server.sockets().remove(0);
    let channels: Vec<_> = (0..CHANNELS).map(|n| format!("news.{n}")).collect();
    let reading = tokio::spawn(async move {
        // It reads so that its outbox does not overflow.
        for _ in 0..CHANNELS {
            client.next().await;
        }
        client
    });
    for channel in &channels {
        socket.subscribe(channel).await.unwrap();
    }
    let mut client = reading.await.unwrap();
    let mut last = HashMap::new();
    watched.seat.cut();
    for channel in &channels {
        publish(&there, &mut last, channel).await;
    }
    watched.answer(Answer::Later(Duration::from_millis(2)));
    watched.most.store(0, Ordering::Relaxed);
    watched.seat.mend();
    let mut heard = Heard::default();
    heard.take(&client.next().await);
    // Another gap while the first one is worked on.
    watched.seat.cut();
    for channel in channels.iter().step_by(100) {
        publish(&there, &mut last, channel).await;
    }
    watched.seat.mend();
    tokio::time::timeout(Duration::from_mins(1), heard.up_to(&mut client, &last)).await.unwrap();
    assert_eq!(heard.lost, 0);
    let most = watched.most.load(Ordering::Relaxed);
    assert!((2..=32).contains(&most), "{most} channels were read at once");
    client.expect_alive().await;
}

#[tokio::test]
async fn publications_that_an_engine_refuses_are_overloaded_in_every_dialect() {
    let (engine, watched) = Watched::new();
    let server: Arc<OnceLock<Server>> = Arc::default();
    let of_handler = Arc::clone(&server);
    let publishing = move |_, _| {
        let server = of_handler.get().unwrap().clone();
        async move {
            let refused = server.publish("news.a", 1).await.map_err(RpcError::from);
            json!(refused.err().map(|error| error.code().as_str().to_owned()))
        }
    };
    let namespace = NamespaceOptions::new().on("publish", publishing);
    let by_action = Actions::new().action("publish", async |server: Server| {
        server.publish("news.a", 1).await.map(drop).map_err(RpcError::from)
    });
    let builder = keeping(10).engine(&engine).actions(by_action);
    let (node, _io) = packets::serve(builder, SocketIoOptions::new(), namespace).await;
    server.set(node.server.clone()).unwrap();
    let mut wire = Client::hello(&node).await;
    let native = connected(native(node.address)).await;
    let mut packets = Packets::join(node.address, 4, "/n", "token=ann").await;
    for refusal in [
        BrokerError::Unavailable("the engine is away".to_owned()),
        BrokerError::TooMany("publications"),
        StoreError::Overloaded.into(),
        StoreError::Timeout.into(),
    ] {
        watched.answer(Answer::Refuse(refusal.clone()));
        for channel in ["news.a", "plain"] {
            let answer = wire.call("_publish", json!({ "channel": channel, "data": 1 })).await;
            assert_eq!(
                (&answer["code"], &answer["error"]),
                (&json!("overloaded"), &json!(refusal.to_string()))
            );
            let refused = native.publish(channel, &1).await;
            let Err(tokensocket_client::Error::Server(error)) = refused else { panic!("{refused:?}") };
            assert_eq!(error.code().as_str(), "overloaded");
        }
        let answer = wire.call("publish", json!(null)).await;
        assert_eq!(answer["code"], "overloaded", "{answer}");
        packets.say("42/n,5[\"publish\"]").await;
        assert_eq!(packets.text().await, "43/n,5[\"overloaded\"]");
    }
    watched.answer(Answer::Now);
    assert_eq!(wire.call("_publish", json!({ "channel": "plain", "data": 1 })).await["resp"], "success");
}

#[tokio::test]
async fn what_needs_no_engine_goes_on_and_what_does_is_answered_in_time() {
    let (engine, watched) = Watched::new();
    let echo = Actions::new().action("echo", async || Ok::<_, RpcError>("here"));
    let builder = keeping(10).engine(&engine).actions(echo).store_timeout(Duration::from_millis(200));
    let node = Node::start(builder).await;
    let mut client = Client::hello(&node).await;
    client.subscribe("news.a").await;
    client.subscribe("plain").await;
    watched.answer(Answer::Never);
    for channel in ["news.b", "other"] {
        let refused = client.call("_subscribe", json!({ "channel": channel })).await;
        assert_eq!(refused["code"], "overloaded", "{refused}");
    }
    for channel in ["news.a", "plain"] {
        let refused = client.call("_publish", json!({ "channel": channel, "data": 1 })).await;
        assert_eq!(refused["code"], "overloaded", "{refused}");
    }
    let refused = client.call("_broadcast", json!({ "data": 1 })).await;
    assert_eq!(refused["code"], "overloaded", "{refused}");
    assert_eq!(client.call("echo", json!(null)).await["resp"], "here");
    let left = client.call("_unsubscribe", json!({ "channel": "plain" })).await;
    assert_eq!(left["resp"], "success", "{left}");
    let followed: Vec<_> = node.server.channels().iter().map(ToString::to_string).collect();
    assert_eq!(followed, ["news.a"]);
    // Its place is known, so another follower needs nothing of the engine but that it is told.
    watched.answer(Answer::Now);
    let mut other = Client::hello(&node).await;
    other.subscribe("other").await;
}

#[tokio::test]
async fn who_came_while_the_store_was_slow_is_announced_at_last_and_once() {
    for per_user in [false, true] {
        let presence = Presence::new().announce();
        let presence = if per_user { presence.per_user() } else { presence };
        let store = LateStore::default();
        let builder = device::builder()
            .channels("room", ChannelOptions::new().presence(presence))
            .presence_store(store.clone())
            .store_timeout(Duration::from_millis(100));
        let node = Node::start(builder).await;
        let mut ann = device::connect_with(&node, "user=1&name=ann", None, &["presence"]).await;
        ann.start("_subscribe", json!({ "channel": "room", "presence": true })).await;
        ann.find("the subscription", |message| message["command"] == "subscribe").await;
        // The store does what it is told, and answers too late.
        store.is_late.store(1, Ordering::Relaxed);
        let mut bob = device::connect_with(&node, "user=2&name=bob", None, &["presence"]).await;
        bob.subscribe("room").await;
        let came = ann.find("bob", |message| message["command"] == "join").await;
        assert_eq!(came["data"]["member"]["info"]["name"], "bob");
        store.is_late.store(1, Ordering::Relaxed);
        bob.call("_unsubscribe", json!({ "channel": "room" })).await;
        let left = ann.find("bob's leaving", |message| message["command"] == "leave").await;
        assert_eq!(left["data"]["member"]["info"]["name"], "bob");
        // One who comes and goes before the store is asked again was never there for the others.
        store.is_late.store(1, Ordering::Relaxed);
        bob.subscribe("room").await;
        until("the store to be asked", || store.is_late.load(Ordering::Relaxed) == 0).await;
        bob.call("_unsubscribe", json!({ "channel": "room" })).await;
        // The next one to come is the next that is told, behind whatever else was to be told.
        let mut cat = device::connect_with(&node, "user=3&name=cat", None, &["presence"]).await;
        cat.subscribe("room").await;
        let came = ann.next().await;
        assert_eq!(came["data"]["member"]["info"]["name"], "cat", "{came}");
        let Counts { clients, .. } = node.server.presence_counts("room").await.unwrap();
        assert_eq!(clients, 2);
    }
}

#[tokio::test]
async fn so_many_changes_of_presence_wait_for_a_store_that_hangs_and_the_rest_is_told_later() {
    const MOST: usize = 65_536;
    for announces in [false, true] {
        let presence = if announces { Presence::new().announce() } else { Presence::new() };
        let store = LateStore::default();
        store.is_late.store(MOST * 2, Ordering::Relaxed);
        let builder = device::builder()
            .channels("room", ChannelOptions::new().presence(presence))
            .presence_store(store.clone())
            .outbox(1 << 20, 1 << 30);
        let node = Node::start(builder).await;
        let _client = device::connect_with(&node, "user=1", None, &["presence"]).await;
        let socket = node.server.sockets().remove(0);
        for n in 0..MOST * 3 / 4 {
            socket.subscribe("room").await.unwrap();
            socket.unsubscribe("room").unwrap();
            if n % 512 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let calls = MOST * 2 - store.is_late.load(Ordering::Relaxed);
        assert_eq!(calls, MOST, "announces: {announces}");
    }
}

/// What is said of a channel whose publications may be missing, and which has no positions.
fn missing(channel: &str) -> Value {
    json!({ "internal": true, "command": "subscribe", "data": { "channel": channel, "recovered": false } })
}

/// Once followers were told nothing here, as when their own connection is lost. But these do not notice that anything was:
/// their connection stayed.
#[tokio::test]
async fn a_gap_where_nothing_is_kept_is_told_once_to_those_who_understand_it() {
    let (here, seat, there) = two_nodes(|| keeping(10).on_subscribe_pattern(async |_, _| Ok(()))).await;
    let mut ann = device::connect_with(&here, "user=ann", None, &["history"]).await;
    for channel in ["plain", "some.*", "news.a"] {
        ann.subscribe(channel).await;
    }
    let mut original = Client::ready(&here, Framing::Raw).await;
    original.subscribe("plain").await;
    let mut elsewhere = device::connect_with(&there, "user=ann", None, &["history"]).await;
    elsewhere.subscribe("plain").await;
    seat.cut();
    for channel in ["plain", "some.one", "news.a"] {
        there.server.publish(channel, 1).await.unwrap();
    }
    seat.mend();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(ann.next().await);
    }
    for channel in ["plain", "some.*"] {
        assert!(told.contains(&missing(channel)), "{told:?}");
    }
    assert!(told.contains(&json!({ "channel": "news.a", "message": 1, "offset": 1 })), "{told:?}");
    there.server.publish("plain", 2).await.unwrap();
    for client in [&mut ann, &mut original] {
        client.expect(json!({ "channel": "plain", "message": 2 })).await;
    }
    for n in [1, 2] {
        elsewhere.expect(json!({ "channel": "plain", "message": n })).await;
    }
    // Another gap is another word; who left the channel has nothing to do with it.
    ann.call("_unsubscribe", json!({ "channel": "some.*" })).await;
    ann.find("the end of that", |message| message["command"] == "unsubscribe").await;
    seat.cut();
    seat.mend();
    assert_eq!(ann.find("the word", |message| message["command"] == "subscribe").await, missing("plain"));
    for client in [&mut ann, &mut original] {
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_reader_hears_that_something_may_be_missing_where_nothing_is_kept() {
    let (here, seat, there) = two_nodes(|| keeping(10)).await;
    let socket = connected(native(here.address)).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let _ = socket.on_unrecovered(move |channel| tell.lock().unwrap().push(channel.to_owned()));
    let mut reader = socket.subscribe("plain").await.unwrap().typed::<u64>();
    there.server.publish("plain", 1).await.unwrap();
    assert_eq!(within("the first", reader.next()).await.unwrap(), Ok(1));
    seat.cut();
    there.server.publish("plain", 2).await.unwrap();
    seat.mend();
    assert_eq!(within("the word", reader.next()).await.unwrap(), Err(SubscriptionError::Unrecovered));
    there.server.publish("plain", 3).await.unwrap();
    assert_eq!(within("the next one", reader.next()).await.unwrap(), Ok(3));
    assert_eq!(*told.lock().unwrap(), ["plain"]);
}

#[tokio::test]
async fn a_crowd_is_told_of_a_gap_little_by_little() {
    const CROWD: usize = 400;
    let (here, seat, _there) = two_nodes(|| keeping(10).max_channels_per_socket(CROWD)).await;
    let mut client = device::connect_with(&here, "user=ann", None, &["history"]).await;
    for n in 0..CROWD {
        client.subscribe(&format!("plain.{n}")).await;
    }
    let began = Instant::now();
    // Gaps that come before a channel had its turn are told with the first.
    for _ in 0..50 {
        seat.mend();
    }
    let mut told = HashMap::<String, usize>::new();
    while told.len() < CROWD {
        let word = client.next().await;
        assert_eq!(word["data"]["recovered"], false, "{word}");
        *told.entry(word["data"]["channel"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(began.elapsed() >= Duration::from_millis(30), "100, then others get their turn");
    client.expect_alive().await;
    let words: usize = told.values().sum();
    assert!(words < CROWD * 10, "{words} words of 50 gaps");
}

#[tokio::test]
async fn a_hole_is_closed_in_time_whatever_becomes_of_other_channels() {
    // Less than a broker that refuses is left alone for; and those that hang do so for ever.
    let away = BrokerError::Unavailable("this shard is away".to_owned());
    let refuses = (Answer::Refuse(away), Duration::from_secs(3));
    for (answer, limit) in [refuses, (Answer::Never, Duration::from_hours(1))] {
        let (engine, watched) = Watched::new();
        let here = Node::start(keeping(100).engine(&engine).store_timeout(limit)).await;
        let there = Node::start(keeping(100).engine(&watched.bus.seat())).await;
        let mut client = Client::ready(&here, Framing::Raw).await;
        let channels: Vec<_> = (0..64).map(|n| format!("news.bad.{n}")).collect();
        for channel in channels.iter().map(String::as_str).chain(["news.good"]) {
            client.subscribe(channel).await;
        }
        let (mut heard, mut last) = (Heard::default(), HashMap::new());
        publish(&there, &mut last, "news.good").await;
        heard.up_to(&mut client, &last).await;
        watched.answer_on("news.bad.", answer);
        let before = watched.reads.load(Ordering::Relaxed);
        watched.seat.mend();
        until("them to be read", || watched.reads.load(Ordering::Relaxed) >= before + 24).await;
        watched.seat.deafen(true);
        publish(&there, &mut last, "news.good").await;
        watched.seat.deafen(false);
        publish(&there, &mut last, "news.good").await;
        heard.up_to(&mut client, &last).await;
        assert_eq!(heard.lost, 0, "nothing was lost that could be read");
    }
}

#[tokio::test]
async fn a_broker_that_never_tells_another_node_does_not_hold_up_the_end() {
    let (engine, watched) = Watched::new();
    let quick = || keeping(10).node_heartbeat(Duration::from_millis(100));
    let here = Node::start(quick().engine(&engine).store_timeout(Duration::from_millis(100))).await;
    let there = Node::start(quick().engine(&watched.bus.seat())).await;
    until("the nodes to know each other", || there.server.nodes().len() == 2).await;
    watched.answer(Answer::Never);
    let asked = there.server.survey().within(Duration::from_millis(300)).counts().await.unwrap();
    assert_eq!((asked.answered, asked.asked), (1, 2));
    assert!(watched.told.load(Ordering::Relaxed) > 0, "it tried to answer");
    within("the end", here.server.shutdown()).await;
}

/// How an engine answers.
#[derive(Clone)]
enum Answer {
    Now,
    Later(Duration),
    Never,
    Refuse(BrokerError),
}

/// A seat whose broker answers as it is told, and counts reads.
struct Watched {
    bus: Bus,
    seat: Seat,
    answer: Mutex<Answer>,
    /// How it answers for channels whose names begin so.
    answer_on: Mutex<Option<(&'static str, Answer)>>,
    /// How many reads there were.
    reads: AtomicUsize,
    /// How many words for one node.
    told: AtomicUsize,
    reading: AtomicUsize,
    /// How many reads there were at a time.
    most: AtomicUsize,
}

struct WatchedEngine(Arc<Watched>);

struct WatchedBroker(Box<dyn Broker>, Arc<Watched>);

impl Watched {
    fn new() -> (WatchedEngine, Arc<Self>) {
        let bus = Bus::new();
        let watched = Arc::new(Self {
            seat: bus.seat(),
            bus,
            answer: Mutex::new(Answer::Now),
            answer_on: Mutex::default(),
            reads: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            reading: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        (WatchedEngine(Arc::clone(&watched)), watched)
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn answer_on(&self, names: &'static str, answer: Answer) {
        *self.answer_on.lock().unwrap() = Some((names, answer));
    }

    fn respond<'a, R: Send + 'a>(
        &self,
        done: BoxFuture<'a, Result<R, BrokerError>>,
    ) -> BoxFuture<'a, Result<R, BrokerError>> {
        Self::respond_by(self.answer.lock().unwrap().clone(), done)
    }

    fn respond_on<'a, R: Send + 'a>(
        &self,
        channel: &Channel,
        done: BoxFuture<'a, Result<R, BrokerError>>,
    ) -> BoxFuture<'a, Result<R, BrokerError>> {
        match &*self.answer_on.lock().unwrap() {
            Some((names, answer)) if channel.as_str().starts_with(names) => {
                Self::respond_by(answer.clone(), done)
            }
            _ => self.respond(done),
        }
    }

    fn respond_by<'a, R: Send + 'a>(
        answer: Answer,
        done: BoxFuture<'a, Result<R, BrokerError>>,
    ) -> BoxFuture<'a, Result<R, BrokerError>> {
        match answer {
            Answer::Now => done,
            Answer::Later(after) => async move {
                tokio::time::sleep(after).await;
                done.await
            }
            .boxed(),
            Answer::Never => pending().boxed(),
            Answer::Refuse(error) => ready(Err(error)).boxed(),
        }
    }
}

impl Engine for WatchedEngine {
    fn tokens(&self) -> Box<dyn tokensocket_server::TokenStore> {
        self.0.seat.tokens()
    }

    fn broker(&self) -> Box<dyn Broker> {
        Box::new(WatchedBroker(self.0.seat.broker(), Arc::clone(&self.0)))
    }

    fn devices(&self) -> Box<dyn tokensocket_server::DeviceStore> {
        self.0.seat.devices()
    }

    fn presence(&self) -> Box<dyn PresenceStore> {
        self.0.seat.presence()
    }
}

impl Broker for WatchedBroker {
    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        self.0.start(node, handler)
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.1.respond(self.0.publish(publish))
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        let reading = self.1.reading.fetch_add(1, Ordering::AcqRel) + 1;
        self.1.most.fetch_max(reading, Ordering::AcqRel);
        self.1.reads.fetch_add(1, Ordering::AcqRel);
        let done = self.1.respond_on(channel, self.0.history(channel, history, query, now));
        async move {
            let page = done.await;
            self.1.reading.fetch_sub(1, Ordering::AcqRel);
            page
        }
        .boxed()
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.1.respond(self.0.broadcast(message))
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.control(control)
    }

    fn tell(&self, node: NodeId, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.1.told.fetch_add(1, Ordering::AcqRel);
        // Not begun before it is its time: a bus tells at once.
        self.1.respond(async move { self.0.tell(node, control).await }.boxed())
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.1.respond(self.0.subscribe(channel))
    }

    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.1.respond(self.0.unsubscribe(channel))
    }

    fn subscribe_pattern(&self, pattern: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.1.respond(self.0.subscribe_pattern(pattern))
    }
}

/// Does at once what it is told, and answers some calls too late.
#[derive(Clone, Default)]
struct LateStore {
    store: Arc<MemoryPresenceStore>,
    /// How many of the next calls.
    is_late: Arc<AtomicUsize>,
    never: Arc<Notify>,
}

impl LateStore {
    fn answer(
        &self,
        change: BoxFuture<'static, Result<Change, StoreError>>,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        let late = self.is_late.fetch_update(Ordering::AcqRel, Ordering::Acquire, |late| late.checked_sub(1));
        if late.is_err() {
            return change;
        }
        let never = Arc::clone(&self.never);
        async move {
            never.notified().await;
            change.await
        }
        .boxed()
    }
}

impl PresenceStore for LateStore {
    fn join(
        &self,
        channel: &Channel,
        member: Member,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.answer(self.store.join(channel, member, per_user))
    }

    fn leave(
        &self,
        channel: &Channel,
        client: &str,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.answer(self.store.leave(channel, client, per_user))
    }

    fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Vec<Member>, StoreError>> {
        self.store.members(channel, after, limit, per_user)
    }

    fn counts(&self, channel: &Channel) -> BoxFuture<'static, Result<Counts, StoreError>> {
        self.store.counts(channel)
    }
}
