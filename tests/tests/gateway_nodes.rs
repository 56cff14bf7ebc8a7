//! Two gateways that were started from one configuration, on one engine: to clients and applications they are one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokensocket_client::{Actions, Data, Event, RpcError, TokenSocket};
use tokensocket_tests::engine::{Engine, Keep, Kind, Settings};
use tokensocket_tests::gateway::{Gateway, sites, tokensocket};
use tokensocket_tests::http;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{Events, connected};
use tokensocket_tests::node::listen;
use tokensocket_tests::of_each_engine;
use tokensocket_tests::packets::{Came, Packets};
use tokensocket_tests::scenarios::run;
use tokensocket_tests::site::{Asked, Orders, Site};
use tokio::time::sleep;
use warp::{Filter, Reply};

/// A site's own token, which looks like one of a gateway's.
const OWN: &str = "3f2b8f4e-6d1c-4a57-9c3e-0b5d7a9e1f24";
/// How long a store may take, where nobody says otherwise.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

of_each_engine! {
    npm_clients_of_one_gateway_get_what_is_sent_at_another
    a_token_of_one_gateway_is_good_once_at_any
    the_api_of_one_gateway_reaches_sockets_of_another
    a_user_is_connected_until_it_is_on_no_gateway_any_more
    the_users_of_a_gateway_that_died_are_disconnected_by_another
    a_gateway_says_that_its_engine_is_away
    what_is_published_while_the_engine_is_away_waits_for_it
    clients_with_a_token_come_again_while_the_engine_is_away
    check_tries_the_engine_when_it_is_asked_to
}

/// An engine, a site, and two gateways.
struct Two {
    engine: Engine,
    site: Site,
    one: Gateway,
    other: Gateway,
}

impl Two {
    async fn start(kind: Kind) -> Self {
        let engine = Engine::start(kind, Settings::new().keep(Keep::Always)).await;
        let site = Site::start().await;
        let broker = format!("broker: {{url: \"{}\", lease: 3s}}\n", engine.url());
        let configuration = format!("{broker}{}", sites(&site));
        let start = async || {
            let arguments = ["--config", "tokensocket.yml"];
            Gateway::start_with(&[("tokensocket.yml", &configuration)], &arguments, &[]).await
        };
        let (one, other) = (start().await, start().await);
        let both = Self { engine, site, one, other };
        for gateway in [&both.one, &both.other] {
            let knows = async { while answered(&status(gateway).await) != (2, 2) {} };
            within("the gateways to know each other", knows).await;
        }
        both
    }
}

async fn ask(gateway: &Gateway, path: &str) -> http::Answer {
    let and = if path.contains('?') { '&' } else { '?' };
    http::get(gateway.address, &format!("{path}{and}site=newsite&apiKey=54321")).await
}

async fn status(gateway: &Gateway) -> Value {
    ask(gateway, "/api/v1/status").await.json()
}

/// How many nodes answered, of how many.
fn answered(status: &Value) -> (u64, u64) {
    let nodes = &status["sites"][0]["nodes"];
    (nodes["answered"].as_u64().unwrap_or_default(), nodes["asked"].as_u64().unwrap_or_default())
}

async fn command(gateway: &Gateway, name: &str, body: Value) -> http::Answer {
    gateway.post(&format!("/api/v1/{name}?site=newsite&apiKey=54321"), &body).await
}

async fn npm_clients_of_one_gateway_get_what_is_sent_at_another(kind: Kind) {
    let two = Two::start(kind).await;
    let other = two.other.url();
    let arguments = [
        "a_send_at_one_gateway_reaches_clients_of_another",
        "what_waits_for_a_device_comes_wherever_it_connects",
        "--other",
        &other,
        "--parallel",
        "6",
    ];
    run(&two.one.url(), &two.site.url(), &arguments).await.expect(18);
}

async fn a_token_of_one_gateway_is_good_once_at_any(kind: Kind) {
    let two = Two::start(kind).await;
    let issued = command(&two.one, "tokens", json!({ "user": "8", "rooms": ["staff"] })).await.json();
    let token = issued["token"].as_str().unwrap();
    let mut client = Packets::join(two.other.address, 4, "/newsite", &format!("token={token}")).await;
    two.one.send("newsite", "54321", &["Staff"], "e", json!([1])).await;
    assert!(client.text().await.ends_with("[\"e\",1]"));
    let mut again = Packets::open(two.one.address, 4, &format!("&token={token}")).await;
    again.say("40/newsite,").await;
    assert!(again.text().await.starts_with("44/newsite,"), "a token was good twice");
}

