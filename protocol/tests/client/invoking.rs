//! The server's calls of the client's actions.

use serde_json::{Value, json};
use tokensocket_protocol::RpcError;
use tokensocket_protocol::client::Config;

use crate::driver::{Driver, SECOND, raw};

fn call(driver: &mut Driver, fid: &str, extra: &Value) {
    let mut data = json!({ "fid": fid, "command": "a.b", "args": { "x": 1 } });
    data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    driver.receive(&json!({ "internal": true, "command": "rpc", "data": data }));
}

fn answer(driver: &mut Driver, fid: &str, outcome: Result<Value, RpcError>) {
    let outcome = outcome.map(|value| raw(&value)).map_err(Into::into);
    driver.session.handle_answer(driver.now, fid, outcome);
    driver.drain();
}

#[test]
fn an_invocation_is_answered_once_under_its_own_name() {
    let mut driver = Driver::connected(Config::default());
    call(&mut driver, "odd \"fid\"", &json!({}));
    assert_eq!(driver.invoked, [("odd \"fid\"".to_owned(), "a.b".to_owned(), raw(&json!({ "x": 1 })))]);
    answer(&mut driver, "odd \"fid\"", Ok(json!([1])));
    answer(&mut driver, "odd \"fid\"", Ok(json!([2])));
    answer(&mut driver, "nobody asked", Ok(json!(1)));
    assert_eq!(driver.sent, [json!({ "rpc": "_rpc", "fid": "odd \"fid\"", "resp": { "data": [1] } })]);
}

#[test]
fn an_unknown_action_is_answered_with_an_error() {
    let mut driver = Driver::connected(Config::default());
    call(&mut driver, "f", &json!({}));
    let failure = driver.session.not_found();
    driver.session.handle_answer(driver.now, "f", Err(failure));
    driver.drain();
    let expected = json!({ "error": "Function not found", "code": "not_found" });
    assert_eq!(driver.sent[0]["resp"], expected);
}

#[test]
fn the_server_can_cancel() {
    let mut driver = Driver::connected(Config::default());
    call(&mut driver, "f", &json!({}));
    for _ in 0..2 {
        driver.receive(&json!({ "internal": true, "command": "cancel", "data": { "fid": "f" } }));
    }
    assert_eq!(driver.cancelled, ["f"]);
    answer(&mut driver, "f", Ok(json!(1)));
    assert_eq!(driver.sent.len(), 1);
    assert_eq!(driver.sent[0]["resp"]["code"], "cancelled");
}

#[test]
fn the_servers_deadline_stops_an_action() {
    let mut driver = Driver::connected(Config::default());
    call(&mut driver, "f", &json!({ "timeout_ms": 1000 }));
    driver.pass(SECOND);
    assert_eq!(driver.cancelled, ["f"]);
    answer(&mut driver, "f", Ok(json!(1)));
    assert_eq!(driver.sent.len(), 1);
    assert_eq!(driver.sent[0]["resp"]["code"], "timeout");
}

#[test]
fn a_lost_connection_stops_its_actions_and_drops_their_answers() {
    let mut driver = Driver::connected(Config::default());
    call(&mut driver, "f", &json!({}));
    driver.cut();
    assert_eq!(driver.cancelled, ["f"]);
    driver.forget();
    driver.come_back();
    answer(&mut driver, "f", Ok(json!(1)));
    assert_eq!(driver.take_sent(), ["auth"]);
}

#[test]
fn more_calls_than_allowed_are_answered_as_overload() {
    let mut config = Config::default();
    config.max_invocations = 1;
    let mut driver = Driver::connected(config);
    call(&mut driver, "f", &json!({}));
    call(&mut driver, "g", &json!({}));
    call(&mut driver, "f", &json!({}));
    assert_eq!(driver.invoked.len(), 1);
    assert_eq!(driver.sent.len(), 1);
    assert_eq!(
        (&driver.sent[0]["fid"], &driver.sent[0]["resp"]["code"]),
        (&json!("g"), &json!("overloaded"))
    );
}

#[test]
fn an_answer_over_the_servers_limit_becomes_an_error() {
    let mut driver = Driver::connected(Config::default());
    call(&mut driver, "f", &json!({}));
    answer(&mut driver, "f", Ok(json!("x".repeat(2000))));
    assert_eq!(driver.sent[0]["resp"]["code"], "too_large");
}
