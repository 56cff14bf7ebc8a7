//! The unmodified npm client against the `playground` example: every scenario of `original-client.cjs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Duration;

use tokensocket_tests::program::Program;

/// The script has limits of its own for each scenario; this one is for a script that hangs.
const LIMIT: Duration = Duration::from_secs(100);

#[tokio::test]
async fn the_original_client_is_served_unchanged() {
    let mut playground = Program::example("playground", &["--listen", "127.0.0.1:0"]);
    let port = playground.listening().await.port().to_string();
    let scenarios = Program::node("original-client.cjs", &["--list"]).finish(LIMIT).await.lines;
    assert!(!scenarios.is_empty(), "there are no scenarios");

    let arguments = ["all", "--port", &port, "--limit", "90"];
    let finished = Program::node("original-client.cjs", &arguments).finish(LIMIT).await;

    for line in &finished.lines {
        println!("{line}");
    }
    let failed: Vec<_> = finished.lines.iter().filter(|line| line.starts_with("not ok")).collect();
    assert!(failed.is_empty() && finished.success, "{failed:#?}");
    for scenario in scenarios {
        assert!(finished.lines.contains(&format!("ok {scenario}")), "{scenario} did not run");
    }
}
