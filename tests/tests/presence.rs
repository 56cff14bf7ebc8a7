//! Who is on a channel: lists, counts, joins and leaves, whatever happens meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Change, Channel, ChannelOptions, Control, Counts, History,
    HistoryPage, HistoryQuery, Member, MemoryBroker, MemoryPresenceStore, NodeId, Presence, PresenceError,
    PresenceStore, Publish, Published, RawJson, RpcError, ServerBuilder, Socket, StoreError, Timestamp,
};
use tokensocket_tests::device::{builder, connect_with, internal};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::Node;
use tokensocket_tests::wire::Client;
use tokio::sync::Notify;

fn with(presence: Presence) -> ServerBuilder {
    builder()
        .channels("room.>", ChannelOptions::new().presence(presence))
        .channels("kept", ChannelOptions::new().history(history()).presence(Presence::new().announce()))
}

fn history() -> History {
    History::new(10, std::time::Duration::from_mins(1))
}

async fn client(node: &Node, query: &str) -> Client {
    connect_with(node, query, None, &["presence"]).await
}

async fn watch(client: &mut Client, channel: &str) {
    client.start("_subscribe", json!({ "channel": channel, "presence": true })).await;
    let told = client.find("the subscription", |message| message["command"] == "subscribe").await;
    assert_eq!(told["data"]["channel"], channel);
}

async fn counts(node: &Node, channel: &str) -> (usize, usize) {
    let Counts { clients, users } = node.server.presence_counts(channel).await.unwrap();
    (clients, users)
}

async fn names(node: &Node, channel: &str) -> Vec<String> {
    let members = node.server.presence(channel).await.unwrap();
    let name = |info: &RawJson| info.parse::<Value>().unwrap()["name"].to_string();
    members.iter().map(|member| name(&member.info)).collect()
}

