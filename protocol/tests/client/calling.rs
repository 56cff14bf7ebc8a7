//! The user's calls: answers, deadlines, cancellation, lost connections.

use std::time::Duration;

use serde_json::json;
use tokensocket_protocol::ErrorCode;
use tokensocket_protocol::client::{CallError, Config};

use crate::driver::{Driver, SECOND, raw};

#[test]
fn answers_find_their_calls_in_any_order_and_count_once() {
    let mut driver = Driver::connected(Config::default());
    let (first, second) = (driver.call("a.b", &json!({ "x": 1 })), driver.call("c", &json!(2)));
    let sent = driver.sent.clone();
    assert_eq!((&sent[0]["rpc"], &sent[0]["req"]), (&json!("a.b"), &json!({ "x": 1 })));
    assert_ne!(sent[0]["uuid"], sent[1]["uuid"]);
    driver.answer(&sent[1], &json!({ "resp": [2] }));
    assert_eq!(driver.outcome(second), Some(&Ok(raw(&json!([2])))));
    assert_eq!(driver.outcome(first), None);
    driver.answer(&sent[1], &json!({ "resp": "again" }));
    driver.answer(&sent[0], &json!({}));
    assert_eq!(driver.outcome(first), Some(&Ok(raw(&json!(null)))));
    assert_eq!(driver.resolved.len(), 2);
}

#[test]
fn an_error_arrives_whole() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.call("a", &json!(1));
    let sent = driver.sent[0].clone();
    let error = json!({ "error": { "message": "boom" }, "code": "rate_limited", "details": [1] });
    driver.answer(&sent, &error);
    let Some(Err(CallError::Refused(failure))) = driver.outcome(call) else { panic!("no failure") };
    assert_eq!((failure.message.as_str(), failure.code), ("boom", Some(ErrorCode::RateLimited)));
    assert_eq!(failure.details, Some(raw(&json!([1]))));
}

#[test]
fn a_call_without_answer_times_out_and_the_server_is_told() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.session.handle_call(driver.now, "slow", raw(&json!(1)), Some(SECOND));
    driver.drain();
    let sent = driver.sent.pop().unwrap();
    assert_eq!(sent["timeout_ms"], 1000);
    driver.pass(Duration::from_millis(999));
    assert_eq!(driver.outcome(call), None);
    driver.pass(Duration::from_millis(1));
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Timeout)));
    let cancel = driver.sent.pop().unwrap();
    assert_eq!((&cancel["rpc"], &cancel["req"]["uuid"]), (&json!("_cancel"), &sent["uuid"]));
    driver.answer(&sent, &json!({ "resp": "late" }));
    assert_eq!(driver.resolved.len(), 1);
}

#[test]
fn whoever_notices_first_a_call_that_takes_too_long_times_out() {
    let mut driver = Driver::connected(Config::default());
    let timed = |driver: &mut Driver| {
        let call = driver.session.handle_call(driver.now, "slow", raw(&json!(1)), Some(SECOND));
        driver.drain();
        (call, driver.sent.pop().unwrap())
    };
    let error = json!({ "error": "Timeout", "code": "timeout" });
    // The driver is late, and the server's answer is read first.
    let (call, sent) = timed(&mut driver);
    driver.now += SECOND;
    driver.answer(&sent, &error);
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Timeout)));
    // An action's own error is the action's.
    let (call, sent) = timed(&mut driver);
    driver.answer(&sent, &error);
    assert!(matches!(driver.outcome(call), Some(Err(CallError::Refused(_)))));
}

#[test]
fn calls_have_the_default_timeout_also_while_they_wait() {
    let mut driver = Driver::new(Config::default());
    let call = driver.call("a", &json!(1));
    driver.pass(SECOND * 30);
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Timeout)));
    driver.start();
    driver.let_in();
    assert_eq!(driver.take_sent(), ["auth"]);
}

