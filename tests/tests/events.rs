//! Event clients: messages with an `event` on a plain WebSocket, and what of the server reaches them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, future};
use hyper::Method;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokensocket_server::events::{DataRequest, EventMessage, EventMode, EventOptions, EventSocket};
use tokensocket_server::{
    AllowedOrigins, AuthenticateError, BuildError, Close, DeliverOptions, ErrorCode, Identity, RpcError,
    Server, ServerBuilder, To,
};
use tokensocket_tests::http;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::Node;
use tokensocket_tests::scenarios;
use tokensocket_tests::wire::{Client, Framing, Received};
use tokio::net::TcpSocket;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::protocol::Message;

const MODES: [(&str, EventMode); 4] = [
    ("/off", EventMode::Off),
    ("/both", EventMode::Both),
    ("/data", EventMode::Data),
    ("/passthrough", EventMode::Passthrough),
];

/// Sources of data, and a handler that sends every message back.
fn options(mode: EventMode) -> EventOptions {
    EventOptions::new(mode)
        .data_source("thing", |_| async { Ok(json!({ "name": "thing", "n": 1 })) })
        .data_source("user:get:name", |request: DataRequest| async move {
            Ok(json!([request.name(), request.message().json()]))
        })
        .data_source("broken", |_| async {
            Err::<(), _>(RpcError::text("the database is asleep").with_code(ErrorCode::Internal))
        })
        .data_source("panic", |request: DataRequest| async move {
            assert_ne!(request.name(), "panic", "a data source that panics");
            Ok(())
        })
        .on_event(|message: EventMessage, socket: EventSocket| async move {
            socket.emit("seen", message.json()).unwrap();
        })
}

/// Each mode at a path of its own, for everybody.
fn builder() -> ServerBuilder {
    let server = Server::builder();
    MODES.into_iter().fold(server, |server, (path, mode)| server.events(path, options(mode).open()))
}

async fn connect(node: &Node, path: &str) -> Client {
    Client::connect_at(node.address, path).await
}

/// Asks for a WebSocket without going on with it.
async fn ask(node: &Node, path: &str) -> http::Answer {
    ask_from(node, path, None).await
}

/// The same from a page of an origin.
async fn ask_from(node: &Node, path: &str, origin: Option<&str>) -> http::Answer {
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let headers: Vec<_> = headers.into_iter().chain(origin.map(|origin| ("origin", origin))).collect();
    http::request(node.address, Method::GET, path, &headers).await
}

/// The connection works, and nothing unexpected came before.
async fn works(client: &mut Client) {
    client.send(json!({ "event": "data:get:thing" })).await;
    client.expect(thing()).await;
}

fn thing() -> Value {
    json!({ "event": "data:set:thing", "data": { "name": "thing", "n": 1 } })
}

#[tokio::test]
async fn answers_what_asks_for_data_to_every_socket_that_asks() {
    let node = Node::start(builder()).await;
    for path in ["/both", "/data", "/both/"] {
        let (mut one, mut two) = (connect(&node, path).await, connect(&node, path).await);
        for client in [&mut one, &mut two] {
            works(client).await;
            works(client).await;
        }
        one.send(json!({ "event": "user:get:name", "id": 7 })).await;
        let asked = json!(["name", { "event": "user:get:name", "id": 7 }]);
        one.expect(json!({ "event": "user:set:name", "data": asked })).await;
    }
}

#[tokio::test]
async fn hands_every_other_event_to_the_handler_as_it_came() {
    let node = Node::start(builder()).await;
    for path in ["/both", "/passthrough"] {
        let mut client = connect(&node, path).await;
        let message =
            json!({ "event": "authorize:user", "credentials": { "token": "abcd" }, "é": [1.50, null] });
        client.send(message.clone()).await;
        client.expect(json!({ "event": "seen", "data": message })).await;
    }
    let mut client = connect(&node, "/data").await;
    client.send(json!({ "event": "authorize:user" })).await;
    works(&mut client).await;
}

#[tokio::test]
async fn passes_through_what_asks_for_data_where_all_is_passed_through() {
    let node = Node::start(builder()).await;
    let mut client = connect(&node, "/passthrough").await;
    client.send(json!({ "event": "data:get:thing" })).await;
    client.expect(json!({ "event": "seen", "data": { "event": "data:get:thing" } })).await;
}

