//! Who may come in otherwise than by the auth URL: one-time tokens, signed tokens, keys of services.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use serde_json::json;
use tokensocket_client::{ConnectionError, TokenSocket};
use tokensocket_tests::gateway::{Gateway, Visitor};
use tokensocket_tests::http;
use tokensocket_tests::limit::within;
use tokensocket_tests::packets::Packets;
use tokensocket_tests::scenarios::run;
use tokensocket_tests::site::{Orders, Site};

fn newsite(site: &Site) -> String {
    format!(
        "sites:\n  newsite:\n    authUrl: {}/socketrooms\n    apiKey: 54321\n    userRoomPrefix: user_\n",
        site.url()
    )
}

#[tokio::test]
async fn a_one_time_token_in_the_handshake_is_good_once() {
    let site = Site::start().await;
    let gateway = Gateway::start(&newsite(&site)).await;
    let arguments = ["a_socket_token_is_good_once", "an_unknown_socket_token_is_refused"];
    run(&gateway.url(), &site.url(), &arguments).await.expect(18);
}

#[tokio::test]
async fn the_site_decides_who_gets_a_one_time_token() {
    let site = Site::start().await;
    let gateway = Gateway::start(&newsite(&site)).await;
    for path in ["/user/sockettoken", "/socket/token", "/newsite/socket/token"] {
        let good = Orders::rooms(["user_8"]).token();
        let answer = http::get(gateway.address, &format!("{path}?token={good}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.json()["token"].is_string());
        let bad = Orders::status(401).token();
        let answer = http::get(gateway.address, &format!("{path}?token={bad}")).await;
        // Final for the client, which reads why.
        assert_eq!(
            (answer.status, answer.json()),
            (403, json!({ "error": "Authentication failed" })),
            "{path}"
        );
        let failed = Orders::status(500).token();
        let answer = http::get(gateway.address, &format!("{path}?token={failed}")).await;
        assert_eq!((answer.status, answer.json()), (500, json!({ "error": "Auth 500 error" })), "{path}");
    }
    let nobody = Orders::rooms(["staff"]).token();
    let answer = http::get(gateway.address, &format!("/socket/token?token={nobody}")).await;
    let why = "User is missing a private room";
    assert_eq!((answer.status, answer.json()), (403, json!({ "error": why })));
    // A script sees no status, so that it has to be told otherwise.
    let answer = http::get(gateway.address, &format!("/socket/token?token={nobody}&callback=f")).await;
    assert!(
        answer.body.contains(&json!({ "error": "Forbidden", "message": why }).to_string()),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_native_client_is_told_the_sites_words() {
    let site = Site::start().await;
    let gateway = Gateway::start(&newsite(&site)).await;
    let token = Orders::rooms(["staff"]).token();
    let socket = TokenSocket::builder(gateway.url()).authentication(&json!({ "token": token }));
    let socket = socket.connect().unwrap();
    let refused = within("a refusal", socket.ready()).await.unwrap_err();
    assert!(
        matches!(&refused, ConnectionError::Refused(why) if why == "User is missing a private room"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_old_client_spends_its_token_on_the_namespace_it_means() {
    let site = Site::start().await;
    let url = site.url();
    let user_url = format!("    updateUserUrl: {url}/users/:id\n");
    let gateway = Gateway::start(&format!("{}{user_url}", newsite(&site))).await;
    let token = async |orders: &str| {
        let answer = http::get(gateway.address, &format!("/user/sockettoken?token={orders}")).await;
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let orders = Orders::rooms(["user_8"]).token();
    let issued = token(&orders).await;
    // As a client of version 2 does that was given its token by `query`: in the first request, and for the namespace.
    let mut client = Packets::open(gateway.address, 3, &format!("&token={issued}")).await;
    client.say(&format!("40/newsite?token={issued},")).await;
    while client.text().await != "40/newsite," {}
    assert_eq!(client.text().await, "42/newsite,[\"_settings\",{\"device_ttl\":3600}]");
    // It is there once.
    let sockets = async || {
        let answer = http::get(gateway.address, "/api/v1/sockets?apiKey=54321").await;
        answer.json()["items"].as_array().unwrap().len()
    };
    assert_eq!(sockets().await, 1);
    gateway.send("newsite", "54321", &["user_8"], "e", json!([1])).await;
    assert!(client.text().await.starts_with("42/newsite,"), "it came to the root, too");
    // A second connection has nothing of it.
    let mut again = Packets::open(gateway.address, 3, &format!("&token={issued}")).await;
    again.say(&format!("40/newsite?token={issued},")).await;
    assert_eq!(again.text().await, "44/newsite,\"Authentication failed\"");

    // Who means the root is in the root.
    let issued = token(&orders).await;
    let mut rooted = Packets::open(gateway.address, 3, &format!("&token={issued}")).await;
    assert_eq!(rooted.text().await, "42[\"_settings\",{\"device_ttl\":3600}]");
    assert_eq!(sockets().await, 2);
}

#[tokio::test]
async fn who_was_sent_away_does_not_come_back_with_a_used_token() {
    let site = Site::start().await;
    let gateway = Gateway::start(&newsite(&site)).await;
    let body = json!({ "user": "8" });
    let issued = gateway.post("/api/v1/tokens?site=newsite&apiKey=54321", &body).await.json();
    let token = issued["token"].as_str().unwrap();
    let mut client = Packets::join(gateway.address, 4, "/newsite", &format!("token={token}")).await;
    // Its other namespace keeps the connection.
    client.say("40/,").await;
    assert!(client.text().await.starts_with("40{"));
    assert!(client.text().await.starts_with("42[\"_settings\""));
    let sockets = async || {
        let answer = http::get(gateway.address, "/api/v1/sockets?apiKey=54321").await;
        answer.json()["items"].as_array().unwrap().clone()
    };
    let all: Vec<_> = sockets().await.iter().map(|socket| socket["socket"].clone()).collect();
    assert_eq!(all.len(), 2);
    let ended =
        gateway.post("/api/v1/disconnect?site=newsite&apiKey=54321", &json!({ "sockets": [all[0]] })).await;
    assert_eq!(ended.status, 200, "{}", ended.body);
    let left = client.text().await;
    assert!(left.starts_with("41"), "{left}");
    let namespace = if left.contains("newsite") { "/newsite," } else { "" };
    client.say(&format!("40{namespace}")).await;
    let again = client.text().await;
    assert!(again.starts_with(&format!("44{namespace}")), "{again}");
    assert_eq!(sockets().await.len(), 1, "its other namespace is another matter");
}

#[tokio::test]
async fn a_site_may_say_what_others_may_know_of_its_users() {
    let site = Site::start().await;
    let gateway = Gateway::start(&newsite(&site)).await;
    let token = Orders::body(r#"{"rooms":["user_8"],"info":{"name":"Ann"}}"#).token();
    let _visitor = gateway.visit("newsite", &token).await.unwrap();
    let answer = http::get(gateway.address, "/api/v1/sockets?user=8&apiKey=54321").await;
    assert_eq!(answer.json()["items"][0]["info"], json!({ "name": "Ann" }), "{}", answer.body);
}

#[tokio::test]
async fn a_site_has_as_many_connections_as_it_may() {
    let site = Site::start().await;
    let gateway =
        Gateway::start(&format!("{}    maxConnections: 2\n    events: true\n", newsite(&site))).await;
    let token = |user: &str| Orders::rooms([user]).token();
    let _one = gateway.visit("newsite", &token("user_1")).await.unwrap();
    let two = gateway.visit("newsite", &token("user_2")).await.unwrap();
    let ended = gateway.visit("newsite", &token("user_3")).await.unwrap_err();
    assert!(!ended.starts_with("44"), "a client that is refused would not come back: {ended}");
    let answer = http::get(gateway.address, &format!("/socket/token?token={}", token("user_3"))).await;
    assert_eq!(answer.status, 500, "{}", answer.body);
    assert!(answer.body.contains("as many connections as it may"), "{}", answer.body);
    drop(two);
    let again = async {
        while gateway.visit("newsite", &token("user_3")).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within("room for one more", again).await;
}

/// Signed with HS256 and the secret `a secret of no importance at all`, for the user 8, in `staff`; expires in 2100.
const SIGNED: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJzdWIiOiI4Iiwicm9vbXMiOlsic3RhZmYiXSwiZXhwIjo0MTAyNDQ0ODAwfQ.",
    "ZYLjth-lq9xVo1upqrMQ_iH9xpXiA-xti9kIgq-iJps"
);

#[tokio::test]
async fn signed_tokens_and_keys_of_services_need_no_round_trip() {
    let site = Site::start().await;
    let configuration = format!(
        "sites:
  signed:
    apiKey: 1
    userRoomPrefix: user_
    jwtSecret: a secret of no importance at all
    services: [{{key: billing-key, user: billing, rooms: [staff], info: {{name: Billing}}}}]
    updateUserUrl: {}/users/:id
",
        site.url()
    );
    let gateway = Gateway::start(&configuration).await;
    let mut visitors = Vec::new();
    for token in [SIGNED, "billing-key"] {
        let mut visitor = gateway.visit("signed", token).await.expect("it is let in");
        assert_eq!(visitor.event().await[0], "_settings");
        visitors.push(visitor);
    }
    gateway.send("signed", "1", &["Staff"], "e", json!(["both"])).await;
    for visitor in &mut visitors {
        assert_eq!(visitor.event().await, json!(["e", "both"]));
    }
    for (room, visitor) in ["user_8", "user_billing"].iter().zip(&mut visitors) {
        gateway.send("signed", "1", &[room], "e", json!([room])).await;
        assert_eq!(visitor.event().await, json!(["e", room]));
    }
    let (head, signature) = SIGNED.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiI4IiwiZXhwIjo0MTAyNDQ0ODAwfQ.";
    for token in [&*forged, unsigned, "billing-ke", "", "8"] {
        let refusal = gateway.visit("signed", token).await.expect_err("it is refused");
        assert_eq!(refusal, "44/signed,{\"message\":\"Authentication failed\"}", "{token}");
    }
    let asked = site.all().into_iter().filter(|asked| asked.method == "GET").count();
    assert_eq!(asked, 0, "nobody has to be asked");
}

#[tokio::test]
async fn a_token_of_one_site_is_nothing_at_another() {
    let site = Site::start().await;
    let url = site.url();
    let of = |name: &str, key: &str| {
        format!("  {name}:\n    authUrl: {url}/{name}\n    apiKey: {key}\n    userRoomPrefix: user_\n")
    };
    let gateway = Gateway::start(&format!("sites:\n{}{}", of("one", "1"), of("two", "2"))).await;
    let issued =
        gateway.post("/api/v1/tokens?site=one&apiKey=1", &json!({ "user": "8", "rooms": ["staff"] })).await;
    assert_eq!(issued.status / 100, 2, "{}", issued.body);
    let foreign = gateway.post("/api/v1/tokens?site=two&apiKey=1", &json!({ "user": "8" })).await;
    assert_eq!(foreign.status, 401, "{}", foreign.body);
    // No site is at the plain paths, so nobody redeems tokens there.
    let token = issued.json()["token"].as_str().unwrap().to_owned();
    for site in ["two", "nosuchsite"] {
        assert!(Visitor::connect(gateway.address, site, &token, "").await.is_err(), "{site}");
    }
}