async fn the_api_of_one_gateway_reaches_sockets_of_another(kind: Kind) {
    let two = Two::start(kind).await;
    let token = Orders::rooms(["user_8", "staff"]).token();
    let native = TokenSocket::builder(two.one.url())
        .token_path("/newsite/socket/token")
        .socket_prefix("/newsite/sockets")
        .authentication(&json!({ "token": token }))
        .actions(Actions::new().action("double", async |Data(n): Data<i64>| Ok::<_, RpcError>(2 * n)))
        .reconnect(false);
    let native = connected(native).await;
    let mut heard = Events::of(&native);
    let _news = within("a subscription", native.subscribe("news")).await.unwrap();

    let sockets = ask(&two.other, "/api/v1/sockets?user=8").await.json();
    assert_eq!(sockets["nodes"], json!({ "answered": 2, "asked": 2 }));
    let socket = sockets["items"][0]["socket"].as_str().unwrap().to_owned();
    assert_eq!(sockets["items"][0]["channels"], json!(["news"]));
    assert_eq!(ask(&two.other, &format!("/api/v1/sockets/{socket}")).await.json()["user"], "8");
    let channels = ask(&two.other, "/api/v1/channels?prefix=ne").await.json();
    assert_eq!(channels["items"], json!([{ "channel": "news", "sockets": 1 }]));
    for whom in [json!({ "user": "8" }), json!({ "socket": socket })] {
        let mut body = json!({ "action": "double", "data": 21 });
        body.as_object_mut().unwrap().extend(whom.as_object().unwrap().clone());
        let called = command(&two.other, "call", body).await;
        assert_eq!((called.status, &called.json()["answer"]), (200, &json!(42)), "{}", called.body);
    }
    let published = command(&two.other, "publish", json!({ "channel": "news", "data": "x" })).await;
    assert_eq!(published.status, 200, "{}", published.body);
    let message = loop {
        if let Event::Message { data, .. } = heard.next().await {
            break data;
        }
    };
    assert_eq!(message.parse::<String>().unwrap(), "x");

    let here = status(&two.other).await;
    assert_eq!(here["sites"][0]["connections"], 1, "of all nodes");
    let nodes = here["sites"][0]["node_list"].as_array().unwrap();
    assert_eq!((nodes.len(), nodes.iter().filter(|node| node["here"] == true).count()), (2, 1));
    assert_eq!(here["broker"]["connected"], true, "{here}");

    let closed = command(&two.other, "disconnect", json!({ "sockets": [socket, "0000000000000001"] })).await;
    assert_eq!(closed.json()["sockets"], 1, "{}", closed.body);
    let gone =
        async { while ask(&two.other, "/api/v1/sockets?user=8").await.json()["items"] != json!([]) {} };
    within("the socket to be gone", gone).await;
    assert_eq!(ask(&two.other, &format!("/api/v1/sockets/{socket}")).await.status, 404);
}

/// What the site was told of its users with this token.
fn told(site: &Site, token: &str) -> Vec<String> {
    let puts = site.asked(token).into_iter().filter(|asked| asked.method == "PUT");
    puts.map(|Asked { body, .. }| body["user"].as_object().unwrap().keys().next().unwrap().clone()).collect()
}

async fn a_user_is_connected_until_it_is_on_no_gateway_any_more(kind: Kind) {
    let two = Two::start(kind).await;
    let token = Orders::rooms(["user_8"]).token();
    let here = two.one.visit("newsite", &token).await.unwrap();
    until("the site to be told", || told(&two.site, &token).len() == 1).await;
    let there = two.other.visit("newsite", &token).await.unwrap();
    // Another user's state shows that all of the first one's was looked at.
    let barrier = async |gateway: &Gateway, user: &str| {
        let token = Orders::rooms([user]).token();
        let _visitor = gateway.visit("newsite", &token).await.unwrap();
        until("the barrier to be told", || !told(&two.site, &token).is_empty()).await;
    };
    barrier(&two.other, "user_barrier1").await;
    drop(here);
    barrier(&two.one, "user_barrier2").await;
    assert_eq!(told(&two.site, &token), ["last_connected"]);
    drop(there);
    until("the site to be told", || told(&two.site, &token).len() == 2).await;
    assert_eq!(told(&two.site, &token), ["last_connected", "last_disconnected"]);
}