#[tokio::test]
async fn accepts_no_connection_where_it_is_off() {
    let node = Node::start(builder()).await;
    assert_eq!(ask(&node, "/off").await.status, 404);
    assert_eq!(ask(&node, "/both/below").await.status, 404);
    assert_eq!(ask(&node, "/elsewhere").await.status, 404);
    assert_eq!(http::get(node.address, "/both").await.status, 400);
    assert_eq!(http::request(node.address, Method::POST, "/both", &[]).await.status, 405);
}

#[tokio::test]
async fn ignores_what_is_no_message_and_stays_connected() {
    let node = Node::start(builder()).await;
    for path in ["/both", "/data", "/passthrough"] {
        let mut client = connect(&node, path).await;
        let deep = format!(r#"{{"event":"a","b":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            "",
            "nonsense",
            "null",
            "5",
            "[]",
            "{}",
            "\"event\" : \"some:event\"",
            r#"{"data":1}"#,
            r#"{"event":null}"#,
            r#"{"event":7}"#,
            r#"{"event":"a""#,
            r#"[{"event":"a"}]"#,
            &deep,
        ] {
            client.send_text(text).await;
        }
        for bytes in [&b""[..], b"nonsense", b"\xff\xfe", b"[1]"] {
            client.send_frame(Message::binary(bytes.to_vec())).await;
        }
        // Bytes that are a message's text are one.
        client.send_frame(Message::binary(&br#"{"event":"user:get:name"}"#[..])).await;
        let answer = client.next().await;
        let expected = if path == "/passthrough" { "seen" } else { "user:set:name" };
        assert_eq!(answer["event"], expected, "{path}: {answer}");
    }
}

#[tokio::test]
async fn answers_nothing_for_data_that_nobody_has() {
    let node = Node::start(builder()).await;
    let mut client = connect(&node, "/both").await;
    for name in ["nothing", "broken", "panic"] {
        client.send(json!({ "event": format!("data:get:{name}") })).await;
    }
    works(&mut client).await;

    let other = options(EventMode::Data)
        .open()
        .other_data(|request: DataRequest| async move { Ok(json!({ "other": request.name() })) });
    let node = Node::start(Server::builder().events("/events", other)).await;
    let mut client = connect(&node, "/events").await;
    works(&mut client).await;
    client.send(json!({ "event": "a:get:b:get:c" })).await;
    client.expect(json!({ "event": "a:set:b:get:c", "data": { "other": "b:get:c" } })).await;
}

#[tokio::test]
async fn a_slow_answer_holds_nothing_up() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let slow = options(EventMode::Both).open().data_source("later", move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            Ok(json!({ "name": "later" }))
        }
    });
    let node = Node::start(Server::builder().events("/events", slow)).await;
    let mut client = connect(&node, "/events").await;
    client.send(json!({ "event": "data:get:later" })).await;
    works(&mut client).await;
    gate.notify_one();
    client.expect(json!({ "event": "data:set:later", "data": { "name": "later" } })).await;
}

#[tokio::test]
async fn gives_up_on_a_source_that_takes_too_long() {
    let hanging = options(EventMode::Both)
        .open()
        .data_timeout(Duration::from_millis(20))
        .data_source("never", |_| future::pending::<Result<(), RpcError>>());
    // Were one not given up on, nothing after it would be read.
    let node = Node::start(Server::builder().max_calls_per_socket(1).events("/events", hanging)).await;
    let mut client = connect(&node, "/events").await;
    for _ in 0..3 {
        client.send(json!({ "event": "data:get:never" })).await;
    }
    works(&mut client).await;
}

#[tokio::test]
async fn a_client_is_not_read_from_while_too_much_of_what_it_said_runs() {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (count, open) = (Arc::clone(&begun), Arc::clone(&gate));
    let options = EventOptions::new(EventMode::Passthrough).open().on_event(move |_, socket: EventSocket| {
        count.fetch_add(1, Ordering::SeqCst);
        let open = Arc::clone(&open);
        async move {
            open.acquire().await.unwrap().forget();
            socket.emit("done", ()).unwrap();
        }
    });
    let node = Node::start(Server::builder().max_calls_per_socket(4).events("/events", options)).await;
    let mut client = connect(&node, "/events").await;
    for _ in 0..10 {
        client.send(json!({ "event": "work" })).await;
    }
    until("four to begin", || begun.load(Ordering::SeqCst) == 4).await;
    client.expect_quiet().await;
    assert_eq!(begun.load(Ordering::SeqCst), 4);
    gate.add_permits(10);
    for _ in 0..10 {
        client.expect(json!({ "event": "done", "data": null })).await;
    }
}

