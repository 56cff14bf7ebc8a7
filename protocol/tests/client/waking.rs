//! A hint to look at the connection now: what it brings forward, and what it leaves alone.

use std::time::Duration;

use serde_json::json;
use tokensocket_protocol::Close;
use tokensocket_protocol::client::{Config, ConnectionError, Event, State};

use crate::driver::{Driver, SECOND};

fn pinging() -> Config {
    let mut config = Config::default();
    config.ping = Some(30 * SECOND);
    config.pong_timeout = 10 * SECOND;
    config
}

fn wake(driver: &mut Driver) {
    driver.session.handle_wake(driver.now);
    driver.drain();
}

#[test]
fn an_attempt_that_waits_is_made_at_once() {
    let mut driver = Driver::connected(Config::default());
    driver.receive(&json!({ "internal": true, "command": "reconnect", "data": { "after_ms": 60_000 } }));
    driver.cut();
    assert_eq!((driver.session.state(), driver.wait()), (State::Disconnected, 60 * SECOND));
    let requests = driver.token_requests;
    wake(&mut driver);
    assert_eq!((driver.session.state(), driver.token_requests), (State::Connecting, requests + 1));
    driver.let_in();
    assert!(driver.take_events().contains(&Event::Reconnect(Ok(()))));
}

#[test]
fn an_attempt_under_way_is_left_alone() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    wake(&mut driver);
    driver.open();
    wake(&mut driver);
    assert_eq!((driver.token_requests, driver.opens, driver.sent.len()), (1, 1, 1));
}

#[test]
fn a_ready_session_pings_at_once_and_the_pong_timeout_decides() {
    let mut driver = Driver::connected(pinging());
    driver.pass(5 * SECOND);
    wake(&mut driver);
    assert_eq!(driver.take_sent(), ["_ping"]);
    assert_eq!(driver.wait(), 10 * SECOND);
    driver.pass(10 * SECOND);
    assert_eq!(driver.closes, [Close::PEER_SILENT]);
    assert_eq!(driver.take_events(), [Event::Disconnected(ConnectionError::Silent)]);
}

#[test]
fn a_pong_after_waking_keeps_the_connection() {
    let mut driver = Driver::connected(pinging());
    wake(&mut driver);
    let ping = driver.sent.last().unwrap().clone();
    driver.answer(&ping, &json!({ "resp": { "message": "pong" } }));
    driver.pass(29 * SECOND);
    assert_eq!((driver.session.state(), driver.take_sent().len()), (State::Ready, 1));
    driver.pass(SECOND);
    assert_eq!(driver.take_sent(), ["_ping"], "the next one counts from the last");
}

#[test]
fn waking_again_neither_pings_twice_nor_puts_the_verdict_off() {
    let mut driver = Driver::connected(pinging());
    wake(&mut driver);
    driver.pass(9 * SECOND);
    wake(&mut driver);
    assert_eq!((driver.take_sent().len(), driver.wait()), (1, SECOND));
}

#[test]
fn a_pong_that_is_overdue_after_a_long_sleep_is_asked_for_anew() {
    let mut driver = Driver::connected(pinging());
    driver.pass(30 * SECOND);
    assert_eq!(driver.take_sent(), ["_ping"]);
    // Nothing ran meanwhile, neither timers nor the socket's events.
    driver.now += Duration::from_hours(8);
    wake(&mut driver);
    assert_eq!(driver.take_sent(), ["_ping"]);
    assert_eq!((driver.session.state(), driver.wait()), (State::Ready, 10 * SECOND));
}

#[test]
fn without_pings_or_after_the_end_nothing_happens() {
    let mut driver = Driver::connected(Config::default());
    wake(&mut driver);
    assert_eq!((driver.sent.len(), driver.session.state()), (0, State::Ready));
    driver.end();
    let requests = driver.token_requests;
    wake(&mut driver);
    assert_eq!((driver.token_requests, driver.session.state()), (requests, State::Ended));
}
