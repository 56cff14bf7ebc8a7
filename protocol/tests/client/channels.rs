//! Channels: confirmed, refused, renewed, lost, taken back.

use serde_json::json;
use tokensocket_protocol::client::{CallError, Config, Event, Publication};

use crate::driver::{Driver, SECOND, raw};

fn channels(driver: &Driver) -> Vec<String> {
    driver.session.channels().iter().map(ToString::to_string).collect()
}

#[test]
fn a_subscribe_resolves_with_the_servers_frame() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.subscribe("c");
    let sent = driver.sent[0].clone();
    assert_eq!(driver.outcome(call), None);
    driver.confirm_subscribe(&sent);
    driver.confirm_subscribe(&sent);
    assert!(matches!(driver.outcome(call), Some(Ok(_))));
    assert_eq!(channels(&driver), ["c"]);
}

#[test]
fn an_original_server_confirms_without_naming_the_request() {
    let mut driver = Driver::connected_to_original(Config::default());
    let (first, second) = (driver.subscribe("c"), driver.subscribe("c"));
    let confirmation = json!({ "internal": true, "command": "subscribe", "data": { "channel": "c" } });
    driver.receive(&confirmation);
    assert!(matches!(driver.outcome(first), Some(Ok(_))));
    assert_eq!(driver.outcome(second), None);
    driver.receive(&confirmation);
    assert!(matches!(driver.outcome(second), Some(Ok(_))));
}

#[test]
fn a_refused_channel_is_not_wanted() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.subscribe("c");
    let sent = driver.sent[0].clone();
    driver.answer(&sent, &json!({ "error": "Forbidden" }));
    assert!(matches!(driver.outcome(call), Some(Err(CallError::Refused(_)))));
    assert!(channels(&driver).is_empty() && driver.take_events().is_empty());
}

#[test]
fn a_subscribe_made_while_disconnected_resolves_once_subscribed() {
    let mut driver = Driver::new(Config::default());
    let call = driver.subscribe("c");
    driver.start();
    driver.let_in();
    let sent = driver.sent.pop().unwrap();
    assert_eq!(driver.outcome(call), None);
    driver.confirm_subscribe(&sent);
    assert!(matches!(driver.outcome(call), Some(Ok(_))));
}

#[test]
fn a_subscribe_in_flight_survives_the_connection() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.subscribe("c");
    driver.cut();
    assert_eq!(driver.outcome(call), None);
    driver.forget();
    driver.come_back();
    let sent = driver.sent.pop().unwrap();
    driver.confirm_subscribe(&sent);
    assert!(matches!(driver.outcome(call), Some(Ok(_))));
    assert_eq!(driver.take_sent(), ["auth"]);
}

#[test]
fn an_unsubscribe_in_flight_has_what_it_wants_when_the_connection_is_lost() {
    let mut driver = Driver::connected(Config::default());
    driver.follow("c");
    let call = driver.unsubscribe("c");
    driver.cut();
    assert!(matches!(driver.outcome(call), Some(Ok(_))));
    driver.forget();
    driver.come_back();
    assert_eq!(driver.take_sent(), ["auth"]);
}

#[test]
fn channels_come_back_in_the_order_in_which_they_were_wanted() {
    let mut driver = Driver::connected(Config::default());
    for channel in ["b", "a", "d", "c"] {
        driver.follow(channel);
    }
    driver.unsubscribe("d");
    driver.cut();
    driver.forget();
    driver.come_back();
    assert_eq!(driver.take_sent(), ["auth", "_subscribe b", "_subscribe a", "_subscribe c"]);
}

#[test]
fn a_refused_renewal_is_reported_once() {
    let mut driver = Driver::connected(Config::default());
    driver.follow("c");
    driver.cut();
    driver.forget();
    driver.come_back();
    driver.take_events();
    let sent = driver.sent.pop().unwrap();
    driver.answer(&sent, &json!({ "error": "Forbidden" }));
    driver.answer(&sent, &json!({ "error": "Forbidden" }));
    let events = driver.take_events();
    assert!(
        matches!(&events[..], [Event::SubscriptionLost { channel, failure: Some(failure) }]
            if channel == "c" && failure.message == "Forbidden"),
        "{events:?}"
    );
    assert!(channels(&driver).is_empty());
}

#[test]
fn the_server_may_add_and_remove_channels() {
    let mut driver = Driver::connected(Config::default());
    let data = json!({ "channel": "given" });
    driver.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
    assert_eq!(channels(&driver), ["given"]);
    driver.confirm_unsubscribe("given");
    driver.confirm_unsubscribe("given");
    let lost = Event::SubscriptionLost { channel: "given".to_owned(), failure: None };
    assert_eq!(driver.take_events(), [lost]);
    assert!(channels(&driver).is_empty());
}

#[test]
fn a_late_confirmation_does_not_bring_back_an_unsubscribed_channel() {
    let mut driver = Driver::connected(Config::default());
    driver.subscribe("c");
    let sent = driver.sent[0].clone();
    driver.unsubscribe("c");
    driver.confirm_subscribe(&sent);
    assert!(channels(&driver).is_empty());
}