#[tokio::test]
async fn handlers_begin_in_order_and_end_with_their_connection() {
    struct Ending(mpsc::UnboundedSender<&'static str>);
    impl Drop for Ending {
        fn drop(&mut self) {
            // The test may have seen enough.
            let _ = self.0.send("ended");
        }
    }
    let (tell, mut told) = mpsc::unbounded_channel();
    let options = EventOptions::new(EventMode::Both).open().on_event(
        move |message: EventMessage, socket: EventSocket| {
            let ending = Ending(tell.clone());
            async move {
                socket.emit("begun", message.json()).unwrap();
                let _ending = ending;
                future::pending::<()>().await;
            }
        },
    );
    let node = Node::start(Server::builder().events("/events", options)).await;
    let mut client = connect(&node, "/events").await;
    for n in 0..100 {
        client.send(json!({ "event": "go", "n": n })).await;
    }
    for n in 0..100 {
        client.expect(json!({ "event": "begun", "data": { "event": "go", "n": n } })).await;
    }
    drop(client);
    for _ in 0..100 {
        assert_eq!(within("a handler's end", told.recv()).await, Some("ended"));
    }
}

/// A server where one brings a token, with its hooks.
fn with_tokens() -> ServerBuilder {
    tokensocket_tests::device::builder().events("/events", options(EventMode::Both))
}

async fn token(node: &Node, query: &str) -> String {
    let answer = http::get(node.address, &format!("/socket/token?{query}")).await;
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// Connects as one of a user's devices.
async fn user(node: &Node, query: &str, more: &str) -> Client {
    let token = token(node, query).await;
    let client = connect(node, &format!("/events?token={token}{more}")).await;
    until("the socket", || node.server.sockets().iter().all(tokensocket_server::Socket::is_authenticated))
        .await;
    client
}

#[tokio::test]
async fn a_token_lets_one_connection_in() {
    let node = Node::start(with_tokens()).await;
    let token = token(&node, "user=ann").await;
    let mut client = connect(&node, &format!("/events?token={token}")).await;
    works(&mut client).await;
    for path in ["/events", "/events?token=", "/events?token=nonsense", &format!("/events?token={token}")] {
        let answer = ask(&node, path).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.body);
    }
    let sockets = node.server.sockets();
    assert_eq!(sockets.len(), 1);
    assert_eq!(sockets[0].identity().user_id().map(|user| &**user), Some("ann"));
}

#[tokio::test]
async fn a_request_that_becomes_no_connection_uses_up_no_token() {
    let node = Node::start(with_tokens()).await;
    let token = token(&node, "user=ann").await;
    assert_eq!(http::get(node.address, &format!("/events?token={token}")).await.status, 400);
    works(&mut connect(&node, &format!("/events?token={token}")).await).await;
}

#[tokio::test]
async fn an_open_endpoint_takes_everybody_but_a_bad_token() {
    let options = options(EventMode::Both).open();
    let node = Node::start(tokensocket_tests::device::builder().events("/events", options)).await;
    works(&mut connect(&node, "/events").await).await;
    let token = token(&node, "user=ann").await;
    works(&mut connect(&node, &format!("/events?token={token}")).await).await;
    assert_eq!(ask(&node, &format!("/events?token={token}")).await.status, 401);
}

#[tokio::test]
async fn an_authenticator_of_its_own_decides_who_connects() {
    let options = options(EventMode::Both).authenticate(|request| async move {
        match request.query("token").as_deref() {
            Some("good") => Ok(Identity::new("yes").user("ann")),
            Some("forbidden") => Err(AuthenticateError::Forbidden),
            Some("panic") => panic!("an authenticator that panics"),
            Some(_) => Err(AuthenticateError::Refused("Authentication failed".to_owned())),
            None => Err(AuthenticateError::Failed("the database is asleep".to_owned())),
        }
    });
    let node = Node::start(Server::builder().events("/events", options)).await;
    works(&mut connect(&node, "/events?token=good").await).await;
    for (path, status, error) in [
        ("/events?token=bad", 401, "Authentication failed"),
        ("/events?token=forbidden", 403, "Forbidden"),
        ("/events?token=panic", 500, "Internal error"),
        ("/events", 500, "the database is asleep"),
    ] {
        let answer = ask(&node, path).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "error": error })), "{path}");
    }
}