async fn the_users_of_a_gateway_that_died_are_disconnected_by_another(kind: Kind) {
    let two = Two::start(kind).await;
    let (lost, kept) = (Orders::rooms(["user_lost"]).token(), Orders::rooms(["user_kept"]).token());
    let _visitors = (
        two.one.visit("newsite", &lost).await.unwrap(),
        two.one.visit("newsite", &kept).await.unwrap(),
        two.other.visit("newsite", &kept).await.unwrap(),
    );
    for token in [&lost, &kept] {
        until("the site to be told", || told(&two.site, token).len() == 1).await;
    }
    two.one.signal(Signal::SIGKILL);
    until("the dead gateway's user to be gone", || told(&two.site, &lost).len() == 2).await;
    assert_eq!(told(&two.site, &lost), ["last_connected", "last_disconnected"]);
    assert_eq!(told(&two.site, &kept), ["last_connected"]);
    let alone = async { while answered(&status(&two.other).await) != (1, 1) {} };
    within("the dead gateway to be forgotten", alone).await;
}

async fn a_gateway_says_that_its_engine_is_away(kind: Kind) {
    let mut two = Two::start(kind).await;
    let readiness = async |gateway: &Gateway| http::get(gateway.address, "/readiness").await;
    assert_eq!(readiness(&two.one).await.body, "ready");
    two.engine.stop().await;
    let away = async { while readiness(&two.one).await.status != 503 {} };
    within("the gateway to notice", away).await;
    let said = readiness(&two.one).await.body;
    assert!(said.contains(" has not been reached for "), "{said}");
    assert!(!said.contains("://") && !said.contains("127.0.0.1"), "anybody may ask: {said}");
    assert_eq!(http::get(two.one.address, "/healthcheck").await.body, "ok", "it lives");
    let body = json!({ "rooms": ["user_8"], "event": "e", "args": [] });
    let refused = two.one.post("/send?site=newsite&apiKey=54321", &body).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.body);
    two.engine.start_again().await;
    let back = async { while readiness(&two.one).await.status != 200 {} };
    within("the engine to be back", back).await;
    let sends = async { while two.one.post("/send?site=newsite&apiKey=54321", &body).await.status != 200 {} };
    within("it to be sent", sends).await;
}

async fn what_is_published_while_the_engine_is_away_waits_for_it(kind: Kind) {
    let mut engine = Engine::start(kind, Settings::new().keep(Keep::Always)).await;
    let configuration = format!(
        "broker: {{url: \"{}\", outage: buffer}}\n\
         sites:\n  newsite:\n    apiKey: 54321\n    open: true\n    history: 100\n",
        engine.url()
    );
    let start = async || {
        let arguments = ["--config", "tokensocket.yml"];
        Gateway::start_with(&[("tokensocket.yml", &configuration)], &arguments, &[]).await
    };
    let (one, other) = (start().await, start().await);
    let native = connected(
        TokenSocket::builder(other.url())
            .token_path("/newsite/socket/token")
            .socket_prefix("/newsite/sockets")
            .authentication(&json!({ "user": "8" })),
    )
    .await;
    let mut news = within("a subscription", native.subscribe("news")).await.unwrap().typed::<u64>();
    engine.kill();
    let away = async { while http::get(one.address, "/readiness").await.status != 503 {} };
    within("the gateway to notice", away).await;

    // It is away for longer than others wait for an answer.
    let publish = async |n: u64| {
        let path = "/api/v1/publish?site=newsite&apiKey=54321";
        let body = json!({ "channel": "news", "data": n }).to_string();
        let headers = [("content-type", "application/json")];
        http::try_request(one.address, hyper::Method::POST, path, &headers, body).await.unwrap()
    };
    let mut publishing = Box::pin(join_all((1..=3).map(publish)));
    tokio::select! {
        answers = &mut publishing => panic!("{answers:?}"),
        () = sleep(STORE_TIMEOUT + Duration::from_secs(1)) => {}
    }
    engine.start_again().await;
    let answers = within("the answers", publishing).await;
    let offsets = answers.iter().map(|answer| {
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["position"]["offset"].as_u64().unwrap()
    });
    assert_eq!(offsets.collect::<BTreeSet<_>>(), [1, 2, 3].into());
    let mut came = BTreeSet::new();
    while came.len() < 3 {
        let news = within("a publication", news.next()).await.unwrap().unwrap();
        assert!(came.insert(news), "{news} came twice");
    }
    assert_eq!(came, [1, 2, 3].into());
}

