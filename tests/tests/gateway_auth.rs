//! A site's auth URL that is slow, fails, hangs, hangs up or lies: its clients are refused in time, and no other
//! site's clients notice.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::future::ready;
use std::pin::pin;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokensocket_tests::gateway::{Gateway, sites};
use tokensocket_tests::limit::until;
use tokensocket_tests::site::{Orders, Site};

/// The sites of the scenarios, and two that are asked in vain.
async fn start() -> (Site, Gateway) {
    let site = Site::start().await;
    let url = site.url();
    let more = format!(
        "  lying:
    authUrl: {url}/socketrooms/lying
    apiKey: 33333
    userRoomPrefix: user_
    authTimeout: 1s
    authRetries: 0
  slow:
    authUrl: {url}/socketrooms/slow
    apiKey: 44444
    userRoomPrefix: user_
    authTimeout: 20s
    authRetries: 0
    authConcurrency: 4
  patient:
    authUrl: {url}/socketrooms/patient
    apiKey: 55555
    userRoomPrefix: user_
    authRetries: 2
"
    );
    let gateway = Gateway::start(&format!("{}{more}", sites(&site))).await;
    (site, gateway)
}

/// Orders that no other test gives.
fn unlike(orders: Orders, nonce: usize) -> Orders {
    Orders { nonce: nonce.to_string(), ..orders }
}

#[tokio::test]
async fn lies_are_refused_in_time() {
    let (site, gateway) = start().await;
    let cut = Orders { cut: true, ..Orders::rooms(["user_1"]) };
    let lies = [
        Orders::body("{"),
        Orders::body(""),
        Orders::body("null"),
        Orders::body("\"user_1\""),
        Orders::body("{\"room\":[\"user_1\"]}"),
        Orders::body("[\"user_1\",2]"),
        Orders::body("[[\"user_1\"]]"),
        Orders::body("<html>user_1</html>"),
        Orders::body("[\"user_1\"] [\"user_2\"]"),
        Orders { deep: 1 << 20, ..Orders::default() },
        Orders { huge: 200 << 20, ..Orders::default() },
        Orders { redirect: Some("/socketrooms".to_owned()), ..Orders::rooms(["user_1"]) },
        Orders { redirect: Some("http://127.0.0.1:1/".to_owned()), ..Orders::default() },
        Orders { hang: true, ..Orders::default() },
        Orders { drop: true, ..Orders::default() },
        cut,
        Orders::status(204),
        Orders::status(500),
    ];
    let tries = lies.into_iter().enumerate().map(async |(n, orders)| {
        let token = unlike(orders.clone(), n).token();
        let refusal = gateway.visit("lying", &token).await.expect_err("nobody is let in by a lie");
        assert!(refusal.starts_with("44/lying,{\"message\":"), "{orders:?}: {refusal}");
        (orders, refusal)
    });
    for (orders, refusal) in join_all(tries).await {
        println!(
            "{refusal} for {}",
            serde_json::to_string(&orders).unwrap().chars().take(100).collect::<String>()
        );
    }
    // Nobody followed where it was sent.
    let elsewhere = site.all().into_iter().filter(|asked| asked.path == "/socketrooms").count();
    assert_eq!(elsewhere, 0);
    // It still stands, and takes the truth.
    let token = Orders::rooms(["user_1"]).token();
    gateway.visit("newsite", &token).await.expect("another site's client is let in");
}

#[tokio::test]
async fn a_slow_site_hurts_only_itself() {
    let (site, gateway) = start().await;
    // More than are asked about at once, and none is answered before the others are let in.
    let slow = Orders { hold: true, ..Orders::rooms(["user_slow"]) };
    let visits: FuturesUnordered<_> = (0..40)
        .map(|n| {
            let token = unlike(slow.clone(), n).token();
            let gateway = &gateway;
            async move { gateway.visit("slow", &token).await }
        })
        .collect();
    let others = async {
        until("as many questions as may be asked", || site.most_at_once("/socketrooms/slow") >= 4).await;
        for n in 0..15 {
            let token = unlike(Orders::rooms(["user_usual"]), n).token();
            gateway.visit("newsite", &token).await.expect("another site's client is let in");
        }
    };
    let mut visits = pin!(visits.peekable());
    tokio::select! {
        () = others => {}
        // Peeked at: what ends is counted below.
        Some(early) = visits.as_mut().peek() => panic!("before the site had answered: {:?}", early.as_ref().err()),
    }
    site.answer_held();
    let let_in = visits.filter(|visit| ready(visit.is_ok())).count().await;
    assert_eq!(site.most_at_once("/socketrooms/slow"), 4, "requests at once");
    assert_eq!(let_in, 40, "all are let in once the site answers");
}

#[tokio::test]
async fn what_fails_once_is_asked_again() {
    let (site, gateway) = start().await;
    let once = Orders { fail: 1, ..Orders::rooms(["user_1"]) };
    gateway.visit("patient", &once.token()).await.expect("the second answer counts");
    assert_eq!(site.asked(&once.token()).len(), 2);
    let always = unlike(Orders { fail: 1000, ..Orders::rooms(["user_1"]) }, 1).token();
    let refusal = gateway.visit("patient", &always).await.unwrap_err();
    assert_eq!(refusal, "44/patient,{\"message\":\"Auth 503 error\"}");
    let asked = site.asked(&always).len();
    assert!((1..=3).contains(&asked), "asked {asked} times");
    // An answer is an answer.
    let no = unlike(Orders::status(401), 2).token();
    let refusal = gateway.visit("patient", &no).await.unwrap_err();
    assert_eq!(refusal, "44/patient,{\"message\":\"Authentication failed\"}");
    assert_eq!(site.asked(&no).len(), 1);
}

#[tokio::test]
async fn a_site_that_only_fails_is_left_alone_for_a_while() {
    let (site, gateway) = start().await;
    for n in 0..60 {
        let token = unlike(Orders { drop: true, ..Orders::default() }, n).token();
        gateway.visit("lying", &token).await.expect_err("nobody is let in");
    }
    let asked = site.all().iter().filter(|asked| asked.path == "/socketrooms/lying").count();
    println!("asked {asked} times for 60 clients");
    assert!(asked < 60, "it was asked for every client");
    gateway.visit("newsite", &Orders::rooms(["user_1"]).token()).await.expect("other sites are asked");
}

#[tokio::test]
async fn a_client_that_leaves_meanwhile_frees_its_place() {
    let (site, gateway) = start().await;
    // Never answered: who leaves does so while all there may be is asked.
    let slow = Orders { hang: true, ..Orders::rooms(["user_slow"]) };
    let visits = (0..4).map(|n| {
        let (gateway, token) = (&gateway, unlike(slow.clone(), n).token());
        async move { gateway.visit("slow", &token).await }
    });
    let all_ask = until("all questions", || site.most_at_once("/socketrooms/slow") == 4);
    tokio::select! {
        () = all_ask => {}
        _ = join_all(visits) => panic!("the site hangs"),
    }
    // Sooner than the site would be given up.
    let token = Orders::rooms(["user_1"]).token();
    gateway.visit("slow", &token).await.expect("there is room for another question");
}
