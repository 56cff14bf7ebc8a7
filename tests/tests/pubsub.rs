//! Publish and subscribe: who gets what, in which order, and who may refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_server::{Channel, Close, ErrorCode, Filtered, RawJson, RpcError};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};
use tokio::sync::{Notify, mpsc};

/// Notes what hooks are asked, for the test to read.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn node() -> Node {
    Node::start(builder()).await
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

#[tokio::test]
async fn publications_reach_every_follower_in_order_and_nobody_else() {
    let node = node().await;
    let mut followers = Vec::new();
    for framing in [Framing::Raw, Framing::SockJs, Framing::Raw, Framing::SockJs] {
        let mut client = Client::ready(&node, framing).await;
        client.subscribe("news").await;
        followers.push(client);
    }
    let mut stranger = Client::ready(&node, Framing::Raw).await;
    stranger.subscribe("new").await;
    let mut publisher = Client::ready(&node, Framing::Raw).await;
    for n in 0..100 {
        publisher.start("_publish", json!({ "channel": "news", "data": n })).await;
    }
    for follower in &mut followers {
        for n in 0..100 {
            follower.expect(json!({ "channel": "news", "message": n })).await;
        }
        follower.expect_alive().await;
    }
    stranger.expect_alive().await;
    for n in 0..100 {
        publisher
            .expect(json!({ "rpc": "_publish", "uuid": format!("u{}", n + 1), "resp": "success" }))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_followers_see_the_publications_of_many_in_one_order() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 100;
    let node = node().await;
    let mut followers = Vec::new();
    for framing in [Framing::Raw, Framing::SockJs, Framing::Raw] {
        let mut client = Client::ready(&node, framing).await;
        client.subscribe("c").await;
        followers.push(client);
    }
    for publisher in 0..PUBLISHERS {
        let mut client = Client::ready(&node, Framing::Raw).await;
        tokio::spawn(async move {
            for n in 0..EACH {
                client.start("_publish", json!({ "channel": "c", "data": [publisher, n] })).await;
            }
            // The connection lives until all is answered.
            client.answer(&format!("u{EACH}")).await;
        });
    }
    let mut orders = Vec::new();
    for follower in &mut followers {
        let mut order = Vec::new();
        for _ in 0..PUBLISHERS * EACH {
            order.push(follower.next().await["message"].clone());
        }
        for publisher in 0..PUBLISHERS {
            let of_one: Vec<_> = order.iter().filter(|message| message[0] == publisher).collect();
            assert!(of_one.iter().enumerate().all(|(n, message)| message[1] == n), "{of_one:?}");
        }
        orders.push(order);
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
}

#[tokio::test]
async fn a_publisher_that_follows_the_channel_gets_its_own() {
    let node = node().await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client.subscribe("c").await;
        let uuid = client.start("_publish", json!({ "channel": "c", "data": { "a": 1 } })).await;
        let own = client.find("its own", |message| message["channel"] == "c").await;
        assert_eq!(own, json!({ "channel": "c", "message": { "a": 1 } }));
        assert_eq!(client.answer(&uuid).await["resp"], "success");
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_broadcast_comes_once_for_each_channel_that_is_followed() {
    let node = node().await;
    let mut two = Client::ready(&node, Framing::SockJs).await;
    two.subscribe("a").await;
    two.subscribe("b").await;
    two.subscribe("b").await;
    let mut one = Client::ready(&node, Framing::Raw).await;
    one.subscribe("b").await;
    let mut none = Client::ready(&node, Framing::Raw).await;
    assert_eq!(none.call("_broadcast", json!({ "data": "x" })).await["resp"], "success");
    let mut channels = [two.next().await, two.next().await].map(|message| {
        assert_eq!(message["message"], "x");
        message["channel"].as_str().unwrap().to_owned()
    });
    channels.sort();
    assert_eq!(channels, ["a", "b"]);
    two.expect_alive().await;
    one.expect(json!({ "channel": "b", "message": "x" })).await;
    one.expect_alive().await;
    none.expect_alive().await;
    node.server.broadcast(json!([1])).await.unwrap();
    one.expect(json!({ "channel": "b", "message": [1] })).await;
}

#[tokio::test]
async fn a_publish_right_after_a_subscribe_reaches_the_publisher_even_behind_a_slow_hook() {
    let asked = Arc::new(Notify::new());
    let go = Arc::new(Notify::new());
    let (asks, goes) = (asked.clone(), go.clone());
    let node = Node::start(builder().on_subscribe(move |_, channel| {
        let (asks, goes) = (asks.clone(), goes.clone());
        async move {
            if channel.as_str() == "slow" {
                asks.notify_one();
                goes.notified().await;
            }
            Ok(())
        }
    }))
    .await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        for round in 0..50 {
            let name = format!("fast {round}");
            client.start("_subscribe", json!({ "channel": name })).await;
            client.start("_publish", json!({ "channel": name, "data": round })).await;
            client
                .find("the publication", |message| message["channel"] == *name && message["message"] == round)
                .await;
        }
        client.start("_subscribe", json!({ "channel": "slow" })).await;
        let published = client.start("_publish", json!({ "channel": "slow", "data": 1 })).await;
        within("the hook", asked.notified()).await;
        // Calls do not wait behind the hook.
        assert_eq!(client.call("_ping", json!({})).await["resp"]["message"], "pong");
        go.notify_one();
        client
            .find("the publication", |message| message["message"] == 1 && message["channel"] == "slow")
            .await;
        assert_eq!(client.answer(&published).await["resp"], "success");
    }
}

#[tokio::test]
async fn one_who_left_gets_no_more() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("c").await;
    assert_eq!(client.call("_unsubscribe", json!({ "channel": "c" })).await["resp"], "success");
    assert_eq!(client.next().await["command"], "unsubscribe");
    node.server.publish("c", 1).await.unwrap();
    client.expect_alive().await;
    assert_eq!(node.server.channels(), []);
    // One that never followed is told the same.
    assert_eq!(client.call("_unsubscribe", json!({ "channel": "never" })).await["resp"], "success");
}

#[tokio::test]
async fn the_server_subscribes_and_unsubscribes_sockets_and_tells_them() {
    let node = node().await;
    let mut client = Client::ready(&node, Framing::SockJs).await;
    let socket = node.server.sockets().remove(0);
    node.server.subscribe(&socket, "vip").await.unwrap();
    client.expect(json!({ "internal": true, "command": "subscribe", "data": { "channel": "vip" } })).await;
    node.server.publish("vip", 1).await.unwrap();
    client.expect(json!({ "channel": "vip", "message": 1 })).await;
    node.server.unsubscribe(&socket, "vip").unwrap();
    client.expect(json!({ "internal": true, "command": "unsubscribe", "data": { "channel": "vip" } })).await;
    node.server.publish("vip", 2).await.unwrap();
    client.expect_alive().await;
    assert!(node.server.subscribe(&socket, "a\nb").await.is_err());
    assert!(node.server.publish("", 1).await.is_err());
}

#[tokio::test]
async fn everybody_can_be_taken_off_a_channel() {
    let node = node().await;
    let mut clients = Vec::new();
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client.subscribe("c").await;
        client.subscribe("stays").await;
        clients.push(client);
    }
    node.server.unsubscribe_all("c").await.unwrap();
    node.server.publish("c", 1).await.unwrap();
    for client in &mut clients {
        client
            .expect(json!({ "internal": true, "command": "unsubscribe", "data": { "channel": "c" } }))
            .await;
        client.expect_alive().await;
    }
    assert_eq!(node.server.channels(), [channel("stays")]);
}

