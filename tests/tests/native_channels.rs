//! The native client's channels.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokensocket_client::{
    ConnectionError, ConnectionState, Error, Event, Subscription, SubscriptionError, TokenSocket,
};
use tokensocket_server::{Channel, ErrorCode, RpcError, ServerBuilder, Socket};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{Events, connected, ends, native, ready};
use tokensocket_tests::node::{Node, builder};

/// A server whose channels that begin with `forbidden` are.
fn guarded() -> ServerBuilder {
    async fn allow(_: Socket, channel: Channel) -> Result<(), RpcError> {
        if channel.as_str() == "forbidden/why" {
            return Err(RpcError::new("not on Sundays").with_code(ErrorCode::RateLimited).with_details(&7));
        }
        if channel.as_str().starts_with("forbidden") { Err(RpcError::forbidden()) } else { Ok(()) }
    }
    builder().on_subscribe(allow).on_publish(|socket, channel, _| allow(socket, channel))
}

async fn start() -> (Node, TokenSocket) {
    let node = Node::start(guarded()).await;
    let socket = ready(node.address).await;
    (node, socket)
}

async fn follow<T: DeserializeOwned>(socket: &TokenSocket, channel: &str) -> Subscription<T> {
    within("a subscription", socket.subscribe(channel)).await.expect("the server confirms").typed()
}

async fn next<T: DeserializeOwned>(
    subscription: &mut Subscription<T>,
) -> Option<Result<T, SubscriptionError>> {
    within("a publication", subscription.next()).await
}

async fn publish(socket: &TokenSocket, channel: &str, data: &Value) {
    within("a publication to be taken", socket.publish(channel, data)).await.expect("it is allowed");
}

async fn channels(socket: &TokenSocket) -> Vec<String> {
    within("the channels", socket.channels()).await.iter().map(ToString::to_string).collect()
}

fn refused<T>(outcome: Result<T, Error>) -> RpcError {
    match outcome {
        Err(Error::Server(error)) => error,
        Err(other) => panic!("expected an error of the server: {other:?}"),
        Ok(_) => panic!("expected an error of the server"),
    }
}

// Publications.

#[tokio::test]
async fn publications_reach_every_stream_and_listener_in_order() {
    let (node, publisher) = start().await;
    let follower = ready(node.address).await;
    let mut own = follow::<Value>(&publisher, "news").await;
    let mut others = follow::<Value>(&follower, "news").await;
    let mut second = follow::<Value>(&follower, "news").await;
    let mut events = Events::of(&follower);
    assert_eq!(events.next().await, Event::Ready(Ok(())));

    let published = [json!({ "a": [1] }), json!("ünï☃"), json!("42"), json!(7), json!(true), json!(null)];
    for data in &published {
        publish(&publisher, "news", data).await;
    }
    within("a publication of the server", node.server.publish("news", json!("end"))).await.unwrap();

    for data in published.iter().chain([&json!("end")]) {
        for stream in [&mut own, &mut others, &mut second] {
            assert_eq!(next(stream).await, Some(Ok(data.clone())));
        }
        let Event::Message { channel, data: heard } = events.next().await else { panic!("no message") };
        assert_eq!((&*channel, heard.parse::<Value>().unwrap()), ("news", data.clone()));
    }
    assert_eq!(channels(&follower).await, ["news"]);
}

#[tokio::test]
async fn a_publication_right_after_a_subscription_is_not_missed() {
    let (_node, socket) = start().await;
    for round in 0..50 {
        let channel = format!("round {round}");
        let mut stream = follow::<u32>(&socket, &channel).await;
        publish(&socket, &channel, &json!(round)).await;
        assert_eq!(next(&mut stream).await, Some(Ok(round)));
    }
}

#[tokio::test]
async fn a_broadcast_comes_once_for_each_channel() {
    let (node, socket) = start().await;
    let other = ready(node.address).await;
    let mut streams =
        [follow::<u32>(&socket, "one").await, follow(&socket, "two").await, follow(&other, "one").await];
    within("a broadcast", socket.broadcast(&1)).await.unwrap();
    within("a broadcast of the server", node.server.broadcast(2)).await.unwrap();
    for stream in &mut streams {
        assert_eq!(next(stream).await, Some(Ok(1)));
        assert_eq!(next(stream).await, Some(Ok(2)));
    }
}

