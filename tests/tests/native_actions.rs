//! The server's calls of a native client's actions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokensocket_client as client;
use tokensocket_client::{Builder, TokenSocket};
use tokensocket_server::{Actions, CallError, Data, Deadline, ErrorCode, RawJson, RpcError, Socket, State};
use tokensocket_tests::limit::within;
use tokensocket_tests::native::{connected, native};
use tokensocket_tests::node::{Node, builder};
use tokio::sync::Notify;

/// A server and one client that offers `actions`.
async fn pair(
    actions: client::Actions,
    with: impl FnOnce(Builder) -> Builder,
) -> (Node, TokenSocket, Socket) {
    let echo = Actions::new().action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value));
    let node = Node::start(builder().actions(echo)).await;
    let socket = connected(with(native(node.address).actions(actions))).await;
    let peer = node.server.sockets().remove(0);
    (node, socket, peer)
}

async fn ask(peer: &Socket, path: &str, data: Value) -> Result<Value, CallError> {
    within("the client's answer", peer.rpc::<Value>(path, data).into_future()).await
}

async fn refusal(peer: &Socket, path: &str, data: Value) -> RpcError {
    match ask(peer, path, data).await {
        Err(CallError::Remote(error)) => error,
        other => panic!("expected an error of the client: {other:?}"),
    }
}

/// An action that never answers, tells when it has begun, and when its future is dropped.
fn stuck() -> (client::Actions, Arc<Notify>, Arc<Notify>) {
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, drops) = (Arc::clone(&begun), Arc::clone(&dropped));
    let actions = client::Actions::new().action("stuck", move || {
        let guard = Dropped(Arc::clone(&drops));
        begins.notify_one();
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), RpcError>>().await
        }
    });
    (actions, begun, dropped)
}

#[tokio::test]
async fn nested_actions_with_extractors_answer() {
    async fn add(Data((a, b)): Data<(i64, i64)>, State(offset): State<i64>) -> Result<i64, RpcError> {
        Ok(a + b + *offset)
    }
    async fn left(deadline: Deadline) -> Result<bool, RpcError> {
        Ok(deadline.remaining().is_some_and(|left| left <= Duration::from_secs(30)))
    }
    let math =
        client::Actions::new().action("add", add).nest("deep", client::Actions::new().action("left", left));
    let actions = client::Actions::new().nest("math", math);
    let (_node, _socket, peer) = pair(actions, |builder| builder.state(100_i64)).await;
    assert_eq!(ask(&peer, "math.add", json!([1, 2])).await.unwrap(), 103);
    assert_eq!(ask(&peer, "math.deep.left", json!(null)).await.unwrap(), true);
    let shape = refusal(&peer, "math.add", json!("one")).await;
    assert_eq!((shape.message(), shape.code()), ("Invalid request", ErrorCode::BadRequest));
}

#[tokio::test]
async fn errors_and_panics_reach_the_server_and_hurt_nothing() {
    let actions = client::Actions::new()
        .action("object", async || Err::<(), _>(RpcError::new("boom")))
        .action("text", async || Err::<(), _>("plain failure"))
        .action("coded", async || {
            let error = RpcError::text("no").with_code(ErrorCode::Forbidden);
            Err::<(), _>(error.with_details(&[1]))
        })
        .action("panics", async || -> Result<(), RpcError> { panic!("on purpose") })
        .action("panics_at_once", || {
            assert!(std::env::args().count() == usize::MAX, "on purpose");
            async { Ok::<_, RpcError>(()) }
        })
        .action("fine", async || Ok::<_, RpcError>("ok"));
    let (_node, _socket, peer) = pair(actions, |builder| builder).await;
    assert_eq!(refusal(&peer, "object", json!(null)).await, RpcError::new("boom"));
    assert_eq!(refusal(&peer, "text", json!(null)).await, RpcError::text("plain failure"));
    let coded = refusal(&peer, "coded", json!(null)).await;
    assert_eq!((coded.message(), coded.code()), ("no", ErrorCode::Forbidden));
    assert_eq!(coded.details().unwrap().parse::<Value>().unwrap(), json!([1]));
    for path in ["panics", "panics_at_once"] {
        assert_eq!(refusal(&peer, path, json!(null)).await.code(), ErrorCode::Internal, "{path}");
    }
    assert_eq!(refusal(&peer, "nothing", json!(null)).await.code(), ErrorCode::NotFound);
    assert_eq!(ask(&peer, "fine", json!(null)).await.unwrap(), "ok");
}

