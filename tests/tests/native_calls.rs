//! The native client's calls of the server's actions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokensocket_client::{Error, Rpc, WhenFull};
use tokensocket_server::{Actions, Data, Deadline, ErrorCode, RawJson, RpcError};
use tokensocket_tests::limit::within;
use tokensocket_tests::native::{connected, native, ready};
use tokensocket_tests::node::{Node, builder};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

async fn answer<T: serde::de::DeserializeOwned + 'static>(rpc: Rpc<T>) -> Result<T, Error> {
    within("an answer", rpc.into_future()).await
}

async fn refusal(rpc: Rpc<Value>) -> RpcError {
    match answer(rpc).await {
        Err(Error::Server(error)) => error,
        other => panic!("expected an error of the server: {other:?}"),
    }
}

fn echo() -> Actions {
    Actions::new().action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value))
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// An action that never answers, tells when it has begun, and when its future is dropped.
fn stuck() -> (Actions, Arc<Notify>, Arc<Notify>) {
    let (begun, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, drops) = (Arc::clone(&begun), Arc::clone(&dropped));
    let actions = Actions::new().action("stuck", move || {
        let guard = Dropped(Arc::clone(&drops));
        begins.notify_one();
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), RpcError>>().await
        }
    });
    (actions.merge(echo()), begun, dropped)
}

// Answers.

#[tokio::test]
async fn calls_are_typed_and_actions_nested() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Pair {
        a: i64,
        b: Option<i64>,
    }

    async fn swap(Data(pair): Data<Pair>) -> Result<Pair, RpcError> {
        let b = pair.b.ok_or_else(|| RpcError::new("b is missing"))?;
        Ok(Pair { a: b, b: Some(pair.a) })
    }

    let actions = Actions::new().nest("deep.er", Actions::new().action("swap", swap));
    let node = Node::start(builder().actions(actions)).await;
    let socket = ready(node.address).await;
    let swapped = answer(socket.rpc::<Pair>("deep.er.swap", &Pair { a: 1, b: Some(-2) })).await.unwrap();
    assert_eq!(swapped, Pair { a: -2, b: Some(1) });
    let shape = answer(socket.rpc::<String>("deep.er.swap", &json!({ "a": 1, "b": 2 }))).await;
    assert!(matches!(shape, Err(Error::Decode(_))), "{shape:?}");
}