#[tokio::test]
async fn says_who_is_there_oldest_first() {
    let node = Node::start(with(Presence::new())).await;
    let mut ann = client(&node, "user=1&name=ann").await;
    let mut bob = client(&node, "name=bob").await;
    ann.subscribe("room.a").await;
    bob.subscribe("room.a").await;
    bob.subscribe("room.a").await;
    let answer = ann.call("_presence", json!({ "channel": "room.a" })).await;
    let resp = &answer["resp"];
    assert_eq!((&resp["clients"], &resp["users"]), (&json!(2), &json!(2)));
    let (first, second) = (&resp["members"][0], &resp["members"][1]);
    assert_eq!((&first["user"], &first["info"]), (&json!("1"), &json!({ "name": "ann" })));
    assert_eq!((second.get("user"), &second["info"]), (None, &json!({ "name": "bob" })));
    assert!(first["since"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(resp.get("more"), None);
    let own = node.server.sockets().into_iter().find(|socket| socket.identity().user_id().is_some());
    assert_eq!(first["client"], own.unwrap().id().to_string());
}

#[tokio::test]
async fn gives_pages_and_counts_alone() {
    let node = Node::start(with(Presence::new())).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut one = client(&node, &format!("name={n}")).await;
        one.subscribe("room.a").await;
        clients.push(one);
    }
    let asking = &mut clients[0];
    let answer = asking.call("_presence", json!({ "channel": "room.a", "limit": 0 })).await;
    assert_eq!(answer["resp"], json!({ "clients": 5, "users": 5, "members": [] }));
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let answer =
            asking.call("_presence", json!({ "channel": "room.a", "limit": 2, "after": after })).await;
        let members = answer["resp"]["members"].as_array().unwrap();
        assert!(members.len() <= 2, "{answer}");
        seen.extend(members.iter().map(|member| member["info"]["name"].clone()));
        after = members.last().unwrap()["client"].clone();
        if answer["resp"].get("more").is_none() {
            break;
        }
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
    let answer = asking.call("_presence", json!({ "channel": "room.a", "after": "nobody" })).await;
    assert_eq!(answer["code"], "not_found", "{answer}");
    let gone = node.server.presence_page("room.a", Some("nobody"), 1).await;
    assert!(matches!(gone, Err(PresenceError::Store(StoreError::Gone(_)))), "{gone:?}");
}

#[tokio::test]
async fn is_told_to_followers_and_to_others_by_the_hook_alone() {
    let node = Node::start(with(Presence::new())).await;
    let mut stranger = client(&node, "user=1").await;
    let answer = stranger.call("_presence", json!({ "channel": "room.a" })).await;
    assert_eq!(answer["code"], "forbidden");
    stranger.subscribe("plain").await;
    assert_eq!(stranger.call("_presence", json!({ "channel": "plain" })).await["code"], "not_found");

    let hook = |_: Socket, channel: Channel| async move {
        if channel.as_str() == "room.open" { Ok(()) } else { Err(RpcError::forbidden()) }
    };
    let node = Node::start(with(Presence::new()).on_presence(hook)).await;
    let mut stranger = client(&node, "user=1").await;
    stranger.subscribe("room.shut").await;
    let shut = stranger.call("_presence", json!({ "channel": "room.shut" })).await;
    let open = stranger.call("_presence", json!({ "channel": "room.open" })).await;
    assert_eq!(shut["code"], "forbidden");
    assert_eq!(open["resp"], json!({ "clients": 0, "users": 0, "members": [] }));
}

#[tokio::test]
async fn joins_and_leaves_reach_those_who_asked_and_no_other() {
    let node = Node::start(with(Presence::new().announce())).await;
    let (mut watching, mut quiet) = (client(&node, "user=1").await, client(&node, "user=2").await);
    quiet.subscribe("room.a").await;
    watch(&mut watching, "room.a").await;
    let mut comer = client(&node, "user=3&name=cat").await;
    comer.subscribe("room.b").await;
    comer.subscribe("room.a").await;
    let joined = internal(&mut watching, "join").await;
    assert_eq!((&joined["channel"], &joined["member"]["user"]), (&json!("room.a"), &json!("3")));
    assert_eq!(joined["member"]["info"], json!({ "name": "cat" }));
    comer.call("_unsubscribe", json!({ "channel": "room.a" })).await;
    assert_eq!(internal(&mut watching, "leave").await, joined);
    comer.call("_unsubscribe", json!({ "channel": "room.a" })).await;
    comer.subscribe("room.a").await;
    internal(&mut watching, "join").await;
    drop(comer);
    internal(&mut watching, "leave").await;
    quiet.expect_alive().await;

    // Who no longer follows is no longer told.
    watching.call("_unsubscribe", json!({ "channel": "room.a" })).await;
    internal(&mut watching, "unsubscribe").await;
    let mut comer = client(&node, "user=3").await;
    comer.subscribe("room.a").await;
    watching.expect_alive().await;
}

#[tokio::test]
async fn without_announce_nobody_is_told() {
    let node = Node::start(with(Presence::new())).await;
    let mut watching = client(&node, "user=1").await;
    watch(&mut watching, "room.a").await;
    let mut comer = client(&node, "user=2").await;
    comer.subscribe("room.a").await;
    drop(comer);
    until("the comer to leave", || node.server.sockets().len() == 1).await;
    watching.expect_alive().await;
}

#[tokio::test]
async fn tabs_of_one_user_are_one_member_where_the_option_says_so() {
    let node = Node::start(with(Presence::new().announce().per_user())).await;
    let mut watching = client(&node, "name=watching").await;
    watch(&mut watching, "room.a").await;
    let (mut one, mut two) = (client(&node, "user=8&name=one").await, client(&node, "user=8&name=two").await);
    one.subscribe("room.a").await;
    two.subscribe("room.a").await;
    let joined = internal(&mut watching, "join").await;
    assert_eq!(counts(&node, "room.a").await, (3, 2));
    assert_eq!(names(&node, "room.a").await, [r#""watching""#, r#""one""#]);
    drop(one);
    until("the first tab to close", || node.server.sockets().len() == 2).await;
    watching.expect_alive().await;
    assert_eq!(counts(&node, "room.a").await, (2, 2));
    assert_eq!(names(&node, "room.a").await, [r#""watching""#, r#""one""#]);
    drop(two);
    assert_eq!(internal(&mut watching, "leave").await, joined);
    assert_eq!(counts(&node, "room.a").await, (1, 1));
}

#[tokio::test]
async fn whoever_is_taken_off_a_channel_leaves_it() {
    let node = Node::start(with(Presence::new().announce())).await;
    let mut watching = client(&node, "user=1").await;
    watch(&mut watching, "kept").await;
    let mut clients = Vec::new();
    for n in 0..3 {
        let mut one = client(&node, &format!("user=other{n}")).await;
        one.subscribe("kept").await;
        internal(&mut watching, "join").await;
        clients.push(one);
    }
    for socket in node.server.sockets() {
        if socket.identity().user_id().is_some_and(|user| &**user == "other0") {
            socket.unsubscribe("kept").unwrap();
        }
    }
    assert_eq!(internal(&mut watching, "leave").await["member"]["user"], "other0");
    assert_eq!(counts(&node, "kept").await, (3, 3));
    node.server.unsubscribe_all("kept").await.unwrap();
    assert_eq!(counts(&node, "kept").await, (0, 0));
    assert!(node.server.presence("kept").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_socket_that_the_server_subscribed_is_there_and_one_that_was_refused_is_not() {
    let refusing = |_: Socket, _| async { Err(RpcError::forbidden()) };
    let node = Node::start(with(Presence::new()).on_subscribe(refusing)).await;
    let mut one = client(&node, "user=1").await;
    assert_eq!(one.call("_subscribe", json!({ "channel": "room.a" })).await["code"], "forbidden");
    assert_eq!(counts(&node, "room.a").await, (0, 0));
    node.server.sockets()[0].subscribe("room.a").await.unwrap();
    assert_eq!(counts(&node, "room.a").await, (1, 1));
    one.find("the subscription", |message| message["command"] == "subscribe").await;
    let refused = node.server.presence("plain").await;
    assert!(matches!(refused, Err(PresenceError::NotKept)), "{refused:?}");
}

/// A broker of one node that takes its time to follow a channel.
#[derive(Debug, Default)]
struct SlowBroker {
    inner: MemoryBroker,
    opened: Arc<Notify>,
}

impl Broker for SlowBroker {
    fn start(&self, node: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        self.inner.start(node, handler)
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.inner.publish(publish)
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        self.inner.history(channel, history, query, now)
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.inner.broadcast(message)
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.inner.control(control)
    }

    fn subscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        let (subscribing, opened) = (self.inner.subscribe(channel), Arc::clone(&self.opened));
        Box::pin(async move {
            opened.notified().await;
            subscribing.await
        })
    }

    fn unsubscribe(&self, channel: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.inner.unsubscribe(channel)
    }
}

#[tokio::test]
async fn whoever_was_taken_off_before_its_subscription_succeeded_is_not_there() {
    let opened = Arc::new(Notify::new());
    let broker = SlowBroker { opened: Arc::clone(&opened), ..SlowBroker::default() };
    let node = Node::start(with(Presence::new()).broker(broker)).await;
    let mut one = client(&node, "user=1").await;
    let uuid = one.start("_subscribe", json!({ "channel": "room.a" })).await;
    let ends = |message: &Value| message["command"] == "subscribe" || message["uuid"] == *uuid;
    let socket = node.server.sockets().remove(0);
    until("the subscription to begin", || !socket.channels().is_empty()).await;
    socket.unsubscribe("room.a").unwrap();
    opened.notify_one();
    one.find("the subscription to end", ends).await;
    assert_eq!(counts(&node, "room.a").await, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_empty_again_however_clients_come_and_go() {
    let node = Node::start(with(Presence::new().announce().per_user())).await;
    let mut watching = client(&node, "user=0").await;
    watch(&mut watching, "room.a").await;
    let mut tasks = Vec::new();
    for user in 1..=8 {
        let mut one = client(&node, &format!("user={}", user % 4 + 1)).await;
        let server = node.server.clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..60 {
                let verb = if round % 2 == 0 { "_subscribe" } else { "_unsubscribe" };
                one.start(verb, json!({ "channel": "room.a" })).await;
                if round % 7 == user % 7 {
                    for socket in server
                        .sockets()
                        .into_iter()
                        .filter(|socket| socket.identity().user_id().is_some_and(|user| &**user != "0"))
                    {
                        // Races with the client's own.
                        let _ = socket.subscribe("room.a").await;
                        let _ = socket.unsubscribe("room.a");
                    }
                }
                tokio::task::yield_now().await;
            }
            one.start("_subscribe", json!({ "channel": "room.a" })).await;
            // Closes while that is on its way.
            drop(one);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    until("the others to close", || node.server.sockets().len() == 1).await;
    // They leave behind what is still announced.
    within("the others to leave", async {
        while counts(&node, "room.a").await != (1, 1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What was announced adds up: each join of a user is followed by its leave, before the next.
    node.server.publish("room.a", "end").await.unwrap();
    let mut there = std::collections::BTreeSet::new();
    loop {
        let message = watching.next().await;
        if message["message"] == "end" {
            break;
        }
        let user = message["data"]["member"]["user"].as_str().unwrap().to_owned();
        match message["command"].as_str() {
            Some("join") => assert!(there.insert(user), "{message}"),
            Some("leave") => assert!(there.remove(&user), "{message}"),
            other => panic!("{other:?}: {message}"),
        }
    }
    assert!(there.is_empty(), "{there:?}");
}

/// What becomes of changes of presence.
const DONE: u8 = 0;
const REFUSED: u8 = 1;
const REFUSED_LATER: u8 = 2;
const DONE_AND_LOST: u8 = 3;

/// A store of presence that is told what to do.
#[derive(Clone, Default)]
struct Moody {
    inner: Arc<MemoryPresenceStore>,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn change(
        &self,
        change: impl FnOnce(&MemoryPresenceStore) -> BoxFuture<'static, Result<Change, StoreError>>,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        let mood = self.mood.load(Ordering::Relaxed);
        let changing = (mood == DONE || mood == DONE_AND_LOST).then(|| change(&self.inner));
        Box::pin(async move {
            if mood == REFUSED_LATER {
                tokio::task::yield_now().await;
            }
            changing.filter(|_| mood == DONE).ok_or(StoreError::Overloaded)?.await
        })
    }
}

impl PresenceStore for Moody {
    fn join(
        &self,
        channel: &Channel,
        member: Member,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.change(|inner| inner.join(channel, member, per_user))
    }

    fn leave(
        &self,
        channel: &Channel,
        client: &str,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        self.change(|inner| inner.leave(channel, client, per_user))
    }

    fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Vec<Member>, StoreError>> {
        self.inner.members(channel, after, limit, per_user)
    }

    fn counts(&self, channel: &Channel) -> BoxFuture<'static, Result<Counts, StoreError>> {
        self.inner.counts(channel)
    }
}

#[tokio::test]
async fn a_store_that_failed_learns_who_came_and_went_meanwhile() {
    for (presence, mood) in [
        (Presence::new().announce(), REFUSED),
        (Presence::new().announce(), REFUSED_LATER),
        (Presence::new(), REFUSED),
        (Presence::new(), REFUSED_LATER),
        (Presence::new(), DONE_AND_LOST),
    ] {
        let store = Moody::default();
        let announces = presence == Presence::new().announce();
        let node = Node::start(with(presence).presence_store(store.clone())).await;
        let mut watching = client(&node, "name=watching").await;
        watch(&mut watching, "room.a").await;
        let mut stays = client(&node, "name=stays").await;
        let mut goes = client(&node, "name=goes").await;
        let mut gone = client(&node, "name=gone").await;
        let mut comes = client(&node, "name=comes").await;
        for one in [&mut stays, &mut goes, &mut gone] {
            one.subscribe("room.a").await;
            if announces {
                internal(&mut watching, "join").await;
            }
        }
        store.mood.store(mood, Ordering::Relaxed);
        let (sockets, room) = (node.server.sockets().len(), json!({ "channel": "room.a" }));
        goes.call("_unsubscribe", room.clone()).await;
        drop(gone);
        stays.call("_unsubscribe", room.clone()).await;
        stays.subscribe("room.a").await;
        comes.subscribe("room.a").await;
        until("one to be gone", || node.server.sockets().len() < sockets).await;
        store.mood.store(DONE, Ordering::Relaxed);
        let expected = [r#""watching""#, r#""stays""#, r#""comes""#];
        let settled = async {
            loop {
                let mut there = names(&node, "room.a").await;
                there.sort_unstable_by_key(|name| expected.iter().position(|other| other == name));
                if there == expected {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        within("the store to know who is there", settled).await;
        if announces {
            let (mut left, mut joined) = (Vec::new(), Vec::new());
            for _ in 0..3 {
                let is_change =
                    |message: &Value| message["command"] == "join" || message["command"] == "leave";
                let told = watching.find("a change", is_change).await;
                let list = if told["command"] == "join" { &mut joined } else { &mut left };
                list.push(told["data"]["member"]["info"]["name"].to_string());
            }
            left.sort_unstable();
            assert_eq!(
                (left, joined),
                (vec![r#""goes""#.into(), r#""gone""#.into()], vec![r#""comes""#.into()])
            );
        }
        watching.expect_quiet().await;
    }
}
