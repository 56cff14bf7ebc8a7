//! From the token to ready, and back again.

use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_protocol::client::{CallError, Config, ConnectionError, Event, State};
use tokensocket_protocol::{Close, ErrorCode, Token};

use crate::driver::{Driver, SECOND};

fn no_reconnect() -> Config {
    let mut config = Config::default();
    config.reconnect = false;
    config
}

fn broken() -> ConnectionError {
    ConnectionError::Token("status 500".to_owned())
}

#[test]
fn sends_auth_first_with_the_token_as_it_came_and_a_hello() {
    let mut driver = Driver::new(Config::default());
    driver.call("early", &json!(1));
    driver.start();
    assert_eq!((driver.token_requests, driver.opens), (1, 0));
    driver.open();
    assert_eq!(driver.sent.len(), 1);
    let auth = &driver.sent[0];
    assert_eq!((&auth["rpc"], &auth["token"]), (&json!("auth"), &json!("opaque")));
    assert_eq!(auth["client"]["features"], json!(["cancel", "reconnect", "history", "presence", "delivery"]));
    Token::parse(auth["uuid"].as_str().unwrap()).expect("a canonical UUID v4");
    driver.answer_auth(&json!({ "resp": "success" }));
    assert_eq!(driver.take_sent(), ["auth", "early"]);
}

#[test]
fn tells_nothing_about_itself_when_told_so() {
    let mut config = Config::default();
    config.hello = None;
    let mut driver = Driver::new(config);
    driver.start();
    driver.open();
    assert!(driver.sent[0].get("client").is_none());
}

#[test]
fn ready_comes_once_and_reconnect_each_time_after() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.let_in();
    assert_eq!(driver.take_events(), [Event::Ready(Ok(()))]);
    driver.cut();
    driver.come_back();
    let cut = ConnectionError::Transport("cut".to_owned());
    assert_eq!(driver.take_events(), [Event::Disconnected(cut), Event::Reconnect(Ok(()))]);
    assert_eq!((driver.token_requests, driver.opens), (2, 2), "each attempt asks for a new token");
}

#[test]
fn a_first_attempt_that_fails_is_ready_with_an_error_and_later_ones_are_reconnects() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.refuse_token(broken());
    assert_eq!(driver.take_events(), [Event::Ready(Err(broken()))]);
    driver.tick();
    driver.refuse_token(broken());
    assert_eq!(driver.take_events(), [Event::Reconnect(Err(broken()))]);
    driver.come_back();
    assert_eq!(driver.take_events(), [Event::Reconnect(Ok(()))]);
}

#[test]
fn delays_grow_to_five_seconds_and_start_over_once_authenticated() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    for least in [10, 50, 250, 1250, 5000, 5000] {
        driver.refuse_token(broken());
        let delay = driver.wait().as_millis();
        assert!((least..=least + least / 2).contains(&delay), "{delay} for {least}");
        driver.tick();
    }
    driver.let_in();
    driver.cut();
    let delay = driver.wait();
    assert!(delay <= Duration::from_millis(15), "{delay:?}");
}

#[test]
fn a_connection_that_never_authenticates_does_not_reset_the_delay() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    for least in [10, 50, 250] {
        driver.open();
        driver.cut();
        let delay = driver.wait().as_millis();
        assert!(delay >= least, "{delay} for {least}");
        driver.tick();
    }
}

#[test]
fn a_hint_takes_the_place_of_the_next_delay() {
    let mut driver = Driver::connected(Config::default());
    driver.receive(&json!({ "internal": true, "command": "reconnect", "data": { "after_ms": 777 } }));
    driver.close(ConnectionError::Closed(Close::RESTART));
    assert_eq!(driver.wait(), Duration::from_millis(777));
}

#[test]
fn a_refused_first_token_request_ends_the_session_and_every_call() {
    let mut driver = Driver::new(Config::default());
    let call = driver.call("a", &json!(1));
    driver.start();
    let refused = ConnectionError::Refused("Forbidden".to_owned());
    driver.refuse_token(refused.clone());
    assert_eq!(driver.take_events(), [Event::Ready(Err(refused))]);
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Ended)));
    assert_eq!((driver.session.state(), driver.session.poll_timeout()), (State::Ended, None));
}