#[tokio::test]
async fn every_kind_of_json_comes_back_as_it_went() {
    let node = Node::start(builder().actions(echo())).await;
    let socket = ready(node.address).await;
    let values = [
        json!(null),
        json!(false),
        json!(0),
        json!(-1.5e-7),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("zwölf ☃ 😀 \u{2028}\u{2029} \u{0} \" \\ / \u{feff} \u{10ffff}"),
        json!([]),
        json!({}),
        json!({ "ключ": [1, { "b": null, "": "…" }], "uuid": "x", "error": 1, "rpc": "_ping" }),
    ];
    for value in values {
        assert_eq!(answer(socket.rpc::<Value>("echo", &value)).await.unwrap(), value);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_get_their_own_answers() {
    let node = Node::start(builder().actions(echo())).await;
    let socket = connected(native(node.address).queue(4096, 1 << 20).max_in_flight(100)).await;
    let calls = (0..3000_u32).map(|n| {
        let socket = socket.clone();
        async move { (n, answer(socket.rpc::<u32>("echo", &n)).await.unwrap()) }
    });
    for (asked, answered) in join_all(calls).await {
        assert_eq!(asked, answered);
    }
}

#[tokio::test]
async fn a_slow_call_is_overtaken() {
    let (actions, begun, _) = stuck();
    let node = Node::start(builder().actions(actions)).await;
    let socket = ready(node.address).await;
    let slow = tokio::spawn(socket.rpc::<Value>("stuck", &()).into_future());
    within("the slow call to begin", begun.notified()).await;
    assert_eq!(answer(socket.rpc::<Value>("echo", &1)).await.unwrap(), 1);
    assert!(!slow.is_finished());
    slow.abort();
}

// Errors.

#[tokio::test]
async fn errors_keep_their_text_code_and_details() {
    let actions = Actions::new()
        .action("object", async || Err::<(), _>(RpcError::new("boom")))
        .action("text", async || Err::<(), _>("plain failure"))
        .action("value", async || Err::<(), _>(RpcError::value(json!([1, null]))))
        .action("coded", async || {
            let error = RpcError::text("later").with_code(ErrorCode::RateLimited);
            Err::<(), _>(error.with_details(&json!({ "seconds": 5 })))
        })
        .action("panics", async || -> Result<(), RpcError> { panic!("on purpose") });
    let node = Node::start(builder().actions(actions.merge(echo()))).await;
    let socket = ready(node.address).await;

    assert_eq!(refusal(socket.rpc("object", &())).await, RpcError::new("boom"));
    assert_eq!(refusal(socket.rpc("text", &())).await, RpcError::text("plain failure"));
    assert_eq!(refusal(socket.rpc("value", &())).await, RpcError::value(json!([1, null])));
    let coded = refusal(socket.rpc("coded", &())).await;
    assert_eq!((coded.message(), coded.code()), ("later", ErrorCode::RateLimited));
    assert_eq!(coded.details().unwrap().parse::<Value>().unwrap(), json!({ "seconds": 5 }));
    assert_eq!(refusal(socket.rpc("panics", &())).await.code(), ErrorCode::Internal);
    for unknown in ["nothing", "object.deeper", "toString", "_nothing", ""] {
        let code = refusal(socket.rpc(unknown, &())).await.code();
        let expected = if unknown.is_empty() { ErrorCode::BadRequest } else { ErrorCode::NotFound };
        assert_eq!(code, expected, "{unknown:?}");
    }
    assert_eq!(answer(socket.rpc::<Value>("echo", &1)).await.unwrap(), 1, "and nothing is hurt");
}

// Given up.

#[tokio::test]
async fn a_call_that_takes_too_long_times_out_and_stops_on_the_server() {
    let (actions, begun, dropped) = stuck();
    let node = Node::start(builder().actions(actions)).await;
    let socket = ready(node.address).await;
    // Time enough to get there.
    let outcome = answer(socket.rpc::<Value>("stuck", &()).timeout(Duration::from_millis(500))).await;
    assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");
    within("the action to have begun", begun.notified()).await;
    within("the action to be dropped", dropped.notified()).await;
    assert_eq!(answer(socket.rpc::<Value>("echo", &1)).await.unwrap(), 1);
}

/// Both sides keep the time; whoever notices first, the caller hears the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_too_long_is_always_a_timeout() {
    let (actions, ..) = stuck();
    let node = Node::start(builder().actions(actions)).await;
    let socket = ready(node.address).await;
    let calls = (0..500).map(|n| {
        let limit = Duration::from_micros(500 + n * 20);
        answer(socket.rpc::<Value>("stuck", &()).timeout(limit))
    });
    for outcome in join_all(calls).await {
        assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_action_sees_how_long_its_caller_waits() {
    let actions = Actions::new().action("left", async |deadline: Deadline| {
        Ok::<_, RpcError>(deadline.remaining().map(|left| left.as_secs()))
    });
    let node = Node::start(builder().actions(actions)).await;
    let socket = connected(native(node.address).call_timeout(None)).await;
    let limited = socket.rpc::<Option<u64>>("left", &()).timeout(Duration::from_secs(77));
    let left = answer(limited).await.unwrap();
    assert!(matches!(left, Some(60..=77)), "{left:?}");
    assert_eq!(answer(socket.rpc::<Option<u64>>("left", &())).await.unwrap(), None);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_dropped_on_the_server() {
    let (actions, begun, dropped) = stuck();
    let node = Node::start(builder().actions(actions)).await;
    let socket = ready(node.address).await;
    within("the action to begin", async {
        tokio::select! {
            outcome = socket.rpc::<Value>("stuck", &()).into_future() => panic!("{outcome:?}"),
            () = begun.notified() => {}
        }
    })
    .await;
    within("the action to be dropped", dropped.notified()).await;
    assert_eq!(answer(socket.rpc::<Value>("echo", &1)).await.unwrap(), 1);
}

#[tokio::test]
async fn ending_the_client_fails_its_calls_and_drops_them_on_the_server() {
    let (actions, begun, dropped) = stuck();
    let node = Node::start(builder().actions(actions)).await;
    let socket = ready(node.address).await;
    let call = tokio::spawn(socket.rpc::<Value>("stuck", &()).into_future());
    within("the action to begin", begun.notified()).await;
    within("the end", socket.end()).await;
    assert!(matches!(within("the call", call).await.unwrap(), Err(Error::Ended)));
    within("the action to be dropped", dropped.notified()).await;
}

// Limits.

#[tokio::test]
async fn messages_up_to_the_servers_limit_pass_and_larger_ones_are_not_sent() {
    let limit = 300_000;
    let node = Node::start(builder().actions(echo()).max_message_bytes(limit)).await;
    let socket = ready(node.address).await;
    let text = |length: usize| "x".repeat(length);
    // Finds the largest argument that fits: beside it stands the envelope, of a few dozen bytes.
    let (mut fits, mut over) = (limit - 1000, limit);
    while over - fits > 1 {
        let middle = usize::midpoint(fits, over);
        match answer(socket.rpc::<String>("echo", &text(middle))).await {
            Ok(echoed) => {
                assert_eq!(echoed.len(), middle);
                fits = middle;
            }
            Err(Error::TooLarge { bytes, max }) => {
                assert_eq!(max, limit as u64);
                assert!(bytes > max, "{bytes}");
                over = middle;
            }
            other => panic!("{other:?}"),
        }
    }
    let Err(Error::TooLarge { bytes, .. }) = answer(socket.rpc::<String>("echo", &text(over))).await else {
        panic!("the limit moved");
    };
    assert_eq!(bytes, limit as u64 + 1, "refused by one byte");
    assert!(matches!(
        within("publish", socket.publish("news", &text(limit))).await,
        Err(Error::TooLarge { .. })
    ));
    assert_eq!(node.server.sockets().len(), 1, "all on one connection");
    assert!(!node.server.sockets()[0].is_closed());
}

#[tokio::test]
async fn large_answers_pass_and_one_over_the_clients_limit_costs_the_connection() {
    let actions = Actions::new()
        .action("large", async |Data(length): Data<usize>| Ok::<_, RpcError>("x".repeat(length)));
    let node = Node::start(builder().actions(actions.merge(echo()))).await;
    let socket = connected(native(node.address).max_message_bytes(5 << 20)).await;
    let answered = answer(socket.rpc::<String>("large", &(4 << 20))).await.unwrap();
    assert_eq!(answered.len(), 4 << 20);
    let lost = answer(socket.rpc::<String>("large", &(6 << 20))).await;
    assert!(matches!(lost, Err(Error::Disconnected)), "{:?}", lost.map(|text| text.len()));
    assert_eq!(answer(socket.rpc::<Value>("echo", &1)).await.unwrap(), 1);
}

/// A server that issues no token before the gate opens, so that requests queue.
async fn gated() -> (Node, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let server = tokensocket_server::Server::builder().actions(echo()).authenticate(move |_| {
        let gate = Arc::clone(&closed);
        async move {
            gate.acquire().await.expect("the gate stays").forget();
            Ok(tokensocket_server::Identity::anonymous())
        }
    });
    (Node::start(server).await, gate)
}

#[tokio::test]
async fn a_full_queue_refuses_the_new_call_or_drops_the_oldest() {
    for (when_full, failing) in [(WhenFull::RefuseNew, [3, 4]), (WhenFull::DropOldest, [0, 1])] {
        let (node, gate) = gated().await;
        let socket = native(node.address).queue(3, 1 << 20).when_full(when_full).connect().unwrap();
        // The test's one thread begins them in this order.
        let mut calls = JoinSet::new();
        for n in 0..5 {
            let call = socket.rpc::<usize>("echo", &n).into_future();
            calls.spawn(async move { (n, call.await) });
        }
        let mut failed = Vec::new();
        while failed.len() < failing.len() {
            let (n, outcome) = within("a call", calls.join_next()).await.unwrap().unwrap();
            assert!(matches!(outcome, Err(Error::Overloaded)), "{when_full:?} {n}: {outcome:?}");
            failed.push(n);
        }
        failed.sort_unstable();
        assert_eq!(failed, failing, "{when_full:?}");
        gate.add_permits(1);
        for (n, outcome) in within("the calls", calls.join_all()).await {
            assert_eq!(outcome.unwrap(), n, "{when_full:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_waits_too_long_in_the_queue_times_out_unsent() {
    let (node, gate) = gated().await;
    let socket = native(node.address).connect().unwrap();
    let outcome = answer(socket.rpc::<Value>("echo", &1).timeout(Duration::from_millis(30))).await;
    assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");
    gate.add_permits(1);
    assert_eq!(answer(socket.rpc::<Value>("echo", &2)).await.unwrap(), 2);
}
