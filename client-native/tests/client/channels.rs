//! Subscriptions as streams, publications, listeners.

use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use tokensocket_client::{Error, RawJson, Subscription, SubscriptionError, TokenSocket};
use tokio::sync::mpsc;

use crate::peer::{Connection, Peer, soon};

async fn subscribe(socket: &TokenSocket, connection: &mut Connection, channel: &str) -> Subscription {
    let both = async { tokio::join!(socket.subscribe(channel), connection.confirm_subscribe()) };
    soon(both).await.0.unwrap()
}

#[tokio::test]
async fn a_subscription_streams_its_channel_in_order() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let mut news = subscribe(&socket, &mut connection, "news").await.typed::<u32>();
    connection.publish("other", &json!(0)).await;
    for number in 1..=3 {
        connection.publish("news", &json!(number)).await;
    }
    connection.publish("news", &json!("text")).await;
    for number in 1..=3 {
        assert_eq!(soon(news.next()).await, Some(Ok(number)));
    }
    assert!(matches!(soon(news.next()).await, Some(Err(SubscriptionError::Decode(_)))));
    assert_eq!(soon(socket.channels()).await, [news.channel().clone()]);
}

#[tokio::test]
async fn a_publication_right_behind_the_confirmation_is_not_missed() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let serve = async {
        connection.confirm_subscribe().await;
        connection.publish("news", &json!(1)).await;
    };
    let (news, ()) = soon(async { tokio::join!(socket.subscribe("news"), serve) }).await;
    assert_eq!(soon(news.unwrap().next()).await.unwrap().unwrap().as_str(), "1");
}

#[tokio::test]
async fn dropping_the_last_subscription_unsubscribes() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let first = subscribe(&socket, &mut connection, "news").await;
    let mut second = subscribe(&socket, &mut connection, "news").await;
    drop(first);
    connection.publish("news", &json!(1)).await;
    assert!(soon(second.next()).await.is_some());
    drop(second);
    let message = connection.receive().await;
    assert_eq!((&message["rpc"], &message["req"]["channel"]), (&json!("_unsubscribe"), &json!("news")));
}

#[tokio::test]
async fn a_subscribe_that_is_dropped_is_taken_back() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let message = tokio::select! {
        _ = socket.subscribe("news") => panic!("nobody answers"),
        message = connection.receive() => message,
    };
    assert_eq!(message["rpc"], "_subscribe");
    assert_eq!(connection.receive().await["rpc"], "_unsubscribe");
    assert!(soon(socket.channels()).await.is_empty());
}

#[tokio::test]
async fn a_detached_subscription_still_feeds_the_listeners_until_unsubscribed() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let (messages, mut heard) = mpsc::unbounded_channel();
    let listener = socket.on_message(move |channel, data: &RawJson| {
        let _ = messages.send(format!("{channel} {data}"));
    });
    subscribe(&socket, &mut connection, "news").await.detach();
    connection.publish("news", &json!({ "a": 1 })).await;
    assert_eq!(soon(heard.recv()).await.unwrap(), r#"news {"a":1}"#);
    let serve = async {
        let message = connection.receive().await;
        assert_eq!(message["rpc"], "_unsubscribe");
        connection.answer(&message, &json!({ "resp": "success" })).await;
    };
    let (outcome, ()) = soon(async { tokio::join!(socket.unsubscribe("news"), serve) }).await;
    outcome.unwrap();
    listener.remove();
    assert!(soon(heard.recv()).await.is_none(), "the listener and its sender are gone");
}

#[tokio::test]
async fn unsubscribing_ends_the_streams_of_the_channel() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let mut news = subscribe(&socket, &mut connection, "news").await;
    let serve = async {
        let message = connection.receive().await;
        connection.answer(&message, &json!({ "resp": "success" })).await;
    };
    let (outcome, (), end) =
        soon(async { tokio::join!(socket.unsubscribe("news"), serve, news.next()) }).await;
    outcome.unwrap();
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_channel_that_the_server_takes_away_ends_with_an_error() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let mut news = subscribe(&socket, &mut connection, "news").await;
    connection
        .send(&json!({ "internal": true, "command": "unsubscribe", "data": { "channel": "news" } }))
        .await;
    assert_eq!(soon(news.next()).await, Some(Err(SubscriptionError::Lost(None))));
    assert_eq!(soon(news.next()).await, None);
}

#[tokio::test]
async fn a_channel_that_is_refused_after_a_reconnect_ends_with_the_reason() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let mut news = subscribe(&socket, &mut connection, "news").await;
    drop(connection);
    let mut connection = peer.let_in().await;
    let message = connection.receive().await;
    connection.answer(&message, &json!({ "error": "Forbidden", "code": "forbidden" })).await;
    let Some(Err(SubscriptionError::Lost(Some(error)))) = soon(news.next()).await else { panic!("not lost") };
    assert_eq!(error.message(), "Forbidden");
}

#[tokio::test]
async fn a_refused_subscribe_and_a_bad_name_are_errors() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let serve = async {
        let message = connection.receive().await;
        connection.answer(&message, &json!({ "error": "Forbidden" })).await;
    };
    let (outcome, ()) = soon(async { tokio::join!(socket.subscribe("news"), serve) }).await;
    assert!(matches!(outcome, Err(Error::Server(_))));
    let outcome = socket.subscribe("").now_or_never();
    assert!(matches!(outcome, Some(Err(Error::Channel(_)))), "refused before anything is sent");
}

#[tokio::test]
async fn publications_and_broadcasts_resolve_with_the_servers_answer() {
    let mut peer = Peer::start().await;
    let (socket, mut connection) = peer.pair().await;
    let serve = async {
        let message = connection.receive().await;
        assert_eq!(message["req"], json!({ "channel": "news", "data": { "a": 1 } }));
        connection.answer(&message, &json!({ "resp": "success" })).await;
        let message = connection.receive().await;
        assert_eq!((&message["rpc"], &message["req"]), (&json!("_broadcast"), &json!({ "data": 5 })));
        connection.answer(&message, &json!({ "error": "Forbidden" })).await;
    };
    let publish = async {
        socket.publish("news", &json!({ "a": 1 })).await.unwrap();
        assert!(matches!(socket.broadcast(&5).await, Err(Error::Server(_))));
    };
    soon(async { tokio::join!(publish, serve) }).await;
}
