//! Who may come in otherwise than by the auth URL: one-time tokens, signed tokens, keys of services.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use serde_json::json;
use tokensocket_tests::gateway::{Gateway, Visitor};
use tokensocket_tests::http;
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
        assert!(matches!(answer.status, 401 | 403), "{path}: {} {}", answer.status, answer.body);
    }
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
