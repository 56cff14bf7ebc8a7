//! Joining a channel whose broker loses, repeats, fails or never answers, and publishing there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use serde_json::{Value, json};
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, ChannelOptions, Control, Epoch, Filtered, History,
    HistoryPage, HistoryQuery, NodeId, Position, Publication, Publish, Published, RawJson, ServerBuilder,
    StoreError, SubscribeError, Timestamp,
};
use tokensocket_tests::limit::until;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};
use tokio::sync::Notify;

/// What a question is answered.
#[derive(Clone)]
enum Answers {
    Top(Position),
    Fails,
    Never,
    /// When it is told to.
    Later(Arc<Notify>, Position),
}

/// A broker that does as it is told.
#[derive(Clone)]
struct Puppet(Arc<Inner>);

struct Inner {
    handler: OnceLock<Weak<dyn BrokerHandler>>,
    answers: Mutex<Answers>,
    /// How often a channel was followed, and left by its last follower.
    told: Mutex<(usize, usize)>,
    /// What it was asked to publish.
    asked: Mutex<Vec<RawJson>>,
}

fn position(epoch: &str, offset: u64) -> Position {
    Position::new(Epoch::new(epoch).unwrap(), offset).unwrap()
}

fn news() -> Channel {
    Channel::new("news").unwrap()
}

impl Puppet {
    fn new(answers: Answers) -> Self {
        Self(Arc::new(Inner {
            handler: OnceLock::new(),
            answers: Mutex::new(answers),
            told: Mutex::default(),
            asked: Mutex::default(),
        }))
    }

    fn answer(&self, answers: Answers) {
        *self.0.answers.lock().unwrap() = answers;
    }

    /// Hands a publication, whose message is its offset, to the node.
    fn bring(&self, epoch: &str, offset: u64) {
        let message = RawJson::new(&offset).unwrap();
        let publication = Publication { channel: news(), message, position: Some(position(epoch, offset)) };
        self.0.handler.get().unwrap().upgrade().unwrap().handle_publication(&publication);
    }

    fn asked(&self) -> Vec<u64> {
        self.0.asked.lock().unwrap().iter().map(|message| message.parse().unwrap()).collect()
    }

    fn told(&self) -> (usize, usize) {
        *self.0.told.lock().unwrap()
    }

    fn respond<T: Send + 'static>(
        &self,
        good: impl FnOnce(Position) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BrokerError>> {
        match self.0.answers.lock().unwrap().clone() {
            Answers::Top(position) => ready(Ok(good(position))).boxed(),
            Answers::Fails => ready(Err(StoreError::DiskFull.into())).boxed(),
            Answers::Never => pending().boxed(),
            Answers::Later(told, position) => async move {
                told.notified().await;
                Ok(good(position))
            }
            .boxed(),
        }
    }
}

impl Broker for Puppet {
    fn start(&self, _: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        assert!(self.0.handler.set(handler).is_ok());
        Ok(())
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.0.asked.lock().unwrap().push(publish.message);
        self.respond(|position| Published { position: Some(position), duplicate: false })
    }

    fn history(
        &self,
        _: &Channel,
        _: &History,
        _: HistoryQuery,
        _: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        self.respond(|position| HistoryPage { position, publications: Vec::new(), gap: false, more: false })
    }

    fn broadcast(&self, _: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn control(&self, _: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.told.lock().unwrap().0 += 1;
        if *channel == news() { ready(Ok(())).boxed() } else { self.respond(|_| ()) }
    }

    fn unsubscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.0.told.lock().unwrap().1 += 1;
        ready(Ok(())).boxed()
    }
}

fn keeping(broker: &Puppet) -> ServerBuilder {
    let history = History::new(100, Duration::from_hours(1));
    builder().channels("news", ChannelOptions::new().history(history)).broker(broker.clone())
}

fn told_break(epoch: &str, offset: u64) -> Value {
    let data = json!({ "channel": "news", "epoch": epoch, "offset": offset, "recovered": false });
    json!({ "internal": true, "command": "subscribe", "data": data })
}

fn publication(offset: u64) -> Value {
    json!({ "channel": "news", "message": offset, "offset": offset })
}