#[tokio::test]
async fn an_authenticator_that_hangs_is_given_up_on() {
    let hanging = options(EventMode::Both).authenticate(|_| future::pending());
    let server = Server::builder().auth_timeout(Some(Duration::from_millis(20))).events("/events", hanging);
    let node = Node::start(server).await;
    let answer = ask(&node, "/events?token=x").await;
    assert_eq!((answer.status, answer.json()), (500, json!({ "error": "Authentication timeout" })));
}

#[tokio::test]
async fn pages_of_other_origins_cannot_connect_where_origins_are_named() {
    let node = Node::start(builder().allowed_origins(AllowedOrigins::named(["https://good.example"]))).await;
    let own = format!("http://{}", node.address);
    for origin in
        ["https://evil.example", "http://good.example", "null", "", "https://good.example.evil.example"]
    {
        let answer = ask_from(&node, "/both", Some(origin)).await;
        assert_eq!(answer.status, 403, "{origin}");
    }
    for origin in [None, Some("https://good.example"), Some(&own)] {
        assert_eq!(ask_from(&node, "/both", origin).await.status, 101, "{origin:?}");
    }
    let node = Node::start(builder()).await;
    assert_eq!(ask_from(&node, "/both", Some("https://any.example")).await.status, 101);
}

#[tokio::test]
async fn hooks_are_asked_before_anything_is_heard_and_told_of_the_end() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let builder = with_tokens()
        .on_authenticate(|socket| async move {
            if socket.identity().user_id().is_some_and(|user| &**user == "eve") {
                return Err(RpcError::text("not eve"));
            }
            Ok(())
        })
        .on_disconnect(move |socket, close: Close| {
            tell.send((socket.identity().user_id().cloned(), close.code)).unwrap();
            async {}
        });
    let node = Node::start(builder).await;
    let eve = token(&node, "user=eve").await;
    let mut eve = connect(&node, &format!("/events?token={eve}")).await;
    assert_eq!(eve.closed().await.0, Close::FORBIDDEN.code);
    let mut ann = user(&node, "user=ann", "").await;
    works(&mut ann).await;
    ann.socket.close(None).await.unwrap();
    let (user, code) = within("the end", told.recv()).await.unwrap();
    assert_eq!((user.as_deref(), code), (Some("ann"), 1005));
}

#[tokio::test]
async fn what_is_emitted_to_users_and_to_everyone_comes_as_an_event() {
    let node = Node::start(with_tokens()).await;
    let (mut ann, mut ben) = (user(&node, "user=ann", "").await, user(&node, "user=ben", "").await);
    let mut native = tokensocket_tests::device::connect_with(&node, "user=ann", None, &[]).await;
    node.server.emit_to_users(["ann"], "news", json!({ "n": 1 })).await.unwrap();
    node.server.emit_to_everyone("all", "x").await.unwrap();
    ann.expect(json!({ "event": "news", "data": { "n": 1 } })).await;
    for client in [&mut ann, &mut ben] {
        client.expect(json!({ "event": "all", "data": "x" })).await;
    }
    native.expect(json!({ "channel": "news", "message": { "n": 1 } })).await;
    native.expect(json!({ "channel": "all", "message": "x" })).await;

    let socket = node.server.user_sockets("ben").remove(0);
    socket.subscribe("room").await.unwrap();
    node.server.publish("room", json!([2])).await.unwrap();
    ben.expect(json!({ "event": "room", "data": [2] })).await;
    assert!(socket.rpc::<Value>("an.action", ()).await.is_err());

    node.server.disconnect_users_with(["ann"], Close::new(4001, "enough")).await.unwrap();
    assert_eq!(ann.closed().await, (4001, "enough".to_owned()));
    works(&mut ben).await;
}

async fn deliver(node: &Node, to: To, event: &str, args: Value) -> usize {
    node.server.deliver(to, event, args, DeliverOptions::new()).await.unwrap().devices
}

