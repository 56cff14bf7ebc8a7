//! The native client against the unmodified npm server, with a Redis of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokensocket_client::{
    Actions, ConnectionError, Data, Error, Event, RpcError, State, Subscription, SubscriptionError,
    TokenSocket,
};
use tokensocket_tests::engine::Redis;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{Events, connected, ends, native, ready};
use tokensocket_tests::program::Program;
use tokensocket_tests::proxy::Proxy;

/// The original server, while this lives.
struct Original {
    address: SocketAddr,
    _program: Program,
    _redis: Redis,
}

impl Original {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let port = redis.port().to_string();
        let mut program = Program::node("original-server.cjs", &["--redis-port", &port]);
        let port: u16 = program.line_after("listening ").await.parse().expect("a port");
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), _program: program, _redis: redis }
    }
}

async fn call(socket: &TokenSocket, path: &str, data: Value) -> Result<Value, Error> {
    within("an answer", socket.rpc::<Value>(path, &data).into_future()).await
}

async fn refusal(socket: &TokenSocket, path: &str, data: Value) -> RpcError {
    match call(socket, path, data).await {
        Err(Error::Server(error)) => error,
        other => panic!("expected an error of the server: {other:?}"),
    }
}

/// Follows a channel, and waits until Redis follows it too.
async fn follow(socket: &TokenSocket, channel: &str) -> Subscription<Value> {
    let subscription = within("a subscription", socket.subscribe(channel)).await.expect("it is confirmed");
    settled(socket).await;
    subscription.typed()
}

async fn settled(socket: &TokenSocket) {
    assert_eq!(call(socket, "settled", json!({})).await.unwrap(), true);
}

async fn next(stream: &mut Subscription<Value>) -> Option<Result<Value, SubscriptionError>> {
    within("a publication", stream.next()).await
}

