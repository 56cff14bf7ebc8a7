//! What waits to be sent: order and bounds.

use serde_json::json;
use tokensocket_protocol::client::{CallError, Config, WhenFull};

use crate::driver::Driver;

fn small(when_full: WhenFull) -> Config {
    let mut config = Config::default();
    config.queue_calls = 2;
    config.queue_bytes = 1000;
    config.when_full = when_full;
    config
}

#[test]
fn requests_go_out_in_order_after_the_channels() {
    let mut driver = Driver::connected(Config::default());
    driver.follow("old");
    driver.cut();
    driver.call("first", &json!(1));
    driver.publish("old", &json!(1));
    driver.subscribe("new");
    driver.call("last", &json!(1));
    driver.forget();
    driver.come_back();
    assert_eq!(
        driver.take_sent(),
        ["auth", "_subscribe old", "first", "_publish old", "_subscribe new", "last"]
    );
}

#[test]
fn a_full_queue_refuses_the_new_call() {
    let mut driver = Driver::new(small(WhenFull::RefuseNew));
    let calls: Vec<_> = (0..3).map(|_| driver.call("a", &json!(1))).collect();
    assert_eq!(driver.resolved, [(calls[2], Err(CallError::Overloaded))]);
}

#[test]
fn a_full_queue_drops_the_oldest_when_told_so() {
    let mut driver = Driver::new(small(WhenFull::DropOldest));
    let calls: Vec<_> = (0..3).map(|_| driver.call("a", &json!(1))).collect();
    assert_eq!(driver.resolved, [(calls[0], Err(CallError::Overloaded))]);
}

#[test]
fn bytes_count_too() {
    let large = json!("x".repeat(600));
    let mut driver = Driver::new(small(WhenFull::RefuseNew));
    driver.call("a", &large);
    let call = driver.call("a", &large);
    assert_eq!(driver.resolved, [(call, Err(CallError::Overloaded))]);

    let mut driver = Driver::new(small(WhenFull::DropOldest));
    let kept = driver.call("a", &json!(1));
    let call = driver.call("a", &json!("x".repeat(2000)));
    assert_eq!(driver.resolved, [(call, Err(CallError::Overloaded))], "and drops nobody in vain");
    driver.start();
    driver.let_in();
    assert_eq!(driver.outcome(kept), None);
}

#[test]
fn a_cancelled_call_leaves_the_queue() {
    let mut driver = Driver::new(small(WhenFull::RefuseNew));
    let first = driver.call("a", &json!(1));
    driver.call("b", &json!(1));
    driver.cancel(first);
    driver.call("c", &json!(1));
    driver.start();
    driver.let_in();
    assert_eq!(driver.take_sent(), ["auth", "b", "c"]);
}

#[test]
fn calls_over_the_limit_in_flight_wait_their_turn() {
    let mut config = Config::default();
    config.max_in_flight = 2;
    let mut driver = Driver::connected(config);
    let calls: Vec<_> = ["a", "b", "c", "d"].map(|path| driver.call(path, &json!(1))).to_vec();
    let sent = driver.sent.clone();
    assert_eq!(driver.take_sent(), ["a", "b"]);
    driver.answer(&sent[1], &json!({ "resp": 1 }));
    assert_eq!(driver.take_sent(), ["c"]);
    driver.cancel(calls[0]);
    assert_eq!(driver.take_sent(), ["_cancel", "d"]);
}

#[test]
fn a_queue_that_holds_nothing_still_lets_calls_through() {
    let mut config = small(WhenFull::DropOldest);
    config.queue_calls = 0;
    let mut driver = Driver::connected(config);
    driver.call("a", &json!(1));
    assert_eq!(driver.take_sent(), ["a"]);
    driver.cut();
    let call = driver.call("b", &json!(1));
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Overloaded)));
}
