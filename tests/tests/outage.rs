//! The engine goes away and comes back: nothing is lost in silence, nothing comes twice, and what needs no engine goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokensocket_server::socketio::{NamespaceOptions, SocketIoOptions};
use tokensocket_server::{
    Actions, Broker, BrokerError, BrokerHandler, Change, Channel, ChannelOptions, Control, Counts, Engine,
    Filtered, History, HistoryPage, HistoryQuery, Member, MemoryPresenceStore, NodeId, Pattern, Presence,
    PresenceStore, Publish, Published, RawJson, RpcError, Server, ServerBuilder, StoreError, Timestamp,
};
use tokensocket_tests::bus::{Bus, Seat};
use tokensocket_tests::device;
use tokensocket_tests::limit::until;
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
            let builder = keeping(10_000);
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

#[tokio::test]
async fn a_gap_where_nothing_is_kept_says_nothing() {
    let (here, seat, there) = two_nodes(|| keeping(10)).await;
    let mut client = Client::hello(&here).await;
    client.subscribe("plain").await;
    seat.cut();
    there.server.publish("plain", 1).await.unwrap();
    seat.mend();
    there.server.publish("plain", 2).await.unwrap();
    client.expect(json!({ "channel": "plain", "message": 2 })).await;
    client.expect_alive().await;
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
            reading: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        (WatchedEngine(Arc::clone(&watched)), watched)
    }

    fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn respond<'a, R: Send + 'a>(
        &self,
        done: BoxFuture<'a, Result<R, BrokerError>>,
    ) -> BoxFuture<'a, Result<R, BrokerError>> {
        match self.answer.lock().unwrap().clone() {
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
        let done = self.1.respond(self.0.history(channel, history, query, now));
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
