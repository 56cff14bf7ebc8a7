//! The `push_service` example: what its page promises, with clients of every kind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::net::SocketAddr;

use hyper::Method;
use serde_json::{Value, json};
use tokensocket_tests::gateway::Visitor;
use tokensocket_tests::http::{self, Answer};
use tokensocket_tests::program::Program;
use tokensocket_tests::scenarios;
use tokensocket_tests::site::{Orders, Site};
use tokensocket_tests::wire::{Client, Framing, Received};

async fn start() -> (Program, SocketAddr) {
    let mut program = Program::example("push_service", &["--listen", "127.0.0.1:0"]);
    let address = program.listening().await;
    (program, address)
}

async fn token(address: SocketAddr, user: &str) -> String {
    let answer = http::get(address, &format!("/api/v1/user/sockettoken?user={user}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn post(address: SocketAddr, path: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json")];
    http::request_with(address, Method::POST, path, &headers, body.to_string()).await
}

/// Connects to the namespace `/` as version 4 of Socket.IO does. Gives what it is answered.
async fn socket_io(address: SocketAddr, token: &str) -> (Client, String) {
    let path = format!("/socket.io/?EIO=4&transport=websocket&token={token}");
    let mut client = Client::connect_at(address, &path).await;
    assert!(text(&mut client).await.starts_with("0{"));
    client.send_text("40").await;
    let answer = text(&mut client).await;
    (client, answer)
}

async fn text(client: &mut Client) -> String {
    match client.read().await {
        Received::Message(text) => text,
        other => panic!("{other:?} instead of a packet"),
    }
}

#[tokio::test]
async fn one_message_reaches_a_user_whatever_the_client_speaks() {
    let (_program, address) = start().await;
    let (mut io, joined) = socket_io(address, &token(address, "alice").await).await;
    assert!(joined.starts_with("40{"), "{joined}");
    // A client of a user is a device, and greeted as one.
    assert!(text(&mut io).await.starts_with(r#"42["_settings","#));
    let path = format!("/events/true?token={}", token(address, "alice").await);
    let mut event = Client::connect_at(address, &path).await;
    event.send(json!({ "event": "data:get:thing" })).await;
    event.expect(json!({ "event": "data:set:thing", "data": { "name": "thing", "n": 1 } })).await;
    let mut native = Client::connect_to(address, Framing::SockJs).await;
    native.auth(&token(address, "alice").await).await;
    let mut nobody = Client::connect_at(address, "/events/data").await;
    nobody.send(json!({ "event": "data:get:later" })).await;
    nobody.expect(json!({ "event": "data:set:later", "data": { "name": "later" } })).await;

    let to_users = json!({ "users": [{ "_id": "alice" }], "channel": "news", "data": { "n": 1 } });
    assert_eq!(post(address, "/interop/emit-to-users", to_users).await.status, 200);
    let to_everyone = json!({ "channel": "all", "data": "x" });
    assert_eq!(post(address, "/interop/emit-to-everyone", to_everyone).await.status, 200);
    assert_eq!(text(&mut io).await, r#"42["news",{"n":1}]"#);
    assert_eq!(text(&mut io).await, r#"42["all","x"]"#);
    event.expect(json!({ "event": "news", "data": { "n": 1 } })).await;
    event.expect(json!({ "event": "all", "data": "x" })).await;
    native.expect(json!({ "channel": "news", "message": { "n": 1 } })).await;
    native.expect(json!({ "channel": "all", "message": "x" })).await;
    nobody.expect(json!({ "event": "all", "data": "x" })).await;

    let disconnect = json!({ "users": { "_id": "alice" }, "close": true });
    assert_eq!(post(address, "/interop/disconnect-users", disconnect).await.status, 200);
    assert_eq!(text(&mut io).await, "41");
    assert_eq!(event.closed().await.0, 1000);
    assert_eq!(native.closed().await.0, 1000);
    nobody.send(json!({ "event": "data:get:thing" })).await;
    assert_eq!(nobody.next().await["event"], "data:set:thing");
}

#[tokio::test]
async fn a_token_is_good_once() {
    let (_program, address) = start().await;
    let token = token(address, "alice").await;
    let (_client, joined) = socket_io(address, &token).await;
    assert!(joined.starts_with("40{"), "{joined}");
    let (mut again, refused) = socket_io(address, &token).await;
    assert_eq!(refused, r#"44{"message":"INVALID_TOKEN"}"#);
    // And the connection ends.
    assert!(!matches!(again.read().await, Received::Message(_)));
    assert_eq!(http::get(address, "/api/v1/user/sockettoken").await.status, 400);
}

#[tokio::test]
async fn says_what_is_wrong_with_a_request() {
    let (_program, address) = start().await;
    for (path, body) in [
        ("/interop/emit-to-users", json!({ "channel": "news" })),
        ("/interop/emit-to-users", json!({ "users": [{ "id": 1 }], "channel": "news" })),
        ("/interop/emit-to-everyone", json!({ "channel": "" })),
        ("/interop/disconnect-users", json!([])),
    ] {
        let answer = post(address, path, body).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn its_sites_are_the_gateways() {
    let site = Site::start().await;
    let own = include_str!("../../examples/push_service/tokensocket.yml");
    assert!(own.contains("http://127.0.0.1:18299/socketrooms2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokensocket.yml");
    std::fs::write(&file, own.replace("http://127.0.0.1:18299", &site.url())).unwrap();
    let mut program =
        Program::example("push_service", &["--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    let address = program.listening().await;

    let mut visitor = Visitor::connect(address, "newsite", &Orders::rooms(["user_8"]).token(), "&deviceId=d")
        .await
        .unwrap();
    assert_eq!(visitor.event().await, json!(["_settings", { "device_ttl": 5 }]));
    let sent = json!({ "rooms": "user_8", "event": "update_store", "args": ["user", { "id": 1 }] });
    let answer = post(address, "/send?site=newsite&apiKey=54321", sent).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    assert_eq!(visitor.event().await, json!(["update_store", "user", { "id": 1 }]));
    assert_eq!(http::get(address, "/healthcheck").await.body, "ok");
}

#[tokio::test]
async fn npm_event_clients_are_served_in_every_mode() {
    let (_program, address) = start().await;
    scenarios::expect_events(&format!("ws://{address}")).await;
}