#[test]
fn the_time_in_the_queue_counts() {
    let mut driver = Driver::new(Config::default());
    driver.session.handle_call(driver.now, "a", raw(&json!(1)), Some(SECOND));
    driver.pass(Duration::from_millis(400));
    driver.start();
    driver.let_in();
    assert_eq!(driver.sent.last().unwrap()["timeout_ms"], 600);
}

#[test]
fn a_call_with_all_the_time_in_the_world_has_no_deadline() {
    let mut driver = Driver::connected(Config::default());
    driver.session.handle_call(driver.now, "a", raw(&json!(1)), Some(Duration::MAX));
    driver.drain();
    assert_eq!(driver.sent[0].get("timeout_ms"), None);
    driver.pass(SECOND * 100_000);
    assert!(driver.resolved.is_empty());
}

#[test]
fn cancelling_resolves_and_tells_the_server() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.call("slow", &json!(1));
    let sent = driver.sent.pop().unwrap();
    driver.cancel(call);
    driver.cancel(call);
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Cancelled)));
    assert_eq!(driver.sent.len(), 1);
    assert_eq!(driver.sent[0]["req"]["uuid"], sent["uuid"]);
    driver.answer(&sent, &json!({ "error": "cancelled", "code": "cancelled" }));
    assert_eq!(driver.resolved.len(), 1);
}

#[test]
fn an_original_server_hears_of_neither_deadlines_nor_cancellation() {
    let mut driver = Driver::connected_to_original(Config::default());
    let call = driver.call("slow", &json!(1));
    assert!(driver.sent[0].get("timeout_ms").is_none());
    driver.cancel(call);
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Cancelled)));
    assert_eq!(driver.take_sent(), ["slow"]);
}

#[test]
fn a_call_in_flight_fails_with_its_connection_and_is_not_sent_again() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.call("a", &json!(1));
    driver.cut();
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Disconnected)));
    driver.forget();
    driver.come_back();
    assert_eq!(driver.take_sent(), ["auth"]);
}

#[test]
fn publications_resolve_with_the_answer_of_a_server_that_gives_one() {
    let mut driver = Driver::connected(Config::default());
    let publish = driver.publish("c", &json!("5"));
    let sent = driver.sent.pop().unwrap();
    assert_eq!(sent["req"], json!({ "channel": "c", "data": "5" }));
    assert_eq!(driver.outcome(publish), None);
    driver.answer(&sent, &json!({ "error": "Forbidden" }));
    assert!(matches!(driver.outcome(publish), Some(Err(CallError::Refused(_)))));
    let broadcast = driver.session.handle_broadcast(driver.now, raw(&json!(1)));
    driver.drain();
    let sent = driver.sent.pop().unwrap();
    driver.answer(&sent, &json!({ "resp": "success" }));
    assert!(matches!(driver.outcome(broadcast), Some(Ok(_))));
}

#[test]
fn what_an_original_server_never_answers_resolves_when_sent() {
    let mut driver = Driver::connected_to_original(Config::default());
    driver.follow("c");
    let publish = driver.publish("c", &json!(1));
    let broadcast = driver.session.handle_broadcast(driver.now, raw(&json!(1)));
    let unsubscribe = driver.unsubscribe("c");
    for call in [publish, broadcast, unsubscribe] {
        assert!(matches!(driver.outcome(call), Some(Ok(_))));
    }
    assert_eq!(driver.take_sent(), ["_publish c", "_broadcast", "_unsubscribe c"]);
    driver.confirm_unsubscribe("c");
    assert!(driver.take_events().is_empty());
}

#[test]
fn a_message_over_the_servers_limit_is_not_sent() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.call("a", &json!("x".repeat(2000)));
    let Some(Err(CallError::TooLarge { bytes, max: 1000 })) = driver.outcome(call) else {
        panic!("not refused")
    };
    assert!(*bytes > 2000);
    assert!(driver.sent.is_empty());
}