#[test]
fn a_token_request_that_is_refused_later_is_tried_again() {
    let mut driver = Driver::connected(Config::default());
    driver.cut();
    driver.tick();
    driver.refuse_token(ConnectionError::Refused("Forbidden".to_owned()));
    driver.come_back();
    assert_eq!(driver.session.state(), State::Ready);
}

fn refused_auth(answer: &Value) -> Driver {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.open();
    driver.answer_auth(answer);
    assert!(driver.take_events().is_empty(), "the close says whether to come back");
    driver
}

#[test]
fn a_refused_token_is_tried_again_with_a_new_one() {
    let error = ConnectionError::Auth { message: "Token not found".to_owned(), code: None };
    let mut driver = refused_auth(&json!({ "error": "Token not found" }));
    driver.close(ConnectionError::Closed(Close::UNAUTHENTICATED));
    assert_eq!(driver.take_events(), [Event::Ready(Err(error.clone()))]);
    driver.come_back();
    assert_eq!(driver.token_requests, 2);

    let mut driver = refused_auth(&json!({ "error": "Token not found" }));
    driver.pass(SECOND);
    assert_eq!(driver.take_events(), [Event::Ready(Err(error))], "also when the close never comes");
    assert_eq!(driver.closes, [Close::NORMAL]);
}

#[test]
fn a_forbidden_identity_stays_away() {
    let mut driver = refused_auth(&json!({ "error": "Forbidden", "code": "forbidden" }));
    driver.cut();
    let error = ConnectionError::Auth { message: "Forbidden".to_owned(), code: Some(ErrorCode::Forbidden) };
    assert_eq!(driver.take_events(), [Event::Ready(Err(error))]);
    assert_eq!(driver.session.state(), State::Ended);

    let mut driver = refused_auth(&json!({ "error": "banned", "code": "internal" }));
    driver.close(ConnectionError::Closed(Close::FORBIDDEN));
    assert_eq!(driver.session.state(), State::Ended);

    let mut driver = Driver::connected(Config::default());
    driver.close(ConnectionError::Closed(Close::FORBIDDEN));
    assert_eq!(driver.session.state(), State::Ended);
}

#[test]
fn without_reconnect_a_lost_connection_is_the_end() {
    let mut driver = Driver::connected(no_reconnect());
    let call = driver.call("a", &json!(1));
    driver.cut();
    assert!(matches!(driver.outcome(call), Some(Err(CallError::Disconnected))));
    assert_eq!(driver.session.state(), State::Ended);
    let late = driver.call("b", &json!(1));
    assert_eq!(driver.outcome(late), Some(&Err(CallError::Ended)));
}

#[test]
fn an_attempt_that_hangs_at_any_step_is_given_up() {
    for steps in 0..3 {
        let mut driver = Driver::new(Config::default());
        driver.start();
        if steps > 0 {
            driver.session.handle_token(driver.now, Ok("t".to_owned()));
        }
        if steps > 1 {
            driver.session.handle_opened(driver.now);
        }
        driver.pass(Duration::from_millis(20_001));
        assert_eq!(driver.take_events(), [Event::Ready(Err(ConnectionError::Timeout))], "{steps}");
        assert_eq!(driver.closes, [Close::GOING_AWAY], "{steps}");
        driver.come_back();
        assert_eq!(driver.session.state(), State::Ready);
    }
}

#[test]
fn a_detour_before_auth_opens_again_with_the_same_token() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.session.handle_token(driver.now, Ok("first".to_owned()));
    driver.drain();
    driver.session.handle_detour();
    driver.drain();
    assert_eq!((driver.token_requests, driver.opens), (1, 2));
    driver.session.handle_opened(driver.now);
    driver.drain();
    assert_eq!(driver.sent[0]["token"], "first");
    driver.answer_auth(&json!({ "resp": "success" }));
    assert_eq!(driver.take_events(), [Event::Ready(Ok(()))], "nobody heard of it");
}

