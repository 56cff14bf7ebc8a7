//! Calls of the server's actions: what handlers take, what callers get, and that no call hurts another.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::SinkExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokensocket_server::{
    Actions, Auth, BuildError, Call, Data, Deadline, ErrorCode, FromCall, InvalidAction, RawJson, RpcError,
    Server, ServerBuilder, Socket, State,
};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;
use warp::Filter;

#[derive(Deserialize)]
struct User {
    user: String,
}

#[derive(Deserialize)]
struct Pair {
    a: i64,
    b: i64,
}

#[derive(Serialize)]
struct Sum {
    sum: i64,
    by: String,
}

async fn add(Data(Pair { a, b }): Data<Pair>, Auth(User { user }): Auth<User>) -> Result<Sum, RpcError> {
    let sum = a.checked_add(b).ok_or_else(|| RpcError::new("too large"))?;
    Ok(Sum { sum, by: user })
}

async fn start(actions: Actions) -> Node {
    Node::start(builder().actions(actions)).await
}

fn echo() -> Actions {
    Actions::new().action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value))
}

// What handlers take.

#[tokio::test]
async fn handlers_take_what_their_signature_names() {
    let node = start(Actions::new().nest("math", Actions::new().action("add", add))).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let answer = client.call("math.add", json!({ "a": 1, "b": 2 })).await;
    assert_eq!(answer["resp"], json!({ "sum": 3, "by": "ann" }));
    let answer = client.call("math.add", json!({ "a": i64::MAX, "b": 1 })).await;
    assert_eq!(answer["error"], json!({ "message": "too large" }));
}

