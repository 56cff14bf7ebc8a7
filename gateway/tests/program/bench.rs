//! `bench` reaches the load generator.

use crate::program::{Gateway, run};

#[tokio::test]
async fn measures_the_server() {
    let gateway = Gateway::start().await;
    let bench = ["bench", "--url", &gateway.url, "--seconds", "0.2", "--warm-up", "0.05"];
    let ended = run(&[&bench[..], &["calls", "--sockets", "2"]].concat()).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.out.contains("per second"), "{ended:?}");
    let ended = run(&[&bench[..], &["--json", "fanout", "--subscribers", "3"]].concat()).await;
    assert_eq!(ended.status, 0, "{ended:?}");
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["unit"], "deliveries");
}

#[tokio::test]
async fn says_what_is_wrong_with_the_target() {
    let ended = run(&["bench", "--url", "nonsense", "calls"]).await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("http://HOST:PORT"), "{ended:?}");
}
