//! Calls while the engine is away: refused or answered in time, and the end is not held up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tokensocket_server::socketio::{NamespaceOptions, SocketIoOptions};
use tokensocket_server::{Actions, BrokerError, RpcError, Server, StoreError};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{connected, native};
use tokensocket_tests::node::Node;
use tokensocket_tests::packets::{self, Packets};
use tokensocket_tests::wire::Client;

use crate::followers::keeping;
use crate::watched::{Answer, Watched};

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