#[test]
fn a_detour_after_auth_was_sent_asks_for_a_new_token() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.open();
    driver.session.handle_detour();
    driver.drain();
    assert_eq!((driver.token_requests, driver.opens), (2, 1));
    assert_eq!((driver.session.state(), driver.closes.len()), (State::Connecting, 0));
    driver.let_in();
    assert_eq!(driver.take_sent(), ["auth", "auth"]);
    assert_eq!(driver.take_events(), [Event::Ready(Ok(()))], "nobody heard of it");
}

#[test]
fn detours_do_not_lengthen_an_attempt_and_mean_nothing_outside_one() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    let deadline = driver.session.poll_timeout();
    driver.open();
    driver.session.handle_detour();
    driver.drain();
    assert_eq!(driver.session.poll_timeout(), deadline);
    driver.let_in();
    driver.session.handle_detour();
    driver.drain();
    assert_eq!((driver.session.state(), driver.token_requests), (State::Ready, 2));
}

#[test]
fn pings_as_often_as_told_and_a_missing_pong_means_dead() {
    let mut config = Config::default();
    config.ping = Some(SECOND);
    let mut driver = Driver::connected(config);
    for _ in 0..3 {
        driver.tick();
        let ping = driver.sent.pop().unwrap();
        assert_eq!((&ping["rpc"], &ping["req"]), (&json!("_ping"), &json!({})));
        driver.answer(&ping, &json!({ "error": "Function not found" }));
    }
    assert_eq!(driver.session.state(), State::Ready, "any answer shows that the server lives");
    driver.pass(SECOND * 12);
    assert_eq!(driver.closes, [Close::PEER_SILENT]);
    assert!(driver.take_events().contains(&Event::Disconnected(ConnectionError::Silent)));
    assert_eq!(driver.token_requests, 2);
}

#[test]
fn pings_as_often_as_the_server_asks_when_not_told() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.open();
    driver.answer_auth(&json!({ "resp": "success", "session": { "ping_ms": 2500 } }));
    driver.forget();
    assert_eq!(driver.session.poll_timeout(), Some(driver.now + Duration::from_millis(2500)));
    driver.tick();
    assert_eq!(driver.take_sent(), ["_ping"]);
    assert_eq!(Driver::connected_to_original(Config::default()).session.poll_timeout(), None);
}

#[test]
fn ending_resolves_everything_and_closes_after_what_was_sent() {
    let mut driver = Driver::connected(Config::default());
    let sent = driver.call("a", &json!(1));
    driver.end();
    assert_eq!(driver.outcome(sent), Some(&Err(CallError::Ended)));
    assert_eq!(driver.closes, [Close::NORMAL]);
    assert_eq!((driver.session.state(), driver.session.poll_timeout()), (State::Ended, None));
    driver.end();
    driver.start();
    driver.cut();
    assert_eq!((driver.closes.len(), driver.token_requests), (1, 1));
}

#[test]
fn ending_before_the_first_attempt_is_over_still_tells_ready() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.end();
    assert_eq!(driver.take_events(), [Event::Ready(Err(ConnectionError::Ended))]);
    assert_eq!(driver.closes, [Close::NORMAL], "the token request is abandoned");
}

#[test]
fn garbage_and_what_nobody_knows_is_ignored() {
    let mut driver = Driver::connected(Config::default());
    for text in ["", "o", "null", "[]", "{}", "{\"rpc\":5}", "{\"error\":\"Invalid message\"}"] {
        driver.receive_text(text);
        assert_eq!(driver.take_events(), [Event::Ignored], "{text}");
    }
    assert_eq!(driver.session.state(), State::Ready);
}

#[test]
fn before_auth_the_server_calls_nothing() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.open();
    let data = json!({ "fid": "f", "command": "a" });
    driver.receive(&json!({ "internal": true, "command": "rpc", "data": data }));
    driver.receive(&json!({ "rpc": "auth", "uuid": "another", "resp": "success" }));
    assert!(driver.invoked.is_empty());
    assert_eq!((driver.session.state(), driver.sent.len()), (State::Connecting, 1));
}
