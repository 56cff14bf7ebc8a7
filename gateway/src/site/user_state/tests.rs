#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use std::time::Duration;

use super::*;
use crate::site::client::client;
use crate::site::stub::{Answer, Stub};

const PATIENCE: Duration = Duration::from_secs(20);

fn states() -> UserStates {
    UserStates::new("newsite", client().unwrap())
}

fn user(id: &str) -> Arc<str> {
    Arc::from(id)
}

/// What was told, as `user: what`.
fn told(stub: &Stub) -> Vec<String> {
    let tell = |body: Value| {
        let (what, _) = body["user"].as_object().unwrap().iter().next().unwrap();
        format!("{}: {what}", body["id"].as_str().unwrap())
    };
    stub.requests().iter().map(|asked| tell(serde_json::from_str(&asked.body).unwrap())).collect()
}

#[tokio::test]
async fn the_site_is_told_as_it_always_was() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let (states, url) = (states(), stub.url("/users/:id"));
    states.came(&user("8"), Some(&url), Some(HeaderValue::from_static("Bearer 12345")));
    states.settle(PATIENCE).await;
    let asked = stub.requests().remove(0);
    assert_eq!((&*asked.method, &*asked.path), ("PUT", "/users/8"));
    assert_eq!(asked.header("authorization"), Some("Bearer 12345"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    assert_eq!(body["id"], "8");
    let at = body["user"]["last_connected"].as_str().unwrap();
    assert!(at.len() == "2015-05-06T07:49:29.196Z".len() && at.ends_with('Z'), "{at}");
}

#[tokio::test]
async fn several_tabs_are_one_user() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let (states, url) = (states(), stub.url("/users/:id"));
    let ann = user("a_b");
    for _ in 0..3 {
        states.came(&ann, Some(&url), None);
    }
    for _ in 0..3 {
        states.went(&ann, Some(&url), None);
    }
    states.went(&ann, Some(&url), None);
    states.settle(PATIENCE).await;
    assert_eq!(told(&stub), ["a_b: last_connected", "a_b: last_disconnected"]);
}

#[tokio::test]
async fn an_id_cannot_lead_elsewhere() {
    let stub = Stub::start(|_| Answer::new(200, "")).await;
    let states = states();
    states.came(&user("../a?b#c d"), Some(&stub.url("/users/:id")), None);
    states.settle(PATIENCE).await;
    assert_eq!(stub.requests()[0].path, "/users/..%2Fa%3Fb%23c%20d");
}

#[tokio::test]
async fn what_fails_is_told_again_before_what_came_after() {
    let stub = Stub::start(|number| Answer::new(if number < 2 { 503 } else { 204 }, "")).await;
    let (states, url) = (states(), stub.url("/users/:id"));
    states.came(&user("1"), Some(&url), None);
    states.went(&user("1"), Some(&url), None);
    states.settle(PATIENCE).await;
    let expected = ["1: last_connected", "1: last_connected", "1: last_connected", "1: last_disconnected"];
    assert_eq!(told(&stub), expected);
}

#[tokio::test]
async fn a_refusal_stands() {
    let stub = Stub::start(|_| Answer::new(404, "")).await;
    let states = states();
    states.came(&user("1"), Some(&stub.url("/users/:id")), None);
    states.settle(PATIENCE).await;
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn a_user_whose_site_hangs_holds_up_nobody_else_and_no_end() {
    let stub = Stub::start(|number| if number == 0 { Answer::never() } else { Answer::new(200, "") }).await;
    let (states, url) = (states(), stub.url("/users/:id"));
    states.came(&user("1"), Some(&url), None);
    stub.asked(1).await;
    states.came(&user("2"), Some(&url), None);
    stub.asked(2).await;
    assert_eq!(told(&stub)[1], "2: last_connected");
    let ending = states.settle(Duration::from_millis(50));
    tokio::time::timeout(PATIENCE, ending).await.unwrap();
}

#[tokio::test]
async fn without_an_address_nobody_is_told() {
    let states = states();
    states.came(&user("1"), None, None);
    states.settle(PATIENCE).await;
}