#[tokio::test]
async fn the_server_knows_its_channels_and_sockets() {
    let node = node().await;
    let mut ann = Client::ready(&node, Framing::Raw).await;
    let mut bob = Client::ready(&node, Framing::Raw).await;
    ann.subscribe("b").await;
    ann.subscribe("a").await;
    bob.subscribe("b").await;
    assert_eq!(node.server.channels(), [channel("a"), channel("b")]);
    let sockets = node.server.sockets();
    assert_eq!(sockets.len(), 2);
    assert_eq!(sockets[0].channels(), [channel("a"), channel("b")]);
    assert_eq!(sockets[1].channels(), [channel("b")]);
    assert_eq!(node.server.channel_sockets(&channel("a")), [sockets[0].clone()]);
    let mut both = node.server.channel_sockets(&channel("b"));
    both.sort_by_key(tokensocket_server::Socket::id);
    assert_eq!(both, sockets);
    assert_eq!(node.server.channel_sockets(&channel("nobody")), []);
    assert_eq!(node.server.socket(sockets[0].id()), Some(sockets[0].clone()));
    assert!(sockets[0].is_authenticated() && !sockets[0].is_closed());
    drop(ann);
    until("ann to be gone", || node.server.sockets().len() == 1).await;
    assert_eq!(node.server.channels(), [channel("b")]);
    assert_eq!(node.server.channel_sockets(&channel("b")), [sockets[1].clone()]);
    assert!(sockets[0].is_closed() && sockets[0].channels().is_empty());
    assert!(sockets[0].subscribe("late").await.is_err());
    assert_eq!(node.server.channels(), [channel("b")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_subscribes_and_unsubscribes_leave_nothing_behind() {
    let node = node().await;
    let client = Client::ready(&node, Framing::Raw).await;
    let socket = node.server.sockets().remove(0);
    let racing = (0..4).map(|racer| {
        let socket = socket.clone();
        tokio::spawn(async move {
            for _ in 0..2000 {
                if racer % 2 == 0 {
                    // It may be told that it left again at once.
                    let _ = socket.subscribe("c").await;
                } else {
                    socket.unsubscribe("c").unwrap();
                }
            }
        })
    });
    for racer in racing.collect::<Vec<_>>() {
        racer.await.unwrap();
    }
    // What the socket follows and what the channel knows agree, also when the socket is gone.
    assert_eq!(socket.channels(), node.server.channels());
    drop(client);
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
    assert_eq!(node.server.channels(), []);
}

#[tokio::test]
async fn a_message_to_one_socket_reaches_it_alone() {
    let node = node().await;
    let mut raw = Client::ready(&node, Framing::Raw).await;
    let mut sockjs = Client::ready(&node, Framing::SockJs).await;
    raw.subscribe("c").await;
    for (at, client) in [&mut raw, &mut sockjs].into_iter().enumerate() {
        node.server.sockets()[at].send("c", json!({ "to": at })).unwrap();
        client.expect(json!({ "channel": "c", "message": { "to": at } })).await;
        client.expect_alive().await;
    }
    assert!(node.server.sockets()[0].send("___all___", 1).is_err());
}

// Hooks.

async fn refuses(what: &'static str) -> Result<(), RpcError> {
    tokio::task::yield_now().await;
    match what {
        "own" => Err(RpcError::new("not today").with_code(ErrorCode::RateLimited)),
        "text" => Err(RpcError::text("a plain no")),
        "forbidden" => Err(RpcError::forbidden()),
        "panic" => panic!("the hook panics"),
        _ => Ok(()),
    }
}

fn kind(channel: &str) -> &'static str {
    ["own", "text", "forbidden", "panic"].into_iter().find(|kind| *kind == channel).unwrap_or("")
}

#[tokio::test]
async fn hooks_refuse_each_verb_with_errors_of_their_own() {
    let node = Node::start(
        builder()
            .on_subscribe(|_, channel| refuses(kind(channel.as_str())))
            .on_unsubscribe(|_, channel| refuses(kind(channel.as_str())))
            .on_publish(|_, channel, _| refuses(kind(channel.as_str())))
            .on_broadcast(|_, data| refuses(kind(&data.parse::<String>().unwrap_or_default()))),
    )
    .await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let socket = node.server.sockets().remove(0);
    for (name, error, code) in [
        ("own", json!({ "message": "not today" }), "rate_limited"),
        ("text", json!("a plain no"), "internal"),
        ("forbidden", json!("Forbidden"), "forbidden"),
        ("panic", json!("Internal error"), "internal"),
    ] {
        for rpc in ["_subscribe", "_publish", "_broadcast"] {
            let answer = client.call(rpc, json!({ "channel": name, "data": name })).await;
            assert_eq!((&answer["error"], &answer["code"]), (&error, &json!(code)), "{rpc} {name}");
        }
        assert_eq!(socket.channels(), []);
        // The server itself is not asked.
        node.server.subscribe(&socket, name).await.unwrap();
        assert_eq!(client.next().await["command"], "subscribe");
        let answer = client.call("_unsubscribe", json!({ "channel": name })).await;
        assert_eq!((&answer["error"], &answer["code"]), (&error, &json!(code)), "{name}");
        node.server.publish(name, 1).await.unwrap();
        client.expect(json!({ "channel": name, "message": 1 })).await;
        node.server.unsubscribe(&socket, name).unwrap();
        assert_eq!(client.next().await["command"], "unsubscribe");
    }
    client.expect_alive().await;
}

#[tokio::test]
async fn several_hooks_must_all_allow_and_the_first_refusal_decides() {
    let recorder = Recorder::default();
    let hook = |name: &'static str| {
        let recorder = recorder.clone();
        move |_, channel: Channel| {
            recorder.note(format!("{name} {channel}"));
            async move {
                if channel.as_str() == name { Err(RpcError::text(format!("{name} says no"))) } else { Ok(()) }
            }
        }
    };
    let node = Node::start(builder().on_subscribe(hook("first")).on_subscribe(hook("second"))).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    assert_eq!(client.call("_subscribe", json!({ "channel": "first" })).await["error"], "first says no");
    assert_eq!(recorder.take(), ["first first"]);
    assert_eq!(client.call("_subscribe", json!({ "channel": "second" })).await["error"], "second says no");
    assert_eq!(recorder.take(), ["first second", "second second"]);
    client.subscribe("third").await;
    assert_eq!(recorder.take(), ["first third", "second third"]);
}

#[tokio::test]
async fn hooks_see_who_asks_and_what() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let node = Node::start(builder().on_publish(move |socket, channel, data| {
        let user = socket.identity().parse::<Value>().unwrap()["user"].clone();
        tell.send((user, channel.to_string(), data.to_string())).unwrap();
        async { Ok(()) }
    }))
    .await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.call("_publish", json!({ "channel": "c", "data": { "x": [1] } })).await;
    assert_eq!(told.recv().await.unwrap(), (json!("ann"), "c".to_owned(), r#"{"x":[1]}"#.to_owned()));
}

#[tokio::test]
async fn a_filter_keeps_replaces_or_drops_for_each_recipient() {
    let node = Node::start(builder().filter(|socket, channel, message| {
        let user = socket.identity().parse::<Value>().unwrap()["user"].clone();
        match user.as_str() {
            Some("blind") => Filtered::Drop,
            Some("child") => Filtered::Replace(
                RawJson::new(&json!({ "cut": message.to_string(), "on": channel.as_str() })).unwrap(),
            ),
            Some("cursed") => panic!("the filter panics"),
            _ => Filtered::Keep,
        }
    }))
    .await;
    let mut clients = Vec::new();
    for user in ["ann", "blind", "child", "cursed"] {
        for framing in Framing::ALL {
            let token = node.token_of(user).await;
            let mut client = Client::connect(&node, framing).await;
            client.auth(&token).await;
            client.subscribe("c").await;
            clients.push((user, client));
        }
    }
    node.server.publish("c", json!([1])).await.unwrap();
    node.server.broadcast(json!(2)).await.unwrap();
    for (user, client) in &mut clients {
        match *user {
            "ann" => {
                client.expect(json!({ "channel": "c", "message": [1] })).await;
                client.expect(json!({ "channel": "c", "message": 2 })).await;
            }
            "child" => {
                client.expect(json!({ "channel": "c", "message": { "cut": "[1]", "on": "c" } })).await;
                client.expect(json!({ "channel": "c", "message": { "cut": "2", "on": "c" } })).await;
            }
            _ => {}
        }
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn the_disconnect_hook_is_told_once_and_why() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let node = Node::start(builder().auth_timeout(Some(Duration::from_mins(1))).on_disconnect(
        move |socket, close: Close| {
            assert!(socket.is_closed(), "the socket is gone when its end is told");
            tell.send((close.code, close.reason.into_owned())).unwrap();
            async {}
        },
    ))
    .await;
    let mut next = async || within("the hook", told.recv()).await.unwrap();

    let mut client = Client::ready(&node, Framing::Raw).await;
    client.socket.close(None).await.unwrap();
    assert_eq!(next().await.0, 1005);

    let mut client = Client::ready(&node, Framing::SockJs).await;
    let close =
        tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4700.into(), reason: "bye".into() };
    client.socket.close(Some(close)).await.unwrap();
    assert_eq!(next().await, (4700, "bye".to_owned()));

    drop(Client::ready(&node, Framing::Raw).await);
    assert_eq!(next().await.0, 1006);

    let mut client = Client::ready(&node, Framing::Raw).await;
    node.server.sockets().pop().unwrap().disconnect_with(Close::new(4600, "out"));
    assert_eq!(client.closed().await, (4600, "out".to_owned()));
    assert_eq!(next().await, (4600, "out".to_owned()));

    let mut client = Client::ready(&node, Framing::Raw).await;
    client.send_frame(vec![1].into()).await;
    client.closed().await;
    assert_eq!(next().await.0, 1003);

    // One that never authenticated is not told of.
    drop(Client::connect(&node, Framing::Raw).await);
    until("all to be gone", || node.server.sockets().is_empty()).await;
    let mut last = Client::ready(&node, Framing::Raw).await;
    node.server.sockets().pop().unwrap().disconnect();
    last.closed().await;
    assert_eq!(next().await, (1000, "Normal closure".to_owned()));
    assert!(told.try_recv().is_err());
}
