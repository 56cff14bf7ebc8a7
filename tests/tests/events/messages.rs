//! What is said: questions for data, every other event, and what is no message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future;
use hyper::Method;
use serde_json::json;
use tokensocket_server::events::{DataRequest, EventMessage, EventMode, EventOptions, EventSocket};
use tokensocket_server::{RpcError, Server};
use tokensocket_tests::http;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::Node;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::{ask, builder, connect, options, works};

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