async fn channels(socket: &TokenSocket) -> Vec<String> {
    within("the channels", socket.channels()).await.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn calls_both_ways_answers_and_errors() {
    let original = Original::start().await;
    let twice = async |Data(n): Data<i64>, State(by): State<i64>| Ok::<_, RpcError>(n * *by);
    let actions = Actions::new()
        .action("greet", async |Data(name): Data<String>| Ok::<_, RpcError>(format!("hello {name}")))
        .action("broken", async || Err::<(), _>(RpcError::new("client says no")))
        .action("plain", async || Err::<(), _>("a plain no"))
        .action("panics", async || -> Result<(), RpcError> { panic!("on purpose") })
        .nest("deep.er", Actions::new().action("twice", twice));
    let builder = native(original.address).authentication(&json!({ "user": "zoë & co" }));
    let socket = connected(builder.actions(actions).state(2_i64)).await;

    // Who it is.
    assert_eq!(call(&socket, "whoami", json!({})).await.unwrap(), json!({ "user": "zoë & co" }));

    // Calls.
    let values = [
        json!({ "a": [1, { "b": null }] }),
        json!([]),
        json!(""),
        json!("zwölf ☃ 😀 \u{2028} \u{0} \" \\"),
        json!(0),
        json!(-1.5),
        json!(false),
        json!(null),
        json!("x".repeat(100_000)),
    ];
    for value in values {
        assert_eq!(call(&socket, "echo", value.clone()).await.unwrap(), value);
    }
    assert_eq!(call(&socket, "something.nested", json!(1)).await.unwrap(), json!({ "nested": 1 }));
    let calls = (0..200).map(|n| {
        let socket = socket.clone();
        async move { (n, call(&socket, "echo", json!(n)).await.unwrap()) }
    });
    for (asked, answered) in join_all(calls).await {
        assert_eq!(answered, asked);
    }

    // Errors.
    assert_eq!(refusal(&socket, "fail", json!({})).await, RpcError::new("boom"));
    assert_eq!(refusal(&socket, "failstring", json!({})).await, RpcError::text("plain failure"));
    for unknown in ["nothing", "something", "something.nothing"] {
        assert_eq!(refusal(&socket, unknown, json!({})).await.message(), "Function not found", "{unknown}");
    }
    let slow = socket.rpc::<Value>("slow", &json!({ "ms": 200 })).timeout(Duration::from_millis(20));
    let outcome = within("the timeout", slow.into_future()).await;
    assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");

    // The server's calls.
    let ask = async |command: &str, args: Value| {
        call(&socket, "callme", json!({ "command": command, "args": args })).await
    };
    assert_eq!(ask("greet", json!("Ada")).await.unwrap(), "hello Ada");
    assert_eq!(ask("deep.er.twice", json!(21)).await.unwrap(), 42);
    for (command, message) in [("broken", "client says no"), ("plain", "a plain no")] {
        let Err(Error::Server(error)) = ask(command, json!({})).await else { panic!("{command} works") };
        assert_eq!(error.message(), message);
    }
    assert!(matches!(ask("panics", json!({})).await, Err(Error::Server(_))));
    let Err(Error::Server(error)) = ask("nothing", json!({})).await else {
        panic!("an unknown action works")
    };
    assert_eq!(error.message(), "Function not found");

    // The answer that came too late hurt nobody.
    assert_eq!(call(&socket, "slow", json!({ "ms": 201 })).await.unwrap(), json!({ "ms": 201 }));
}

#[tokio::test]
async fn channels_publications_and_broadcasts() {
    let original = Original::start().await;
    let (socket, other) = (ready(original.address).await, ready(original.address).await);
    let mut events = Events::of(&other);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    let (mut own, mut theirs) = (follow(&socket, "news").await, follow(&other, "news").await);
    let mut second = follow(&other, "other").await;
    assert_eq!(channels(&other).await, ["news", "other"]);

    // From a client, from the server.
    let values = [json!({ "object": [1] }), json!("ünï☃"), json!(7), json!(true), json!(null), json!([])];
    for value in &values {
        within("a publication", socket.publish("news", value)).await.unwrap();
    }
    assert_eq!(
        call(&socket, "announce", json!({ "channel": "news", "data": "server" })).await.unwrap(),
        true
    );
    for value in values.iter().chain([&json!("server")]) {
        assert_eq!(next(&mut own).await, Some(Ok(value.clone())));
        assert_eq!(next(&mut theirs).await, Some(Ok(value.clone())));
        let Event::Message { channel, data } = events.next().await else { panic!("no message") };
        assert_eq!((&*channel, data.parse::<Value>().unwrap()), ("news", value.clone()));
    }

    // Once for each channel.
    within("a broadcast", socket.broadcast(&json!("all"))).await.unwrap();
    for stream in [&mut own, &mut theirs, &mut second] {
        assert_eq!(next(stream).await, Some(Ok(json!("all"))));
    }

    // Left.
    within("unsubscribe", other.unsubscribe("news")).await.unwrap();
    assert_eq!(next(&mut theirs).await, None);
    assert_eq!(channels(&other).await, ["other"]);
    settled(&other).await;
    events.rest();
    within("a publication", socket.publish("news", &1)).await.unwrap();
    assert_eq!(next(&mut own).await, Some(Ok(json!(1))));
    within("a publication", socket.publish("other", &2)).await.unwrap();
    assert_eq!(next(&mut second).await, Some(Ok(json!(2))));
    assert!(matches!(events.next().await, Event::Message { channel, .. } if channel == "other"));

    // Followed again.
    let mut again = follow(&other, "news").await;
    within("a publication", socket.publish("news", &3)).await.unwrap();
    assert_eq!(next(&mut again).await, Some(Ok(json!(3))));
}

#[tokio::test]
async fn forbidden_channels_are_refused_and_not_followed() {
    let original = Original::start().await;
    let socket = ready(original.address).await;
    let outcome = within("the refusal", socket.subscribe("forbidden news")).await;
    let Err(Error::Server(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.message(), "Forbidden");
    assert_eq!(channels(&socket).await, [""; 0]);
    // This server says nothing of a success, so nobody waits for its refusal.
    within("a publication", socket.publish("forbidden news", &1)).await.unwrap();
    assert_eq!(call(&socket, "echo", json!(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_dropped_client_comes_back_and_follows_its_channels() {
    let original = Original::start().await;
    let socket = ready(original.address).await;
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    let (mut one, mut two) = (follow(&socket, "one").await, follow(&socket, "two").await);
    for round in 0..3 {
        let dropped = call(&socket, "dropme", json!({})).await;
        assert!(matches!(dropped, Err(Error::Disconnected)), "{dropped:?}");
        assert!(matches!(events.next().await, Event::Disconnect(ConnectionError::Closed(_))));
        // Waits for the connection, and stands behind the subscriptions.
        settled(&socket).await;
        assert_eq!(events.next().await, Event::Reconnect(Ok(())));
        assert_eq!(channels(&socket).await, ["one", "two"]);
        within("a broadcast", socket.broadcast(&round)).await.unwrap();
        for stream in [&mut one, &mut two] {
            assert_eq!(next(stream).await, Some(Ok(json!(round))));
        }
        for _ in 0..2 {
            assert!(matches!(events.next().await, Event::Message { .. }));
        }
    }
    within("the end", socket.end()).await;
}

#[tokio::test]
async fn a_refused_token_is_final_and_a_failing_one_is_asked_for_again() {
    let original = Original::start().await;
    let denied = native(original.address).authentication(&json!({ "deny": 1 })).connect().unwrap();
    let outcome = within("the refusal", denied.ready()).await;
    assert_eq!(outcome, Err(ConnectionError::Refused("Forbidden".to_owned())));
    ends(&denied).await;

    let failing = native(original.address).authentication(&json!({ "error": 1 })).connect().unwrap();
    let mut events = Events::of(&failing);
    let failure = ConnectionError::Token("500 Internal Server Error: the authenticator failed".to_owned());
    assert_eq!(events.next().await, Event::Ready(Err(failure.clone())));
    assert_eq!(events.next().await, Event::Reconnect(Err(failure)));
    within("the end", failing.end()).await;
}

#[tokio::test]
async fn pings_are_answered_and_a_silent_connection_is_left() {
    let original = Original::start().await;
    let proxy = Proxy::start(original.address).await;
    let builder =
        native(proxy.address).ping(Duration::from_millis(40)).pong_timeout(Duration::from_millis(500));
    let socket = connected(builder).await;
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    let mut stream = follow(&socket, "news").await;
    until("pongs", || proxy.heard("pong") > 3).await;
    assert_eq!(events.rest(), []);
    proxy.stall_all();
    assert_eq!(events.next().await, Event::Disconnect(ConnectionError::Silent));
    assert_eq!(events.next().await, Event::Reconnect(Ok(())));
    settled(&socket).await;
    within("a publication", socket.publish("news", &1)).await.unwrap();
    assert_eq!(next(&mut stream).await, Some(Ok(json!(1))));
}

#[tokio::test]
async fn a_connection_that_is_cut_is_opened_anew() {
    let original = Original::start().await;
    let proxy = Proxy::start(original.address).await;
    let socket = ready(proxy.address).await;
    let mut stream = follow(&socket, "news").await;
    let mut events = Events::of(&socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    for round in 0..10 {
        proxy.cut_all();
        assert!(matches!(events.next().await, Event::Disconnect(ConnectionError::Transport(_))));
        assert_eq!(events.next().await, Event::Reconnect(Ok(())));
        settled(&socket).await;
        within("a publication", socket.publish("news", &round)).await.unwrap();
        assert_eq!(next(&mut stream).await, Some(Ok(json!(round))));
        assert!(matches!(events.next().await, Event::Message { .. }));
    }
}
