//! The scenarios of the gateway against a push service of npm's Socket.IO, its Redis adapter and Redis: they ask for
//! nothing that unmodified clients and servers do not do together.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::path::Path;

use serde_json::json;
use tokensocket_tests::engine::Redis;
use tokensocket_tests::program::Program;
use tokensocket_tests::scenarios::run;
use tokensocket_tests::site::Site;

/// What only our gateway does.
const OURS: [&str; 4] = [
    "names_that_are_the_clients_own_end_nobody",
    "nonsense_is_refused",
    "the_client_is_not_served_unless_configured",
    "the_key_may_be_a_bearer",
];

#[tokio::test]
async fn npm_servers_pass_what_the_gateway_must_pass() {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/peers");
    assert!(peer.join("node_modules").exists(), "run `npm ci` in benches/peers first");
    let (site, redis) = (Site::start().await, Redis::start().await);
    let url = site.url();
    let sites = json!({
        "newsite": {
            "authUrl": format!("{url}/socketrooms"), "authScheme": "Bearer", "apiKey": 54321,
            "userRoomPrefix": "user_", "updateUserUrl": format!("{url}/users/:id"), "publicChannel": "browse",
        },
        "site2": {
            "authUrl": format!("{url}/socketrooms2"), "authScheme": "Bearer", "apiKey": 98765,
            "userRoomPrefix": "user_",
        },
        "open": { "authUrl": format!("{url}/socketrooms/open"), "authScheme": "Bearer", "apiKey": 11111 },
        "trouble": {
            "authUrl": format!("{url}/socketrooms/trouble"), "authScheme": "Bearer", "apiKey": 22222,
            "userRoomPrefix": "user_",
        },
    });
    let script = peer.join("push.mjs");
    let environment = [("PUSH_SITES", sites.to_string()), ("REDIS_PORT", redis.port().to_string())];
    let mut server = Program::start_with("node", &[script.to_str().unwrap()], &environment);
    let port = server.line_after("listening ").await;

    let outcome = run(&format!("http://127.0.0.1:{port}"), &url, &["all", "--skip", &OURS.join(",")]).await;

    outcome.expect(300);
}