#[tokio::test]
async fn an_action_may_call_the_server_back() {
    let actions =
        client::Actions::new().action("back", async |socket: TokenSocket, Data(data): Data<Value>| {
            socket.rpc::<Value>("echo", &json!({ "back": data })).await.map_err(|error| error.to_string())
        });
    let (_node, _socket, peer) = pair(actions, |builder| builder).await;
    assert_eq!(ask(&peer, "back", json!([1])).await.unwrap(), json!({ "back": [1] }));
}

#[tokio::test]
async fn an_action_is_dropped_when_the_server_gives_up() {
    let (actions, begun, dropped) = stuck();
    let (_node, _socket, peer) = pair(actions, |builder| builder).await;
    // Its call is dropped.
    within("the action to begin", async {
        tokio::select! {
            outcome = peer.rpc::<Value>("stuck", ()).into_future() => panic!("{outcome:?}"),
            () = begun.notified() => {}
        }
    })
    .await;
    within("the action to be dropped", dropped.notified()).await;
    // Its time is over, which is enough to get there.
    let limited = peer.rpc::<Value>("stuck", ()).timeout(Duration::from_millis(500));
    let outcome = within("the timeout", limited.into_future()).await;
    assert!(matches!(outcome, Err(CallError::Timeout)), "{outcome:?}");
    within("the action to begin", begun.notified()).await;
    within("the action to be dropped", dropped.notified()).await;
}

/// Both sides keep the time; whoever notices first, the caller hears the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_too_long_is_always_a_timeout() {
    let (actions, ..) = stuck();
    let (_node, _socket, peer) = pair(actions, |builder| builder.max_invocations(1000)).await;
    let calls = (0..500).map(|n| {
        let limit = Duration::from_micros(500 + n * 20);
        within("the timeout", peer.rpc::<Value>("stuck", ()).timeout(limit).into_future())
    });
    for outcome in join_all(calls).await {
        assert!(matches!(outcome, Err(CallError::Timeout)), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_action_is_dropped_when_the_connection_is_lost() {
    let (actions, begun, dropped) = stuck();
    let (_node, socket, peer) = pair(actions, |builder| builder).await;
    let asking = tokio::spawn(peer.rpc::<Value>("stuck", ()).into_future());
    within("the action to begin", begun.notified()).await;
    within("the end", socket.end()).await;
    let outcome = within("the call", asking).await.unwrap();
    assert!(matches!(outcome, Err(CallError::Closed)), "{outcome:?}");
    within("the action to be dropped", dropped.notified()).await;
}

#[tokio::test]
async fn more_calls_than_may_run_are_answered_overloaded() {
    let (actions, begun, _) = stuck();
    let (_node, _socket, peer) = pair(actions, |builder| builder.max_invocations(1)).await;
    let first = tokio::spawn(peer.rpc::<Value>("stuck", ()).into_future());
    within("the first to begin", begun.notified()).await;
    assert_eq!(refusal(&peer, "stuck", json!(null)).await.code(), ErrorCode::Overloaded);
    first.abort();
}

#[tokio::test]
async fn many_calls_at_once_get_their_own_answers() {
    let actions =
        client::Actions::new().action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value));
    let (_node, _socket, peer) = pair(actions, |builder| builder.max_invocations(1000)).await;
    let calls = (0..500).map(|n| {
        let peer = peer.clone();
        async move { (n, ask(&peer, "echo", json!(n)).await.unwrap()) }
    });
    for (asked, answered) in join_all(calls).await {
        assert_eq!(answered, asked);
    }
}

#[tokio::test]
async fn registering_replaces_the_actions() {
    let old = client::Actions::new().action("name", async || Ok::<_, RpcError>("old"));
    let (_node, socket, peer) = pair(old, |builder| builder).await;
    assert_eq!(ask(&peer, "name", json!(null)).await.unwrap(), "old");
    socket.register(client::Actions::new().action("other", async || Ok::<_, RpcError>("new"))).unwrap();
    assert_eq!(ask(&peer, "other", json!(null)).await.unwrap(), "new");
    assert_eq!(refusal(&peer, "name", json!(null)).await.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_answer_over_the_servers_limit_is_an_error_and_the_connection_lives() {
    let actions = client::Actions::new()
        .action("large", async |Data(length): Data<usize>| Ok::<_, RpcError>("ä".repeat(length)));
    let node = Node::start(builder().max_message_bytes(10_000)).await;
    let _socket = connected(native(node.address).actions(actions)).await;
    let peer = node.server.sockets().remove(0);
    assert_eq!(ask(&peer, "large", json!(4900)).await.unwrap(), "ä".repeat(4900));
    assert_eq!(refusal(&peer, "large", json!(5000)).await.code(), ErrorCode::TooLarge);
    assert_eq!(ask(&peer, "large", json!(1)).await.unwrap(), "ä");
}
