#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::site::stub::{Answer, Stub};

fn asking(stub: &Stub, config: impl FnOnce(&mut AuthUrl)) -> AuthClient {
    let mut own = AuthUrl {
        url: stub.url("/socketrooms"),
        scheme: "Bearer".to_owned(),
        timeout: Duration::from_secs(5),
        retries: 0,
        concurrency: 4,
    };
    config(&mut own);
    AuthClient::new(SiteClient::new(false).unwrap(), own)
}

fn token(token: &str) -> Credentials {
    Credentials { token: Some(token.to_owned()), ..Credentials::default() }
}

fn rooms(body: &'static str) -> Answer {
    Answer::new(200, body)
}

#[tokio::test]
async fn asks_with_the_token_and_meta_and_takes_the_rooms() {
    let stub = Stub::start(|_| rooms(r#"["user_1","staff"]"#)).await;
    let site = asking(&stub, |config| config.scheme = "Token".to_owned());
    let credentials = Credentials { meta: Some("a=b".to_owned()), ..token("12345") };
    assert_eq!(site.ask_about(&credentials).await.unwrap().rooms, ["user_1", "staff"]);
    let asked = stub.requests().remove(0);
    assert_eq!((&*asked.method, &*asked.path), ("GET", "/socketrooms"));
    assert_eq!(asked.header("authorization"), Some("Token 12345"));
    assert_eq!(asked.header("x-meta"), Some("a=b"));
}

#[tokio::test]
async fn a_site_may_say_what_others_may_know() {
    let stub = Stub::start(|_| rooms(r#"{"rooms":["user_1"],"info":{"name":"Ann"}}"#)).await;
    let member = asking(&stub, |_| {}).ask_about(&token("x")).await.unwrap();
    assert_eq!(
        (&*member.rooms, member.info),
        (&["user_1".to_owned()][..], Some(serde_json::json!({ "name": "Ann" })))
    );
    let stub = Stub::start(|_| rooms(r#"{"rooms":[],"info":null}"#)).await;
    assert_eq!(asking(&stub, |_| {}).ask_about(&token("x")).await.unwrap(), Member::default());
}

#[tokio::test]
async fn what_a_client_does_not_bring_is_not_sent() {
    let stub = Stub::start(|_| rooms("[]")).await;
    assert_eq!(
        asking(&stub, |_| {}).ask_about(&Credentials::default()).await.unwrap().rooms,
        Vec::<String>::new()
    );
    let asked = stub.requests().remove(0);
    assert_eq!((asked.header("authorization"), asked.header("x-meta")), (None, None));
}

#[tokio::test]
async fn every_status_has_its_text() {
    for (status, text) in [
        (401, "Authentication failed"),
        (403, "Auth 403 error"),
        (404, "Auth 404 error"),
        (500, "Auth 500 error"),
        (503, "Auth 503 error"),
        (204, "Auth 204 error"),
        (302, "Auth 302 error"),
    ] {
        let stub =
            Stub::start(move |_| Answer::new(status, "").header("location", "http://127.0.0.1:1/")).await;
        let refused = asking(&stub, |_| {}).ask_about(&token("x")).await.unwrap_err();
        assert_eq!(refused.to_string(), text);
        assert_eq!(stub.requests().len(), 1, "no redirect is followed");
    }
}

#[tokio::test]
async fn a_site_that_lies_is_not_believed() {
    for body in ["", "{}", "null", "[1]", "[\"a\"", "<html>", r#"{"room":["a"]}"#, r#"{"rooms":"a"}"#] {
        let stub = Stub::start(move |_| rooms(body)).await;
        let refused = asking(&stub, |_| {}).ask_about(&token("x")).await.unwrap_err();
        assert_eq!(refused, NOT_ROOMS, "{body}");
    }
    let huge: &'static str = format!("[\"{}\"]", "x".repeat(MAX_ANSWER)).leak();
    let stub = Stub::start(move |_| rooms(huge)).await;
    assert_eq!(asking(&stub, |_| {}).ask_about(&token("x")).await.unwrap_err(), TOO_LARGE);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once() {
    let stub = Stub::start(|_| rooms("[]")).await;
    let site = asking(&stub, |_| {});
    assert_eq!(site.ask_about(&token("a\r\nx: y")).await.unwrap_err(), Refused::Failed);
    let meta = Credentials { meta: Some("\u{0}".to_owned()), ..token("x") };
    assert_eq!(site.ask_about(&meta).await.unwrap_err(), Refused::Failed);
    assert!(stub.requests().is_empty());
}

#[tokio::test]
async fn a_site_that_is_not_well_is_asked_again_so_often() {
    let stub = Stub::start(|number| if number < 2 { Answer::new(503, "") } else { rooms("[\"a\"]") }).await;
    assert_eq!(asking(&stub, |config| config.retries = 2).ask_about(&token("x")).await.unwrap().rooms, ["a"]);
    assert_eq!(stub.requests().len(), 3);
    let stub = Stub::start(|_| Answer::new(503, "")).await;
    let refused = asking(&stub, |config| config.retries = 2).ask_about(&token("x")).await.unwrap_err();
    assert_eq!((refused, stub.requests().len()), (Refused::Status(503), 3));
}

#[tokio::test]
async fn a_site_that_hangs_costs_the_time_limit_and_no_more() {
    const HOUR: Duration = Duration::from_hours(1);
    let stub = Stub::start(|_| Answer::never()).await;
    let site = asking(&stub, |config| {
        config.timeout = HOUR;
        config.retries = 5;
    });
    let began = Instant::now();
    let asked = tokio::spawn(async move { site.ask_about(&token("x")).await });
    stub.asked(1).await;
    // It has the question. From here on, time passes as soon as nothing else happens.
    tokio::time::pause();
    assert_eq!(asked.await.unwrap().unwrap_err(), SLOW);
    let took = began.elapsed();
    assert!((HOUR..HOUR + HOUR / 10).contains(&took), "{took:?}");
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn no_more_than_so_many_are_asked_at_once_and_the_others_wait_for_their_turn() {
    let stub = Stub::start(|_| rooms("[]").after(Duration::from_millis(50))).await;
    let site = Arc::new(asking(&stub, |config| config.concurrency = 3));
    let all = (0..12).map(|_| {
        let site = Arc::clone(&site);
        tokio::spawn(async move { site.ask_about(&token("x")).await })
    });
    for asked in futures_util::future::join_all(all).await {
        asked.unwrap().unwrap();
    }
    assert_eq!((stub.most_at_once(), stub.requests().len()), (3, 12));
}

#[tokio::test]
async fn a_line_that_is_too_long_is_not_joined() {
    let stub = Stub::start(|_| Answer::never()).await;
    let mut site = asking(&stub, |config| config.timeout = Duration::from_millis(200));
    site.line = Semaphore::new(1);
    let site = Arc::new(site);
    let first = tokio::spawn({
        let site = Arc::clone(&site);
        async move { site.ask_about(&token("x")).await }
    });
    stub.asked(1).await;
    assert_eq!(site.ask_about(&token("x")).await.unwrap_err(), CROWDED);
    assert_eq!(first.await.unwrap().unwrap_err(), SLOW);
}

#[tokio::test]
async fn a_site_that_fails_again_and_again_is_left_alone() {
    let stub = Stub::start(|_| Answer::new(503, "")).await;
    let site = asking(&stub, |_| {});
    for _ in 0..20 {
        assert_eq!(site.ask_about(&token("x")).await.unwrap_err(), Refused::Status(503));
    }
    assert_eq!(stub.requests().len(), 5);
}

#[tokio::test]
async fn refusals_of_clients_do_not_count_as_failures() {
    let stub = Stub::start(|_| Answer::new(401, "")).await;
    let site = asking(&stub, |_| {});
    for _ in 0..20 {
        assert_eq!(site.ask_about(&token("x")).await.unwrap_err(), Refused::Failed);
    }
    assert_eq!(stub.requests().len(), 20);
}

#[tokio::test]
async fn a_site_that_is_not_there_is_told_apart() {
    let stub = Stub::start(|_| rooms("[]")).await;
    let site = asking(&stub, |_| {});
    stub.stop().await;
    assert_eq!(site.ask_about(&token("x")).await.unwrap_err(), UNREACHABLE);
}
