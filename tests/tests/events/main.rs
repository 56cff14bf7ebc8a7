//! Event clients: messages with an `event` on a plain WebSocket, and what of the server reaches them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

mod joining;
mod limits;
mod messages;
mod reaching;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::Method;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokensocket_server::events::{DataRequest, EventMessage, EventMode, EventOptions, EventSocket};
use tokensocket_server::{BuildError, ErrorCode, RpcError, Server, ServerBuilder};
use tokensocket_tests::http;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::Node;
use tokensocket_tests::scenarios;
use tokensocket_tests::wire::Client;
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