#[tokio::test]
async fn a_publication_of_another_shape_is_an_error_and_more_follow() {
    let (_node, socket) = start().await;
    let mut stream = follow::<u32>(&socket, "numbers").await;
    publish(&socket, "numbers", &json!("one")).await;
    publish(&socket, "numbers", &json!(2)).await;
    assert!(matches!(next(&mut stream).await, Some(Err(SubscriptionError::Decode(_)))));
    assert_eq!(next(&mut stream).await, Some(Ok(2)));
}

#[tokio::test]
async fn a_slow_reader_is_told_how_many_it_missed() {
    let node = Node::start(guarded()).await;
    let socket = connected(native(node.address).subscription_buffer(3, 1 << 20)).await;
    let mut slow = follow::<u32>(&socket, "news").await;
    let mut heard = Events::of(&socket);
    for n in 0..10 {
        publish(&socket, "news", &json!(n)).await;
    }
    // By then all ten have come.
    for _ in 0..11 {
        heard.next().await;
    }
    assert_eq!(next(&mut slow).await, Some(Err(SubscriptionError::Lagged(7))));
    for n in 7..10 {
        assert_eq!(next(&mut slow).await, Some(Ok(n)));
    }
}

#[tokio::test]
async fn channel_names_may_have_any_script() {
    let (_node, socket) = start().await;
    for name in ["новости/☃", "日本", "a b\"c\\d", &"ä".repeat(127)] {
        let mut stream = follow::<u32>(&socket, name).await;
        publish(&socket, name, &json!(1)).await;
        assert_eq!(next(&mut stream).await, Some(Ok(1)), "{name}");
    }
    for name in ["", "a\nb", "___all___", &"x".repeat(256)] {
        let outcome = within("an error", socket.subscribe(name)).await;
        assert!(matches!(outcome, Err(Error::Channel(_))), "{name:?}");
    }
}

// Leaving.

#[tokio::test]
async fn unsubscribing_ends_the_stream_and_the_publications() {
    let (node, socket) = start().await;
    let other = ready(node.address).await;
    let mut left = follow::<u32>(&socket, "left").await;
    let mut kept = follow::<u32>(&socket, "kept").await;
    publish(&other, "left", &json!(1)).await;
    assert_eq!(next(&mut left).await, Some(Ok(1)));
    within("unsubscribe", socket.unsubscribe("left")).await.unwrap();
    assert_eq!(next(&mut left).await, None);
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    publish(&other, "left", &json!(2)).await;
    publish(&other, "kept", &json!(3)).await;
    assert_eq!(next(&mut kept).await, Some(Ok(3)));
    assert!(matches!(events.next().await, Event::Message { channel, .. } if channel == "kept"));
    assert_eq!(channels(&socket).await, ["kept"]);
    assert_eq!(node.server.channels().iter().map(Channel::as_str).collect::<Vec<_>>(), ["kept"]);
}

#[tokio::test]
async fn dropping_the_last_stream_unsubscribes_on_the_server() {
    let (node, socket) = start().await;
    let (first, second) = (follow::<u32>(&socket, "news").await, follow::<u32>(&socket, "news").await);
    drop(first);
    assert_eq!(channels(&socket).await, ["news"]);
    assert_eq!(node.server.channels().len(), 1);
    drop(second);
    until("the server to see it", || node.server.channels().is_empty()).await;
    assert_eq!(channels(&socket).await, [""; 0]);
}

#[tokio::test]
async fn a_subscription_that_is_detached_feeds_the_listeners() {
    let (node, socket) = start().await;
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    follow::<u32>(&socket, "news").await.detach();
    node.server.publish("news", 1).await.unwrap();
    assert!(matches!(events.next().await, Event::Message { .. }));
    within("unsubscribe", socket.unsubscribe("news")).await.unwrap();
    assert!(node.server.channels().is_empty());
}

