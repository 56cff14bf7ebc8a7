//! Unmodified Socket.IO clients of three generations, on polling, WebSocket, and from one to the other, against the
//! gateway: every scenario of `tests/npm/gateway`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use tokensocket_tests::gateway::{Gateway, sites};
use tokensocket_tests::scenarios::run;
use tokensocket_tests::site::Site;

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
    let often = "io:\n  pingInterval: 150\n  pingTimeout: 600\n";
    let gateway = Gateway::start(&format!("{often}{}", sites(&site))).await;
    let arguments = ["an_idle_client_stays", "a_client_that_falls_silent_is_let_go", "--parallel", "6"];
    run(&gateway.url(), &site.url(), &arguments).await.expect(18);
}