#[test]
fn the_end_of_the_old_subscription_does_not_end_the_new_one() {
    let mut driver = Driver::connected(Config::default());
    driver.follow("c");
    driver.unsubscribe("c");
    driver.subscribe("c");
    let sent = driver.sent.last().unwrap().clone();
    driver.confirm_unsubscribe("c");
    driver.confirm_subscribe(&sent);
    assert_eq!(channels(&driver), ["c"]);
    assert!(driver.take_events().is_empty());
}

#[test]
fn of_two_subscribes_the_refused_one_does_not_undo_the_other() {
    let mut driver = Driver::connected(Config::default());
    let (first, second) = (driver.subscribe("c"), driver.subscribe("c"));
    let sent = driver.sent.clone();
    driver.answer(&sent[0], &json!({ "error": "busy" }));
    driver.confirm_subscribe(&sent[1]);
    assert!(matches!(driver.outcome(first), Some(Err(_))));
    assert!(matches!(driver.outcome(second), Some(Ok(_))));
    assert_eq!(channels(&driver), ["c"]);
    driver.subscribe("c");
    let third = driver.sent.last().unwrap().clone();
    driver.answer(&third, &json!({ "error": "busy" }));
    assert_eq!(channels(&driver), ["c"], "the server still has the earlier one");
}

#[test]
fn a_subscribe_that_is_given_up_is_taken_back() {
    let mut driver = Driver::connected(Config::default());
    let call = driver.subscribe("c");
    let sent = driver.sent[0].clone();
    driver.pass(SECOND * 30);
    assert_eq!(driver.outcome(call), Some(&Err(CallError::Timeout)));
    assert_eq!(driver.take_sent(), ["_subscribe c", "_unsubscribe c"]);
    driver.confirm_subscribe(&sent);
    driver.confirm_unsubscribe("c");
    assert!(channels(&driver).is_empty() && driver.take_events().is_empty());

    driver.follow("d");
    let call = driver.subscribe("d");
    driver.cancel(call);
    assert_eq!(driver.take_sent(), ["_subscribe d"], "what was followed before stays");
    assert_eq!(channels(&driver), ["d"]);

    let call = driver.subscribe("e");
    driver.cut();
    driver.cancel(call);
    driver.forget();
    driver.come_back();
    assert_eq!(driver.take_sent(), ["auth", "_subscribe d"]);
}

#[test]
fn a_refused_unsubscribe_fails_and_the_channel_does_not_come_back() {
    let mut driver = Driver::connected(Config::default());
    driver.follow("c");
    let call = driver.unsubscribe("c");
    let sent = driver.sent.pop().unwrap();
    driver.answer(&sent, &json!({ "error": "Forbidden" }));
    assert!(matches!(driver.outcome(call), Some(Err(CallError::Refused(_)))));
    driver.cut();
    driver.forget();
    driver.come_back();
    assert_eq!(driver.take_sent(), ["auth"]);
}

#[test]
fn a_publication_that_needs_no_reading_is_told_at_once() {
    let mut config = Config::default();
    config.ping = Some(30 * SECOND);
    config.pong_timeout = 10 * SECOND;
    let mut driver = Driver::connected(config);
    driver.pass(30 * SECOND);
    assert_eq!(driver.wait(), 10 * SECOND);
    assert_eq!(driver.session.handle_publication(None), Publication::Tell);
    assert_eq!(driver.wait(), 30 * SECOND, "it shows that the server lives");
    assert!(driver.session.poll_output().is_none());
}

#[test]
fn a_publication_does_not_overtake_what_came_before() {
    let mut driver = Driver::connected(Config::default());
    driver.session.handle_text(driver.now, &json!({ "channel": "c", "message": "1" }).to_string().into());
    assert_eq!(driver.session.handle_publication(None), Publication::Long);
    driver.drain();
    assert_eq!(driver.session.handle_publication(None), Publication::Tell);
}

#[test]
fn a_publication_counts_only_once_the_server_has_let_us_in() {
    let mut driver = Driver::new(Config::default());
    assert_eq!(driver.session.handle_publication(None), Publication::Long);
    driver.start();
    driver.open();
    assert_eq!(driver.session.handle_publication(None), Publication::Long);
    driver.let_in();
    assert_eq!(driver.session.handle_publication(None), Publication::Tell);
    driver.cut();
    assert_eq!(driver.session.handle_publication(None), Publication::Long);
    driver.end();
    assert_eq!(driver.session.handle_publication(None), Publication::Long);
}

#[test]
fn publications_are_messages() {
    let mut driver = Driver::connected(Config::default());
    driver.receive(&json!({ "channel": "c", "message": "5" }));
    let message = Event::Message { channel: "c".to_owned(), message: raw(&json!("5")) };
    assert_eq!(driver.take_events(), [message]);
}