// What the server does of its own accord.

#[tokio::test]
async fn a_subscription_made_by_the_server_is_the_clients_too() {
    let (node, socket) = start().await;
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    node.server.sockets()[0].subscribe("given").await.unwrap();
    node.server.publish("given", json!("hi")).await.unwrap();
    assert!(matches!(events.next().await, Event::Message { channel, .. } if channel == "given"));
    assert_eq!(channels(&socket).await, ["given"]);
    // And stays so.
    node.server.sockets()[0].disconnect();
    assert!(matches!(events.next().await, Event::Disconnect(_)));
    assert_eq!(events.next().await, Event::Reconnect(Ok(())));
    until("the channel to be followed again", || node.server.channels().len() == 1).await;
}

#[tokio::test]
async fn a_channel_that_the_server_takes_away_ends_its_streams() {
    let (node, socket) = start().await;
    let mut alone = follow::<u32>(&socket, "alone").await;
    let mut all = follow::<u32>(&socket, "all").await;
    let mut kept = follow::<u32>(&socket, "kept").await;
    node.server.sockets()[0].unsubscribe("alone").unwrap();
    node.server.unsubscribe_all("all").await.unwrap();
    for stream in [&mut alone, &mut all] {
        assert_eq!(next(stream).await, Some(Err(SubscriptionError::Lost(None))));
        assert_eq!(next(stream).await, None);
    }
    assert_eq!(channels(&socket).await, ["kept"]);
    node.server.publish("kept", 1).await.unwrap();
    assert_eq!(next(&mut kept).await, Some(Ok(1)));
}

// Refusals.

#[tokio::test]
async fn a_forbidden_channel_is_refused_and_not_followed() {
    let (node, socket) = start().await;
    let forbidden = RpcError::forbidden();
    assert_eq!(refused(within("a refusal", socket.subscribe("forbidden")).await), forbidden);
    assert_eq!(refused(within("a refusal", socket.publish("forbidden", &1)).await), forbidden);
    let why = refused(within("a refusal", socket.subscribe("forbidden/why")).await);
    assert_eq!((why.message(), why.code()), ("not on Sundays", ErrorCode::RateLimited));
    assert_eq!(why.details().unwrap().parse::<u8>().unwrap(), 7);
    assert_eq!(channels(&socket).await, [""; 0]);
    assert!(node.server.channels().is_empty());
}

#[tokio::test]
async fn a_channel_over_the_limit_is_refused_and_the_others_stay() {
    let node = Node::start(builder().max_channels_per_socket(2)).await;
    let socket = ready(node.address).await;
    let (one, _two) = (follow::<u32>(&socket, "one").await, follow::<u32>(&socket, "two").await);
    assert_eq!(refused(within("a refusal", socket.subscribe("three")).await).code(), ErrorCode::RateLimited);
    assert_eq!(channels(&socket).await, ["one", "two"]);
    drop(one);
    until("the channel to be left", || node.server.channels().len() == 1).await;
    let _three = follow::<u32>(&socket, "three").await;
}

#[tokio::test]
async fn a_refused_broadcast_says_why() {
    let node = Node::start(builder().on_broadcast(async |_, _| Err(RpcError::text("quiet, please")))).await;
    let socket = ready(node.address).await;
    let error = refused(within("a refusal", socket.broadcast(&1)).await);
    assert_eq!(error.message(), "quiet, please");
}

#[tokio::test]
async fn streams_end_with_the_client() {
    let (_node, socket) = start().await;
    let mut stream = follow::<u32>(&socket, "news").await;
    publish(&socket, "news", &json!(1)).await;
    assert_eq!(next(&mut stream).await, Some(Ok(1)));
    within("the end", socket.end()).await;
    assert_eq!(next(&mut stream).await, None);
    assert_eq!(socket.state(), ConnectionState::Ended);
    assert!(matches!(within("an error", socket.subscribe("more")).await, Err(Error::Ended)));
    ends(&socket).await;
    assert_eq!(within("ready", socket.ready()).await, Ok::<(), ConnectionError>(()));
}
