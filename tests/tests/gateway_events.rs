//! Event clients of the gateway's sites: who they are, what they may ask for, and where that comes from.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::net::SocketAddr;

use hyper::Method;
use hyper::header::HeaderMap;
use serde_json::{Value, json};
use tokensocket_tests::gateway::Gateway;
use tokensocket_tests::http::{self, Answer};
use tokensocket_tests::node::listen;
use tokensocket_tests::wire::Client;
use warp::http::{Response, StatusCode};
use warp::reply::{self, Reply};
use warp::{Filter, path};

/// An application with data: `/echo/…` says how it was asked.
async fn application() -> SocketAddr {
    let (listener, address) = listen().await;
    let rooms =
        path("socketrooms").and(warp::header::optional("authorization")).map(|token: Option<String>| {
            let user = token.as_deref().and_then(|token| token.strip_prefix("Bearer "));
            match user.filter(|user| user.starts_with("user_")) {
                Some(user) => reply::json(&json!([user, "Staff"])).into_response(),
                None => StatusCode::UNAUTHORIZED.into_response(),
            }
        });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let echo = path("echo").and(path::full()).and(query).and(warp::header::headers_cloned()).map(
        |path: path::FullPath, query: String, headers: HeaderMap| {
            let token = headers.get("authorization").and_then(|token| token.to_str().ok());
            reply::json(&json!([path.as_str(), query, token])).into_response()
        },
    );
    let spaced = path("spaced").map(|| " [1,\n 2] ".into_response());
    let huge = path("huge").map(|| format!("\"{}\"", "x".repeat(1 << 20)).into_response());
    let broken = path("broken").map(|| "{".into_response());
    let missing = path("missing").map(|| reply::with_status("1", StatusCode::NOT_FOUND).into_response());
    let elsewhere = path("elsewhere").map(|| {
        Response::builder().status(302).header("location", "/spaced").body("1".into()).expect("a response")
    });
    let routes = rooms.or(echo).unify().or(spaced).unify().or(huge).unify();
    let routes = routes.or(broken).unify().or(missing).unify().or(elsewhere).unify();
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    address
}

async fn start() -> Gateway {
    let (application, other) = (application().await, application().await);
    Gateway::start(&format!(
        "sites:
  newsite:
    authUrl: http://{application}/socketrooms
    authScheme: Bearer
    apiKey: 54321
    userRoomPrefix: user_
    events: true
    dataSources:
      order: http://{application}/echo/orders/:id?of=:name
      user:get:me: http://{application}/echo/me
      other: http://{other}/echo/other
      spaced: http://{application}/spaced
      huge: http://{application}/huge
      broken: http://{application}/broken
      missing: http://{application}/missing
      elsewhere: http://{application}/elsewhere
      gone: http://127.0.0.1:1/gone
      \"*\": http://{application}/echo/any/:name
  quiet:
    authUrl: http://{application}/socketrooms
    authScheme: Bearer
    apiKey: 11111
"
    ))
    .await
}

async fn connect(gateway: &Gateway, path: &str) -> Client {
    Client::connect_at(gateway.address, path).await
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    http::request(gateway.address, Method::GET, path, &headers).await
}

async fn answers(client: &mut Client, message: Value, data: Value) {
    let event = message["event"].as_str().unwrap().replacen(":get:", ":set:", 1);
    client.send(message).await;
    client.expect(json!({ "event": event, "data": data })).await;
}

#[tokio::test]
async fn data_is_fetched_from_the_address_that_is_configured() {
    let gateway = start().await;
    let mut client = connect(&gateway, "/newsite/events?token=user_8").await;
    let token = "Bearer user_8";
    for (message, data) in [
        (json!({ "event": "data:get:order", "id": 7 }), json!(["/echo/orders/7", "of=order", token])),
        (
            json!({ "event": "data:get:order", "id": "../a b/é?c" }),
            json!(["/echo/orders/..%2Fa%20b%2F%C3%A9%3Fc", "of=order", token]),
        ),
        (json!({ "event": "user:get:me" }), json!(["/echo/me", "", token])),
        (json!({ "event": "data:get:x/y" }), json!(["/echo/any/x%2Fy", "", token])),
        (json!({ "event": "data:get:spaced" }), json!([1, 2])),
        // A client's token is for its own application.
        (json!({ "event": "data:get:other" }), json!(["/echo/other", "", null])),
    ] {
        answers(&mut client, message, data).await;
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_not_answered() {
    let gateway = start().await;
    let mut client = connect(&gateway, "/newsite/events?token=user_8").await;
    for message in [
        json!({ "event": "data:get:huge" }),
        json!({ "event": "data:get:broken" }),
        json!({ "event": "data:get:missing" }),
        json!({ "event": "data:get:elsewhere" }),
        json!({ "event": "data:get:gone" }),
        json!({ "event": "data:get:order" }),
        json!({ "event": "data:get:order", "id": ".." }),
        json!({ "event": "data:get:order", "id": { "a": 1 } }),
        json!({ "event": "some:event" }),
    ] {
        client.send(message).await;
    }
    client.expect_quiet().await;
    answers(&mut client, json!({ "event": "data:get:spaced" }), json!([1, 2])).await;
}

#[tokio::test]
async fn a_client_is_whom_its_site_says() {
    let gateway = start().await;
    let refused = ask(&gateway, "/newsite/events?token=nobody").await;
    assert_eq!((refused.status, refused.json()), (401, json!({ "error": "Authentication failed" })));
    assert_eq!(ask(&gateway, "/newsite/events").await.status, 401);
    // Where events are not switched on there are none, and no site has another's.
    assert_eq!(ask(&gateway, "/quiet/events?token=user_8").await.status, 404);
    assert_eq!(ask(&gateway, "/events?token=user_8").await.status, 404);

    let mut client = connect(&gateway, "/newsite/events?token=user_8&deviceId=phone").await;
    answers(&mut client, json!({ "event": "data:get:spaced" }), json!([1, 2])).await;
    gateway.send("newsite", "54321", &["user_8"], "update_store", json!(["user", { "id": 1 }])).await;
    client.expect(json!({ "event": "update_store", "args": ["user", { "id": 1 }] })).await;
    gateway.send("newsite", "54321", &["STAFF", "user_9"], "all", json!([])).await;
    client.expect(json!({ "event": "all", "args": [] })).await;
}