#[tokio::test]
async fn an_argument_of_another_shape_is_a_bad_request_that_says_what_was_expected() {
    let node = start(Actions::new().action("add", add)).await;
    let mut client = Client::hello(&node).await;
    for data in [json!(null), json!({ "a": 1 }), json!({ "a": "1", "b": 2 }), json!([1])] {
        let answer = client.call("add", data.clone()).await;
        assert_eq!(
            (&answer["error"], &answer["code"]),
            (&json!("Invalid request"), &json!("bad_request")),
            "{data}"
        );
        assert!(answer["details"]["expected"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn an_identity_of_another_shape_is_forbidden_and_the_handler_does_not_run() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counts = ran.clone();
    let node = start(Actions::new().action("admin", move |Auth(_): Auth<u64>| {
        counts.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, RpcError>(()) }
    }))
    .await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let answer = client.call("admin", json!(null)).await;
    assert_eq!((&answer["error"], &answer["code"]), (&json!("Forbidden"), &json!("forbidden")));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn handlers_share_state() {
    struct Counter(AtomicUsize);
    let actions = Actions::new().action("count", async |State(counter): State<Counter>| {
        Ok::<_, RpcError>(counter.0.fetch_add(1, Ordering::SeqCst))
    });
    let node = Node::start(builder().actions(actions).state(Counter(AtomicUsize::new(7)))).await;
    let mut first = Client::ready(&node, Framing::Raw).await;
    let mut second = Client::ready(&node, Framing::SockJs).await;
    assert_eq!(first.call("count", json!(null)).await["resp"], 7);
    assert_eq!(second.call("count", json!(null)).await["resp"], 8);
}

#[tokio::test]
async fn handlers_know_their_socket_server_and_deadline() {
    let node = start(
        Actions::new()
            .action("socket", async |socket: Socket| Ok::<_, RpcError>(socket.id().to_string()))
            .action("server", async |server: Server| Ok::<_, RpcError>(server.sockets().len()))
            .action("deadline", async |deadline: Deadline| {
                Ok::<_, RpcError>(deadline.remaining().map(|left| left.as_secs()))
            }),
    )
    .await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let id = node.server.sockets()[0].id().to_string();
    assert_eq!(client.call("socket", json!(null)).await["resp"], json!(id));
    assert_eq!(client.call("server", json!(null)).await["resp"], 1);
    assert_eq!(client.call("deadline", json!(null)).await["resp"], json!(null));
    client.send(json!({ "rpc": "deadline", "uuid": "d", "timeout_ms": 60_500 })).await;
    assert_eq!(client.answer("d").await["resp"], 60);
}

#[tokio::test]
async fn an_application_may_write_an_extractor_of_its_own() {
    struct Admin;
    impl FromCall<Socket> for Admin {
        fn from_call(call: &Call<'_>) -> Result<Self, RpcError> {
            let Auth(User { user }) = Auth::from_call(call)?;
            if user == "root" {
                Ok(Self)
            } else {
                Err(RpcError::text("only root may").with_code(ErrorCode::Forbidden))
            }
        }
    }
    let node = start(Actions::new().action("admin", async |_: Admin| Ok::<_, RpcError>("yes"))).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let answer = client.call("admin", json!(null)).await;
    assert_eq!((&answer["error"], &answer["code"]), (&json!("only root may"), &json!("forbidden")));
    let token = node.token_of("root").await;
    let mut root = Client::connect(&node, Framing::Raw).await;
    root.auth(&token).await;
    assert_eq!(root.call("admin", json!(null)).await["resp"], "yes");
}

#[tokio::test]
async fn an_answer_that_cannot_be_json_is_an_error() {
    let node = start(
        Actions::new()
            .action("odd", async || Ok::<_, RpcError>(std::collections::HashMap::from([((1, 2), 3)]))),
    )
    .await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let answer = client.call("odd", json!(null)).await;
    assert_eq!(answer["code"], "internal");
    assert!(answer["error"]["message"].as_str().unwrap().contains("not JSON"), "{answer}");
}

// Time.

/// An action that waits to be let go, and tells when it began and when it was dropped.
#[derive(Clone, Default)]
struct Gate {
    began: Arc<Notify>,
    go: Arc<Notify>,
    dropped: Arc<Notify>,
}

impl Gate {
    fn actions(&self) -> Actions {
        let gate = self.clone();
        echo().action("gate", move || {
            let gate = gate.clone();
            async move {
                struct Tells(Arc<Notify>);
                impl Drop for Tells {
                    fn drop(&mut self) {
                        self.0.notify_one();
                    }
                }
                let _tells = Tells(gate.dropped.clone());
                gate.began.notify_one();
                gate.go.notified().await;
                Ok::<_, RpcError>("through")
            }
        })
    }
}

#[tokio::test]
async fn answers_overtake_a_slow_one_and_so_do_pings_and_publications() {
    let gate = Gate::default();
    let node = start(gate.actions()).await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        client.subscribe("c").await;
        let slow = client.start("gate", json!(null)).await;
        within("the action", gate.began.notified()).await;
        assert_eq!(client.call("echo", json!(1)).await["resp"], 1);
        client.expect_alive().await;
        node.server.publish("c", 2).await.unwrap();
        client.expect(json!({ "channel": "c", "message": 2 })).await;
        gate.go.notify_one();
        assert_eq!(client.answer(&slow).await["resp"], "through");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_answers_timeout_and_drops_the_action() {
    let gate = Gate::default();
    // Nothing else wakes the connection for as long as the test waits, so the deadline must: tried on many, since
    // chance may wake one.
    let silent = builder().auth_timeout(None).heartbeat(Duration::from_hours(1));
    let node = Node::start(silent.actions(gate.actions())).await;
    for _ in 0..20 {
        let mut client = Client::ready(&node, Framing::Raw).await;
        client.send(json!({ "rpc": "gate", "uuid": "1", "timeout_ms": 5 })).await;
        let answer = client.answer("1").await;
        assert_eq!(
            (&answer["error"], &answer["code"]),
            (&json!("the deadline has passed"), &json!("timeout"))
        );
        within("the action to be dropped", gate.dropped.notified()).await;
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_deadline_in_the_far_future_is_none() {
    let node = start(echo()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    for timeout in [json!(u64::MAX), json!(0), json!(null), json!(1_u64 << 53)] {
        client.send(json!({ "rpc": "echo", "req": 1, "uuid": "1", "timeout_ms": timeout })).await;
        assert_eq!(client.answer("1").await["resp"], 1, "{timeout}");
    }
}

#[tokio::test]
async fn a_cancelled_call_is_answered_so_and_dropped() {
    let gate = Gate::default();
    let node = start(gate.actions()).await;
    for framing in Framing::ALL {
        let mut client = Client::ready(&node, framing).await;
        let first = client.start("gate", json!(null)).await;
        within("the action", gate.began.notified()).await;
        let cancel = client.start("_cancel", json!({ "uuid": first })).await;
        client
            .expect(json!({ "rpc": "gate", "uuid": first, "error": "the call was cancelled", "code": "cancelled" }))
            .await;
        client.expect(json!({ "rpc": "_cancel", "uuid": cancel, "resp": "success" })).await;
        within("the action to be dropped", gate.dropped.notified()).await;
        // Too late, or never there: nothing happens.
        assert_eq!(client.call("_cancel", json!({ "uuid": first })).await["resp"], "success");
        assert_eq!(client.call("_cancel", json!({ "uuid": "never" })).await["resp"], "success");
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_cancel_stops_no_other_call_and_no_call_of_another_socket() {
    let gate = Gate::default();
    let node = start(gate.actions()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let mut other = Client::ready(&node, Framing::Raw).await;
    let first = client.start("gate", json!(null)).await;
    let second = client.start("gate", json!(null)).await;
    let of_other = other.start("gate", json!(null)).await;
    assert_eq!(first, of_other, "both sockets use the same name");
    client.call("_cancel", json!({ "uuid": first })).await;
    assert_eq!(client.answer(&first).await["code"], "cancelled");
    other.expect_alive().await;
    gate.go.notify_waiters();
    assert_eq!(client.answer(&second).await["resp"], "through");
    assert_eq!(other.answer(&of_other).await["resp"], "through");
}

#[tokio::test]
async fn a_disconnect_drops_what_runs() {
    let gate = Gate::default();
    let node = start(gate.actions()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("gate", json!(null)).await;
    within("the action", gate.began.notified()).await;
    drop(client);
    within("the action to be dropped", gate.dropped.notified()).await;
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
}

// Panics.

#[tokio::test]
async fn a_panic_answers_internal_and_hurts_nobody_else() {
    let gate = Gate::default();
    let actions = gate
        .actions()
        .action("early", || -> std::future::Ready<Result<(), RpcError>> { panic!("before the future") })
        .action("late", async || {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "after an await");
            Ok::<_, RpcError>(())
        })
        .action("first_poll", async || {
            assert!(std::hint::black_box(false), "in the first poll");
            Ok::<_, RpcError>(())
        });
    let node = start(actions).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let mut other = Client::ready(&node, Framing::Raw).await;
    let running = client.start("gate", json!(null)).await;
    within("the action", gate.began.notified()).await;
    for path in ["early", "first_poll", "late"] {
        let answer = client.call(path, json!(null)).await;
        assert_eq!(
            (&answer["error"], &answer["code"]),
            (&json!("Internal error"), &json!("internal")),
            "{path}"
        );
    }
    gate.go.notify_one();
    assert_eq!(client.answer(&running).await["resp"], "through");
    client.expect_alive().await;
    other.expect_alive().await;
}

/// Panics when it is dropped, unless something panics already.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "dropped");
    }
}

#[tokio::test]
async fn a_panic_while_a_call_is_dropped_hurts_nobody_else() {
    let gate = Gate::default();
    let hang = async || {
        let _bomb = Bomb;
        std::future::pending::<Result<(), RpcError>>().await
    };
    let node = start(gate.actions().action("hang", hang)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let running = client.start("gate", json!(null)).await;
    within("the action", gate.began.notified()).await;
    let cancelled = client.start("hang", json!(null)).await;
    let cancel = client.start("_cancel", json!({ "uuid": cancelled })).await;
    assert_eq!(client.answer(&cancelled).await["code"], "cancelled");
    assert_eq!(client.answer(&cancel).await["resp"], "success");
    client.send(json!({ "rpc": "hang", "uuid": "late", "timeout_ms": 1 })).await;
    assert_eq!(client.answer("late").await["code"], "timeout");
    gate.go.notify_one();
    assert_eq!(client.answer(&running).await["resp"], "through");
    client.expect_alive().await;
}

#[tokio::test]
async fn a_panic_while_a_hook_is_dropped_keeps_no_other_from_being_told() {
    let (began, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (Arc::clone(&began), Arc::clone(&ended));
    let hang = move |_, _| {
        let begins = Arc::clone(&begins);
        async move {
            let _bomb = Bomb;
            begins.notify_one();
            std::future::pending().await
        }
    };
    let builder = builder().on_subscribe(hang).on_disconnect(move |_, _| {
        ends.notify_one();
        async {}
    });
    let node = Node::start(builder).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("_subscribe", json!({ "channel": "c" })).await;
    within("the hook", began.notified()).await;
    drop(client);
    within("the disconnect", ended.notified()).await;
}

// Changes while running.

#[tokio::test]
async fn what_a_removed_action_does_when_it_is_dropped_hurts_nobody() {
    let remove = async |server: Server| Ok::<_, RpcError>(server.remove_action("bad"));
    let node = start(echo().action("remove", remove)).await;
    let bomb = Arc::new(Bomb);
    let bad = move || {
        let _kept = &bomb;
        async { Ok::<_, RpcError>(()) }
    };
    node.server.insert_action("bad", bad).unwrap();
    let mut client = Client::ready(&node, Framing::Raw).await;
    // In one read, so that the connection holds the action when it is removed.
    for rpc in ["bad", "remove", "echo"] {
        let call = json!({ "rpc": rpc, "req": 1, "uuid": rpc }).to_string();
        client.socket.feed(Message::text(call)).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    assert_eq!(client.answer("bad").await["resp"], json!(null));
    assert_eq!(client.answer("remove").await["resp"], true);
    assert_eq!(client.answer("echo").await["resp"], 1);
    client.expect_alive().await;
}

#[tokio::test]
async fn actions_come_change_and_go_while_running() {
    let gate = Gate::default();
    let node = start(gate.actions()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    assert_eq!(client.call("new.one", json!(null)).await["error"], "Function not found");
    assert!(!node.server.insert_action("new.one", async || Ok::<_, RpcError>(1)).unwrap());
    assert_eq!(client.call("new.one", json!(null)).await["resp"], 1);
    assert!(node.server.insert_action("new.one", async || Ok::<_, RpcError>(2)).unwrap());
    assert_eq!(client.call("new.one", json!(null)).await["resp"], 2);
    assert_eq!(node.server.actions(), ["echo", "gate", "new.one"]);

    // A call that runs goes on with the action it began with.
    let running = client.start("gate", json!(null)).await;
    within("the action", gate.began.notified()).await;
    assert!(node.server.remove_action("gate"));
    assert!(node.server.remove_action("new"));
    assert!(!node.server.remove_action("new"));
    for path in ["gate", "new.one"] {
        assert_eq!(client.call(path, json!(null)).await["error"], "Function not found");
    }
    gate.go.notify_one();
    assert_eq!(client.answer(&running).await["resp"], "through");

    assert!(matches!(
        node.server.insert_action("_x", async || Ok::<_, RpcError>(())),
        Err(InvalidAction::Reserved(_))
    ));
    assert!(matches!(
        node.server.insert_action("x", async |_: State<Pair>| Ok::<_, RpcError>(())),
        Err(InvalidAction::State { .. })
    ));
}

// Routes.

fn routed() -> ServerBuilder {
    let sum = warp::path!("math" / "add").and(warp::post()).and(warp::body::json()).map(|body: Value| {
        let sum = body["a"].as_i64().unwrap() + body["b"].as_i64().unwrap();
        warp::reply::with_header(warp::reply::json(&json!({ "sum": sum })), "x-own", "yes")
    });
    let greet = warp::path!("greet")
        .and(warp::get())
        .and(warp::query::<std::collections::HashMap<String, String>>())
        .map(|query: std::collections::HashMap<String, String>| {
            warp::reply::json(&format!("hello {} {}", query["name"], query["n"]))
        });
    let refused = warp::path!("refused").map(|| {
        let body = warp::reply::json(&json!({ "error": "not for you" }));
        warp::reply::with_status(body, warp::http::StatusCode::FORBIDDEN)
    });
    let broken = warp::path!("broken").map(|| {
        warp::reply::with_status(warp::reply::json(&json!({ "why": 1 })), warp::http::StatusCode::BAD_GATEWAY)
    });
    let moved =
        warp::path!("moved").map(|| warp::redirect::found(warp::http::Uri::from_static("/elsewhere")));
    let text = warp::path!("text").map(|| "no json");
    let empty = warp::path!("empty").map(warp::reply);
    let panics = warp::path!("panics").map(|| -> &'static str { panic!("a route panics") });
    let routes = sum.or(greet).or(refused).or(broken).or(moved).or(text).or(empty).or(panics);
    builder().actions(echo().action("math.own", async || Ok::<_, RpcError>("own"))).routes(routes)
}

#[tokio::test]
async fn a_route_answers_calls_for_which_there_is_no_action() {
    let node = Node::start(routed()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let answer = client.call("math.add", json!({ "a": 1, "b": 2 })).await["resp"].clone();
    assert_eq!((&answer["sum"], &answer["_code"]), (&json!(3), &json!(200)));
    assert_eq!(answer["_headers"]["x-own"], "yes");
    assert_eq!(answer["_headers"]["content-type"], "application/json");
    assert_eq!(client.call("greet", json!({ "name": "é b", "n": 1 })).await["resp"], "hello é b 1");
    assert_eq!(client.call("math.own", json!(null)).await["resp"], "own");
    assert_eq!(client.call("text", json!(null)).await["resp"], "no json");
    assert_eq!(client.call("empty", json!(null)).await["resp"]["_code"], 200);
}

#[tokio::test]
async fn a_route_with_a_status_of_300_or_more_is_an_error() {
    let node = Node::start(routed()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let refused = client.call("refused", json!(null)).await;
    assert_eq!((&refused["error"], &refused["code"]), (&json!("not for you"), &json!("forbidden")));
    let broken = client.call("broken", json!(null)).await;
    assert_eq!((&broken["error"]["why"], &broken["error"]["_code"]), (&json!(1), &json!(502)));
    assert_eq!(broken["code"], "internal");
    let moved = client.call("moved", json!(null)).await;
    assert_eq!(moved["error"]["_code"], 302);
    assert_eq!(moved["error"]["_headers"]["location"], "/elsewhere");
    for path in ["nowhere", "math", "math add", "é", "greet?name=x&n=1", "greet#x"] {
        let answer = client.call(path, json!(null)).await;
        assert_eq!(
            (&answer["error"], &answer["code"]),
            (&json!("Function not found"), &json!("not_found")),
            "{path}"
        );
    }
    assert_eq!(client.call("panics", json!(null)).await["error"], "Internal error");
    client.expect_alive().await;
}

// Building.

fn build_error(builder: ServerBuilder) -> BuildError {
    builder.build().expect_err("this server cannot be built")
}

#[tokio::test]
async fn mistakes_are_found_while_building() {
    assert!(matches!(build_error(Server::builder()), BuildError::NoAuthenticator));
    for path in ["_own", "auth", "a..b", "", "a."] {
        let actions = Actions::new().action(path, async || Ok::<_, RpcError>(()));
        assert!(matches!(build_error(builder().actions(actions)), BuildError::Action(_)), "{path:?}");
    }
    let actions = Actions::new().action("s", async |_: State<Pair>| Ok::<_, RpcError>(()));
    let error = build_error(builder().actions(actions));
    assert!(error.to_string().contains("Pair") && error.to_string().contains(".state("), "{error}");
    for builder in [
        builder().token_path("token"),
        builder().token_path("/token/"),
        builder().socket_prefix(""),
        builder().socket_prefix("/socket/token"),
        builder().sockjs("/sockets", |_| async {}),
    ] {
        assert!(matches!(build_error(builder), BuildError::InvalidPath(_)));
    }
    for builder in [
        builder().max_message_bytes(0),
        builder().max_calls_per_socket(0),
        builder().outbox(0, 1),
        builder().heartbeat(Duration::ZERO),
        builder().token_ttl(Duration::ZERO),
    ] {
        assert!(matches!(build_error(builder), BuildError::ZeroLimit(_)));
    }
}
