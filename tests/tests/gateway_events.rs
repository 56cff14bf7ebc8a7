//! Event clients of the gateway's sites: who they are, what they may ask for, and where that comes from.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderMap;
use serde_json::{Value, json};
use tokensocket_tests::gateway::Gateway;
use tokensocket_tests::http::{self, Answer};
use tokensocket_tests::node::listen;
use tokensocket_tests::scenarios;
use tokensocket_tests::wire::Client;
use tokio_tungstenite::tungstenite::Message;
use warp::http::{Response, StatusCode};
use warp::reply::{self, Reply};
use warp::{Filter, path};

/// How long `/things/later` takes.
const LATER: Duration = Duration::from_millis(200);

/// An application with data: `/echo/…` says how it was asked, and `/passed` answers events.
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
    let things = path!("things" / String).then(|name: String| async move {
        match &*name {
            "thing" => reply::json(&json!({ "name": "thing", "n": 1 })).into_response(),
            "later" => {
                tokio::time::sleep(LATER).await;
                reply::json(&json!({ "name": "later" })).into_response()
            }
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    });
    let credentials = warp::header::optional("authorization");
    let passed = warp::post().and(path("passed")).and(warp::body::json()).and(credentials).map(
        |passed: Value, token: Option<String>| {
            let message = &passed["message"];
            match message["event"].as_str().unwrap() {
                "echo:message" => {
                    reply::json(&json!({ "event": "echo:reply", "data": message })).into_response()
                }
                "who:am:i" => {
                    let data = json!([passed["user"], token, passed["socket"].is_string()]);
                    reply::json(&json!({ "event": "you:are", "data": data })).into_response()
                }
                "no:event" => reply::json(&json!({ "data": 1 })).into_response(),
                "fail" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                _ => StatusCode::NO_CONTENT.into_response(),
            }
        },
    );
    let rooms = rooms.or(things).unify().or(passed).unify();
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

#[tokio::test]
async fn npm_clients_are_served_in_every_mode() {
    let application = application().await;
    let site = |mode: &str| {
        let setting = if mode == "off" { "false" } else { mode };
        format!(
            "  mode-{mode}:
    apiKey: 1
    open: true
    events: {setting}
    dataSources: {{\"*\": \"http://{application}/things/:name\"}}
    passthroughUrl: http://{application}/passed
"
        )
    };
    let sites: String = ["off", "true", "data", "passthrough"].map(site).concat();
    let gateway = Gateway::start(&format!("sites:\n{sites}")).await;
    scenarios::expect_events_at(&format!("ws://{}", gateway.address), "/mode-MODE/events").await;
}

/// A site that passes events on, to its own application or another.
async fn passing(to: SocketAddr, of: SocketAddr, more: &str) -> Gateway {
    Gateway::start(&format!(
        "sites:
  newsite:
    authUrl: http://{of}/socketrooms
    apiKey: 54321
    userRoomPrefix: user_
    events: passthrough
    passthroughUrl: http://{to}/passed
{more}"
    ))
    .await
}

#[tokio::test]
async fn events_are_passed_on_and_what_is_answered_comes_back() {
    let application = application().await;
    let gateway = passing(application, application, "").await;
    let mut client = connect(&gateway, "/newsite/events?token=user_8").await;
    for message in [json!({ "event": "no:event" }), json!({ "event": "fail" }), json!({ "event": "nothing" })]
    {
        client.send(message).await;
    }
    client.send(json!({ "event": "who:am:i" })).await;
    client.expect(json!({ "event": "you:are", "data": ["8", "Bearer user_8", true] })).await;
    client.expect_quiet().await;
    // A client's token is for its own application.
    let other = passing(self::application().await, application, "").await;
    let mut client = connect(&other, "/newsite/events?token=user_8").await;
    client.send(json!({ "event": "who:am:i" })).await;
    client.expect(json!({ "event": "you:are", "data": ["8", null, true] })).await;
}

#[tokio::test]
async fn what_a_client_says_before_it_leaves_is_passed_on() {
    let (seen, mut passed) = tokio::sync::mpsc::unbounded_channel();
    let (listener, address) = listen().await;
    let taken = warp::post().and(path("passed")).and(warp::body::json()).then(move |passed: Value| {
        let seen = seen.clone();
        async move {
            // The client is gone by then.
            tokio::time::sleep(LATER).await;
            let _ = seen.send(passed["message"]["n"].clone());
            StatusCode::NO_CONTENT
        }
    });
    tokio::spawn(warp::serve(taken).incoming(listener).run());
    let gateway = passing(address, application().await, "").await;
    for n in 0..20 {
        let mut client = connect(&gateway, "/newsite/events?token=user_8").await;
        client.send(json!({ "event": "order:placed", "n": n })).await;
        client.send_frame(Message::Close(None)).await;
    }
    let all = async {
        let mut all = Vec::new();
        while all.len() < 20 {
            all.push(passed.recv().await.unwrap().as_u64().unwrap());
        }
        all.sort_unstable();
        all
    };
    let all = tokensocket_tests::limit::within("all events", all).await;
    assert_eq!(all, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_site_that_fails_again_and_again_is_left_alone() {
    let application = application().await;
    let gateway = passing(application, application, "").await;
    let mut client = connect(&gateway, "/newsite/events?token=user_8").await;
    for _ in 0..5 {
        client.send(json!({ "event": "fail" })).await;
    }
    // Not even asked, for a moment; then again.
    let answered = async {
        loop {
            client.send(json!({ "event": "who:am:i" })).await;
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(100), client.next()).await {
                return message;
            }
        }
    };
    let answered = tokensocket_tests::limit::within("an answer", answered).await;
    assert_eq!(answered["event"], "you:are");
}

#[tokio::test]
async fn a_token_for_one_connection_is_good_at_every_kind_of_site() {
    let application = application().await;
    let gateway = Gateway::start(&format!(
        "sites:
  asks:
    authUrl: http://{application}/socketrooms
    apiKey: 1
    userRoomPrefix: user_
    events: data
    dataSources: {{spaced: \"http://{application}/spaced\"}}
  signed:
    jwtSecret: a secret of no importance at all
    apiKey: 1
    events: data
    dataSources: {{spaced: \"http://{application}/spaced\"}}
  open:
    open: true
    apiKey: 1
    events: data
    dataSources: {{spaced: \"http://{application}/spaced\"}}
  issues:
    apiKey: 1
    events: data
    dataSources: {{spaced: \"http://{application}/spaced\"}}
"
    ))
    .await;
    for site in ["asks", "signed", "open", "issues"] {
        let body = json!({ "user": "8" });
        let issued = gateway.post(&format!("/api/v1/tokens?site={site}&apiKey=1"), &body).await.json();
        let token = issued["token"].as_str().unwrap();
        let path = format!("/{site}/events?token={token}");
        let mut client = connect(&gateway, &path).await;
        answers(&mut client, json!({ "event": "data:get:spaced" }), json!([1, 2])).await;
        // It is the user for whom it was issued.
        let body = json!({ "users": ["8"], "channel": "e", "data": 1 });
        assert_eq!(gateway.post(&format!("/api/v1/emit?site={site}&apiKey=1"), &body).await.status, 200);
        client.expect(json!({ "event": "e", "data": 1 })).await;
        let status = ask(&gateway, &path).await.status;
        // Where nobody has to prove anything, it is nobody's token the second time.
        assert_eq!(status, if site == "open" { 101 } else { 401 }, "{site}");
    }
}

#[tokio::test]
async fn a_site_may_have_its_event_clients_elsewhere() {
    let application = application().await;
    let gateway = passing(application, application, "    eventsPath: /live/ws\n").await;
    // The only site is at the plain paths as well.
    for path in ["/newsite/live/ws", "/live/ws"] {
        let mut client = connect(&gateway, &format!("{path}?token=user_8")).await;
        client.send(json!({ "event": "who:am:i" })).await;
        assert_eq!(client.next().await["event"], "you:are");
    }
    for path in ["/newsite/events", "/events", "/newsite/live", "/live/ws/more"] {
        assert_eq!(ask(&gateway, &format!("{path}?token=user_8")).await.status, 404, "{path}");
    }
}