async fn clients_with_a_token_come_again_while_the_engine_is_away(kind: Kind) {
    let mut engine = Engine::start(kind, Settings::new().keep(Keep::Always)).await;
    let site = warp::path("rooms").and(warp::header::optional("authorization"));
    let site = site.map(|token: Option<String>| match token {
        Some(token) if token.ends_with(OWN) => warp::reply::json(&["user_9"]).into_response(),
        _ => warp::http::StatusCode::UNAUTHORIZED.into_response(),
    });
    let (listener, application) = listen().await;
    tokio::spawn(warp::serve(site).incoming(listener).run());
    let configuration = format!(
        "broker: \"{}\"\nsites:\n  newsite:\n    apiKey: 54321\n    events: true\n    userRoomPrefix: user_\n    \
         authUrl: http://{application}/rooms\n  default:\n    apiKey: 54321\n",
        engine.url()
    );
    let arguments = ["--config", "tokensocket.yml"];
    let gateway = Gateway::start_with(&[("tokensocket.yml", &configuration)], &arguments, &[]).await;
    let issue = async |site: &str| {
        let path = format!("/api/v1/tokens?site={site}&apiKey=54321");
        let issued = gateway.post(&path, &json!({ "user": "8" })).await;
        issued.json()["token"].as_str().unwrap().to_owned()
    };
    let (token, other) = (issue("newsite").await, issue("default").await);
    engine.stop().await;
    let away = async { while http::get(gateway.address, "/readiness").await.status != 503 {} };
    within("the gateway to notice", away).await;
    // No word, which would be the last one: a client that loses its connection comes again by itself.
    for (namespace, token) in [("/newsite", &token), ("/default", &other), ("", &other)] {
        for protocol in [3, 4] {
            let mut client = Packets::open(gateway.address, protocol, &format!("&token={token}")).await;
            // Those of version 2 are in the root without a word.
            match (namespace, protocol) {
                ("", 3) => {}
                (_, 3) => client.say(&format!("40{namespace}?token={token},")).await,
                _ => client.say(&format!("40{namespace},")).await,
            }
            assert_eq!(client.next().await, Came::End, "{namespace} {protocol}");
        }
    }
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let events = async |token: &str| {
        let path = format!("/newsite/events?token={token}");
        http::request(gateway.address, hyper::Method::GET, &path, &upgrade).await.status
    };
    assert_eq!(events(&token).await, 500, "it may be good");
    // The site knows its own, which only look like ours.
    assert_eq!(events(OWN).await, 101);
    gateway.visit("newsite", OWN).await.unwrap();
}

async fn check_tries_the_engine_when_it_is_asked_to(kind: Kind) {
    let site = "sites:\n  a:\n    apiKey: x\n    open: true\n";
    let mut engine = Engine::start(kind, Settings::new()).await;
    let configuration = format!("broker: \"{}\"\n{site}", engine.url());
    let files = [("tokensocket.yml", &*configuration)];
    let tried = tokensocket(&files, &["check", "tokensocket.yml", "--connect"], &[]).await;
    assert!(tried.success && tried.text.contains("answers: "), "{}", tried.text);
    engine.stop().await;
    let untried = tokensocket(&files, &["check", "tokensocket.yml"], &[]).await;
    assert!(untried.success, "{}", untried.text);
    let tried = tokensocket(&files, &["check", "tokensocket.yml", "--connect"], &[]).await;
    assert!(!tried.success, "{}", tried.text);
}