#[tokio::test]
async fn a_delivery_counts_as_acknowledged_when_it_was_written() {
    let node = Node::start(with_tokens()).await;
    let mut client = user(&node, "user=ann&rooms=staff", "&deviceId=phone").await;
    // The store may not know the device yet.
    while deliver(&node, To::user("ann"), "order", json!([0])).await == 0 {
        tokio::task::yield_now().await;
    }
    client.expect(json!({ "event": "order", "args": [0] })).await;
    for n in 1..=3 {
        assert_eq!(deliver(&node, To::room("staff"), "order", json!([n, "x"])).await, 1);
    }
    for n in 1..=3 {
        client.expect(json!({ "event": "order", "args": [n, "x"] })).await;
    }
    client.socket.close(None).await.unwrap();
    until("the socket to go", || node.server.sockets().is_empty()).await;

    // What comes while it is away waits for it; what it was sent does not come again.
    for n in 4..=5 {
        assert_eq!(deliver(&node, To::user("ann"), "order", json!([n])).await, 1);
    }
    let mut client = user(&node, "user=ann", "&deviceId=phone").await;
    for n in 4..=5 {
        client.expect(json!({ "event": "order", "args": [n] })).await;
    }
    client.socket.close(None).await.unwrap();
    until("the socket to go", || node.server.sockets().is_empty()).await;
    let mut client = user(&node, "user=ann", "&deviceId=phone").await;
    works(&mut client).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_client_without_a_device_gets_what_is_delivered_while_it_is_there() {
    let node = Node::start(with_tokens()).await;
    let mut client = user(&node, "user=ann", "").await;
    while deliver(&node, To::user("ann"), "order", json!([1])).await == 0 {
        tokio::task::yield_now().await;
    }
    client.expect(json!({ "event": "order", "args": [1] })).await;
    client.socket.close(None).await.unwrap();
    until("the socket to go", || node.server.sockets().is_empty()).await;
    assert_eq!(deliver(&node, To::user("ann"), "order", json!([2])).await, 0);
    let mut client = user(&node, "user=ann", "").await;
    works(&mut client).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_bounded() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let builder = builder().outbox(64, 1 << 20).close_timeout(Duration::from_millis(200)).on_disconnect(
        move |_, close: Close| {
            tell.send(close.code).unwrap();
            async {}
        },
    );
    let node = Node::start(builder).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(node.address).await.unwrap();
    let _sluggish = Client::over_at(stream, node.address, "/both", Framing::Raw).await;
    let text = "x".repeat(32 * 1024);
    until("the socket", || node.server.sockets().iter().any(tokensocket_server::Socket::is_authenticated))
        .await;
    within("the end of the client that does not read", async {
        while told.is_empty() {
            node.server.emit_to_everyone("news", &text).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(told.recv().await, Some(Close::SLOW_CONSUMER.code));
}

#[tokio::test]
async fn a_flood_of_questions_is_answered_as_fast_as_it_is_read() {
    let node = Node::start(builder().outbox(128, 64 * 1024)).await;
    let mut client = connect(&node, "/both").await;
    for _ in 0..20 {
        for _ in 0..100 {
            client.send(json!({ "event": "data:get:thing" })).await;
        }
        for _ in 0..100 {
            client.expect(thing()).await;
        }
    }
}

#[tokio::test]
async fn breaking_the_rules_of_websockets_or_of_size_closes() {
    let node = Node::start(builder().max_message_bytes(1000)).await;
    let mut client = connect(&node, "/both").await;
    client.send_text(&"x".repeat(1000)).await;
    works(&mut client).await;
    client.send_text(&"x".repeat(1001)).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn pings_are_answered_and_silent_peers_given_up() {
    let hurried = builder().heartbeat(Duration::from_millis(50)).close_timeout(Duration::from_millis(100));
    let node = Node::start(hurried).await;
    let mut client = connect(&node, "/both").await;
    client.send_frame(Message::Ping("x".into())).await;
    // Pings of the server are answered while this reads.
    let quiet = tokio::time::timeout(Duration::from_millis(300), client.read()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    works(&mut client).await;

    let silent = connect(&node, "/both").await;
    until("both", || node.server.sockets().len() == 2).await;
    let read = async {
        while node.server.sockets().len() == 2 {
            let _ = tokio::time::timeout(Duration::from_millis(10), client.read()).await;
        }
    };
    within("the end of the silent one", read).await;
    works(&mut client).await;
    drop(silent);
}

#[tokio::test]
async fn a_shutdown_lets_what_runs_finish_and_closes() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let options = EventOptions::new(EventMode::Data).open().data_source("slow", move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            Ok(1)
        }
    });
    let node = Node::in_warp(Server::builder().events("/events", options).build().unwrap()).await;
    let (mut idle, mut busy) = (connect(&node, "/events").await, connect(&node, "/events").await);
    busy.send(json!({ "event": "data:get:slow" })).await;
    busy.send_frame(Message::Ping("x".into())).await;
    within("the pong", async { while !matches!(busy.socket.next().await, Some(Ok(Message::Pong(_)))) {} })
        .await;
    let server = node.server.clone();
    let ending = tokio::spawn(async move { server.shutdown().await });
    assert_eq!(idle.closed().await.0, Close::RESTART.code);
    assert_eq!(ask(&node, "/events").await.status, 503);
    gate.notify_one();
    busy.expect(json!({ "event": "data:set:slow", "data": 1 })).await;
    assert_eq!(busy.read().await, Received::Closed(Close::RESTART.code, Close::RESTART.reason.into_owned()));
    within("the shutdown", ending).await.unwrap();
}

#[tokio::test]
async fn npm_clients_are_served_in_every_mode() {
    let modes = [
        ("/events/off", EventMode::Off),
        ("/events/true", EventMode::Both),
        ("/events/data", EventMode::Data),
        ("/events/passthrough", EventMode::Passthrough),
    ];
    let options = |mode| {
        EventOptions::new(mode)
            .open()
            .data_source("thing", |_| async { Ok(json!({ "name": "thing", "n": 1 })) })
            .data_source("later", |_| async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok(json!({ "name": "later" }))
            })
            .on_event(|message: EventMessage, socket: EventSocket| async move {
                if message.event() == "echo:message" {
                    socket.emit("echo:reply", message.json()).unwrap();
                }
            })
    };
    let server =
        modes.into_iter().fold(Server::builder(), |server, (path, mode)| server.events(path, options(mode)));
    let node = Node::start(server).await;

    scenarios::expect_events(&format!("ws://{}", node.address)).await;
}

#[tokio::test]
async fn a_stream_of_another_kind_carries_events_too() {
    let server = builder().build().unwrap();
    // Smaller than a message, so that none is written at once.
    let (near, far) = tokio::io::duplex(64);
    let service = TowerToHyperService::new(server.clone().into_service());
    let http = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
    tokio::spawn(http.with_upgrades());
    let (mut socket, _) = within("an upgrade", client_async("ws://example.org/both", near)).await.unwrap();
    let large = "x".repeat(10_000);
    for n in 0..20 {
        let message = json!({ "event": "some:event", "n": n, "large": large });
        within("a frame", socket.send(Message::text(message.to_string()))).await.unwrap();
        let answer = within("an answer", socket.next()).await.unwrap().unwrap();
        let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
        assert_eq!(answer, json!({ "event": "seen", "data": message }));
    }
    server.emit_to_everyone("news", &large).await.unwrap();
    let news = within("what was emitted", socket.next()).await.unwrap().unwrap();
    assert_eq!(news.to_text().unwrap().len(), large.len() + r#"{"event":"news","data":""}"#.len());
}

#[tokio::test]
async fn a_path_can_be_used_once() {
    let twice = builder().events("/both", options(EventMode::Data));
    assert!(matches!(twice.build(), Err(BuildError::InvalidPath(path)) if path == "/both"));
    let open = || options(EventMode::Data).open();
    assert!(matches!(Server::builder().events("events", open()).build(), Err(BuildError::InvalidPath(_))));
    assert!(Server::builder().build().is_err());
}

#[tokio::test]
async fn an_endpoint_can_be_replaced_for_those_who_connect_from_now_on() {
    let node = Node::start(builder()).await;
    let mut before = connect(&node, "/both").await;
    works(&mut before).await;
    let other = |mode| EventOptions::new(mode).open().data_source("thing", |_| async { Ok("other") });
    assert!(node.server.set_events("/both", other(EventMode::Data)));
    assert!(!node.server.set_events("/elsewhere", other(EventMode::Data)));
    let mut after = connect(&node, "/both").await;
    after.send(json!({ "event": "data:get:thing" })).await;
    after.expect(json!({ "event": "data:set:thing", "data": "other" })).await;
    works(&mut before).await;
    assert!(node.server.set_events("/both", other(EventMode::Off)));
    assert_eq!(ask(&node, "/both").await.status, 404);
    works(&mut before).await;
}

#[test]
fn reads_the_settings_as_they_always_were() {
    for (setting, mode) in [
        ("false", EventMode::Off),
        ("true", EventMode::Both),
        ("data", EventMode::Data),
        ("passthrough", EventMode::Passthrough),
        ("anything", EventMode::Both),
    ] {
        assert_eq!(EventMode::from_setting(setting), mode);
    }
    assert_eq!(EventMode::default(), EventMode::Off);
}