#[tokio::test]
async fn followers_are_told_of_a_hole_or_a_new_epoch_before_what_comes_after_it() {
    for is_filtered in [false, true] {
        let broker = Puppet::new(Answers::Top(position("a", 4)));
        let mut builder = keeping(&broker);
        if is_filtered {
            builder = builder.filter(|_, _, _| Filtered::Keep);
        }
        let node = Node::start(builder).await;
        let mut clients = Vec::new();
        for framing in Framing::ALL {
            let mut client = Client::ready(&node, framing).await;
            client.subscribe("news").await;
            clients.push(client);
        }
        for (epoch, offset) in [("a", 5), ("a", 7)] {
            broker.bring(epoch, offset);
        }
        for client in &mut clients {
            client.expect(publication(5)).await;
            client.expect(told_break("a", 6)).await;
            client.expect(publication(7)).await;
        }
        for (epoch, offset) in [("b", 1), ("b", 2)] {
            broker.bring(epoch, offset);
        }
        for client in &mut clients {
            client.expect(told_break("b", 0)).await;
            client.expect(publication(1)).await;
            client.expect(publication(2)).await;
        }
    }
}

#[tokio::test]
async fn what_the_broker_brings_twice_or_too_late_is_handed_out_once() {
    let broker = Puppet::new(Answers::Top(position("a", 4)));
    let node = Node::start(keeping(&broker)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("news").await;
    for offset in [3, 4, 5, 5, 4, 6] {
        broker.bring("a", offset);
    }
    client.expect(publication(5)).await;
    client.expect(publication(6)).await;
    client.expect_alive().await;
}

#[tokio::test]
async fn who_cannot_join_is_told_and_follows_nothing() {
    let broker = Puppet::new(Answers::Fails);
    let node = Node::start(keeping(&broker)).await;
    let mut client = Client::hello(&node).await;
    let refused = client.call("_subscribe", json!({ "channel": "news" })).await;
    assert_eq!(refused["code"], "overloaded", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("disk is full"), "{refused}");
    assert_eq!((node.server.channels(), broker.told()), (vec![], (1, 1)));
    assert!(node.server.sockets()[0].channels().is_empty());
    let refused = client.call("_publish", json!({ "channel": "news", "data": 1 })).await;
    assert_eq!(refused["code"], "overloaded", "{refused}");
    broker.answer(Answers::Top(position("a", 0)));
    client.subscribe("news").await;
    broker.bring("a", 1);
    client.expect(publication(1)).await;
}

#[tokio::test]
async fn a_broker_that_never_answers_is_given_up_and_live_traffic_goes_on() {
    let broker = Puppet::new(Answers::Top(position("a", 0)));
    let node = Node::start(keeping(&broker).store_timeout(Duration::from_millis(200))).await;
    let mut follower = Client::hello(&node).await;
    follower.subscribe("news").await;
    broker.answer(Answers::Never);
    let mut client = Client::hello(&node).await;
    let place = json!({ "epoch": "a", "offset": 0 });
    let subscribing = client.start("_subscribe", json!({ "channel": "news", "recover": place })).await;
    broker.bring("a", 1);
    follower.expect(publication(1)).await;
    let refused = client.answer(&subscribing).await;
    assert_eq!(refused["code"], "overloaded", "{refused}");
    // A key is kept even where publications are not.
    for data in
        [json!({ "channel": "news", "data": 1 }), json!({ "channel": "plain", "data": 1, "key": "k" })]
    {
        let refused = client.call("_publish", data).await;
        assert!(refused["error"].as_str().unwrap().contains("in time"), "{refused}");
    }
    // The hub knows its place: who wants nothing of the past needs no history.
    client.subscribe("news").await;
}

#[tokio::test]
async fn one_who_is_gone_before_it_has_joined_leaves_nothing_behind() {
    let broker = Puppet::new(Answers::Never);
    let node = Node::start(keeping(&broker)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("_subscribe", json!({ "channel": "news" })).await;
    until("somebody is about to join", || broker.told().0 == 1).await;
    drop(client);
    until("the broker is told that nobody follows", || broker.told().1 == 1).await;
    until("the channel is gone", || node.server.channels().is_empty()).await;
}

#[tokio::test]
async fn one_who_is_taken_off_before_it_has_joined_does_not_join() {
    let told = Arc::new(Notify::new());
    let broker = Puppet::new(Answers::Later(Arc::clone(&told), position("a", 0)));
    let node = Node::start(keeping(&broker)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let socket = node.server.sockets().remove(0);
    let joining = tokio::spawn({
        let socket = socket.clone();
        async move { socket.subscribe("news").await }
    });
    until("somebody is about to join", || broker.told().0 == 1).await;
    socket.unsubscribe("news").unwrap();
    assert!(socket.channels().is_empty());
    told.notify_one();
    let outcome = joining.await.unwrap();
    assert!(matches!(outcome, Err(SubscribeError::Left)), "{outcome:?}");
    broker.bring("a", 1);
    assert_eq!(client.next().await["command"], "unsubscribe");
    client.expect_alive().await;
    assert_eq!((node.server.channels(), broker.told()), (vec![], (1, 1)));
}

#[tokio::test]
async fn one_who_is_taken_off_a_channel_without_history_before_it_follows_it_is_told() {
    let told = Arc::new(Notify::new());
    let broker = Puppet::new(Answers::Later(Arc::clone(&told), position("a", 0)));
    let node = Node::start(keeping(&broker)).await;
    let mut client = Client::hello(&node).await;
    let subscribing = client.start("_subscribe", json!({ "channel": "plain" })).await;
    until("the subscription to begin", || broker.told().0 == 1).await;
    node.server.sockets()[0].unsubscribe("plain").unwrap();
    told.notify_one();
    let refused = client.answer(&subscribing).await;
    assert_eq!(refused["code"], "cancelled", "{refused}");
    assert_eq!(client.next().await["command"], "unsubscribe");
    client.expect_alive().await;
}

#[tokio::test]
async fn a_subscription_by_the_server_that_is_given_up_leaves_nothing_behind() {
    let broker = Puppet::new(Answers::Never);
    let node = Node::start(keeping(&broker)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let socket = node.server.sockets().remove(0);
    let given_up = tokio::time::timeout(Duration::from_millis(50), socket.subscribe("news")).await;
    assert!(given_up.is_err());
    assert!(socket.channels().is_empty());
    assert_eq!((node.server.channels(), broker.told()), (vec![], (1, 1)));
    broker.answer(Answers::Top(position("a", 0)));
    client.subscribe("news").await;
    broker.bring("a", 1);
    client.expect(publication(1)).await;
}

#[tokio::test]
async fn publications_wait_for_a_slow_broker_together_and_are_answered_in_order() {
    let kept = Arc::new(Notify::new());
    let broker = Puppet::new(Answers::Later(Arc::clone(&kept), position("a", 4)));
    let first_is_slow = keeping(&broker).on_publish(async |_, _, message: RawJson| {
        if message.as_bytes() == b"1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    });
    let node = Node::start(first_is_slow).await;
    let mut client = Client::hello(&node).await;
    let mut uuids = Vec::new();
    let news = |n| json!({ "channel": "news", "data": n });
    let plain = json!({ "channel": "plain", "data": 3 });
    let keyed = json!({ "channel": "plain", "data": 4, "key": "k" });
    for publication in [news(1), news(2), plain, keyed, news(5), news(6)] {
        uuids.push(client.start("_publish", publication).await);
    }
    until("those that have a place to be begun", || broker.asked().len() >= 3).await;
    client.expect_quiet().await;
    assert_eq!(broker.asked(), [1, 2, 3], "in order, and one with a key that is not kept waits for them");
    for (done, begun) in [(0, 3), (1, 3), (2, 4), (3, 6), (4, 6), (5, 6)] {
        kept.notify_one();
        let answer = client.next().await;
        assert_eq!(answer["uuid"], *uuids[done], "{answer}");
        until("the next to be begun", || broker.asked().len() >= begun).await;
    }
    assert_eq!(broker.asked(), [1, 2, 3, 4, 5, 6]);
}
