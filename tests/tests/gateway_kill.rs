//! The gateway is killed as by `kill -9`: whatever it answered with `OK` reaches its devices all the same.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use tokensocket_tests::gateway::{Gateway, sites};
use tokensocket_tests::scenarios::run_asked;
use tokensocket_tests::site::Site;

#[tokio::test]
async fn whatever_was_answered_with_ok_outlives_the_gateway() {
    let site = Site::start().await;
    let mut gateway = Gateway::start_durable(&sites(&site)).await;
    let (url, stub) = (gateway.url(), site.url());

    let arguments = [
        "nothing_is_lost_when_the_gateway_is_killed",
        "--transports",
        "polling,websocket",
        "--parallel",
        "1",
    ];
    let outcome = run_asked(&url, &stub, &arguments, async |question| {
        assert_eq!(question, "kill");
        gateway.kill_and_restart().await;
    });

    outcome.await.expect(6);
}
