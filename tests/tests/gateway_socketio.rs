//! Unmodified Socket.IO clients of three generations, on polling, WebSocket, and from one to the other, against the
//! gateway: every scenario of `tests/npm/gateway`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use tokensocket_tests::gateway::{Gateway, sites};
use tokensocket_tests::node::listen;
use tokensocket_tests::scenarios::run;
use tokensocket_tests::site::Site;
use tokensocket_tests::slow_link::SlowLink;
use warp::Filter;

/// Runs all scenarios with one generation.
async fn unchanged(generation: &str, least: usize) {
    let site = Site::start().await;
    let gateway = Gateway::start_durable(&sites(&site)).await;
    run(&gateway.url(), &site.url(), &["all", "--clients", generation]).await.expect(least);
}

#[tokio::test]
async fn clients_1_7_are_served_unchanged() {
    unchanged("1.7", 130).await;
}

#[tokio::test]
async fn clients_2_5_are_served_unchanged() {
    unchanged("2.5", 130).await;
}

#[tokio::test]
async fn clients_4_8_are_served_unchanged() {
    unchanged("4.8", 130).await;
}

#[tokio::test]
async fn idle_clients_stay_and_silent_ones_go() {
    let site = Site::start().await;
    let often = "io:\n  pingInterval: 150\n  pingTimeout: 3000\n";
    let gateway = Gateway::start(&format!("{often}{}", sites(&site))).await;
    let arguments = ["an_idle_client_stays", "a_client_that_falls_silent_is_let_go", "--parallel", "6"];
    run(&gateway.url(), &site.url(), &arguments).await.expect(18);
}

#[tokio::test]
async fn clients_from_far_away_get_in_with_a_token_that_looks_like_an_issued_one() {
    let (listener, address) = listen().await;
    let site = warp::any().map(|| warp::reply::json(&["user_1"]));
    let site = tokio::spawn(warp::serve(site).incoming(listener).run());
    let url = format!("http://{address}");
    let newsite = format!(
        "sites:\n  newsite:\n    authUrl: {url}/rooms\n    apiKey: 54321\n    userRoomPrefix: user_\n"
    );
    let gateway = Gateway::start(&newsite).await;
    // Longer there and back than anybody near would take.
    let link = SlowLink::start(gateway.address, Duration::from_millis(300)).await;
    let arguments = [
        "a_token_of_the_sites_own_that_looks_like_an_issued_one_gets_in",
        "a_distant_client_that_may_not_be_in_the_root_is_told",
        "--clients",
        "1.7,2.5",
        "--parallel",
        "12",
        "--limit",
        "60",
    ];
    run(&link.url(), &url, &arguments).await.expect(12);
    site.abort();
}
