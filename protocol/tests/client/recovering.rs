//! Channels with history: each publication once, in order, and a plain word when some are lost.

use serde_json::{Value, json};
use tokensocket_protocol::client::{Config, Event, State, SubscribeOptions};
use tokensocket_protocol::{Channel, Epoch, Position, RawJson};

use crate::driver::{Driver, raw};

fn position(epoch: &str, offset: u64) -> Position {
    Position::new(Epoch::new(epoch).unwrap(), offset).unwrap()
}

fn message(channel: &str, value: u64) -> Event<RawJson> {
    Event::Message { channel: channel.to_owned(), message: raw(&json!(value)) }
}

fn recovered(channel: &str, values: &[u64]) -> Event<RawJson> {
    let publications = values.iter().map(|value| raw(&json!(value))).collect();
    Event::Recovered { channel: channel.to_owned(), publications }
}

fn unrecovered(channel: &str) -> Event<RawJson> {
    Event::Unrecovered { channel: channel.to_owned() }
}

impl Driver {
    /// The server confirms a subscribe, with fields of its own.
    fn join(&mut self, message: &Value, fields: &Value) {
        let mut data = message.clone();
        data["channel"] = message["req"]["channel"].clone();
        data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
    }

    /// Subscribes to a channel that stands at this offset of the epoch `e`.
    fn follow_from(&mut self, channel: &str, offset: u64) {
        self.subscribe(channel);
        let sent = self.sent.last().unwrap().clone();
        self.join(&sent, &json!({ "epoch": "e", "offset": offset }));
        self.forget();
    }

    fn offset(&mut self, channel: &str, offset: u64) {
        self.receive(&json!({ "channel": channel, "message": offset, "offset": offset }));
    }

    /// Loses the connection, comes back, and gives the renewal of the only channel.
    fn renew(&mut self) -> Value {
        self.cut();
        self.forget();
        self.come_back();
        self.take_events();
        let sent = self.sent.pop().unwrap();
        assert_eq!(sent["rpc"], "_subscribe");
        sent
    }

    fn position(&self, channel: &str) -> Option<Position> {
        self.session.position(&Channel::new(channel).unwrap()).cloned()
    }
}

fn past(offsets: &[u64]) -> Value {
    offsets.iter().map(|offset| json!({ "offset": offset, "message": offset })).collect()
}

#[test]
fn goes_on_where_it_stood() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    driver.offset("c", 5);
    assert_eq!(driver.take_events(), [message("c", 5)]);
    let renewal = driver.renew();
    assert_eq!(renewal["req"], json!({ "channel": "c", "recover": { "epoch": "e", "offset": 5 } }));
    driver.join(
        &renewal,
        &json!({ "epoch": "e", "offset": 7, "recovered": true, "publications": past(&[6, 7]) }),
    );
    driver.offset("c", 8);
    assert_eq!(driver.take_events(), [recovered("c", &[6, 7]), message("c", 8)]);
    assert_eq!(driver.position("c"), Some(position("e", 8)));
}

#[test]
fn a_channel_on_which_nothing_was_missed_is_recovered() {
    for recovery in
        [json!({ "recovered": true, "publications": [] }), json!({ "recovered": false }), json!({})]
    {
        let mut driver = Driver::connected(Config::default());
        driver.follow_from("c", 4);
        let renewal = driver.renew();
        let mut fields = json!({ "epoch": "e", "offset": 4 });
        fields.as_object_mut().unwrap().extend(recovery.as_object().unwrap().clone());
        driver.join(&renewal, &fields);
        assert_eq!(driver.take_events(), [recovered("c", &[])], "{recovery}");
    }
}

#[test]
fn says_so_when_something_is_lost() {
    for fields in [
        json!({ "epoch": "e", "offset": 9, "recovered": false }),
        json!({ "epoch": "f", "offset": 0, "recovered": false }),
        json!({ "epoch": "f", "offset": 4, "recovered": true, "publications": past(&[5]) }),
        json!({ "epoch": "e", "offset": 9 }),
        json!({}),
    ] {
        let mut driver = Driver::connected(Config::default());
        driver.follow_from("c", 4);
        let renewal = driver.renew();
        driver.join(&renewal, &fields);
        assert_eq!(driver.take_events(), [unrecovered("c")], "{fields}");
        driver.offset("c", 10);
        assert_eq!(driver.take_events(), [message("c", 10)], "{fields}: and goes on");
    }
}

#[test]
fn a_channel_that_was_never_confirmed_has_nothing_to_recover() {
    let mut driver = Driver::connected(Config::default());
    driver.subscribe("c");
    let renewal = driver.renew();
    assert_eq!(renewal["req"], json!({ "channel": "c" }));
    driver.join(&renewal, &json!({ "epoch": "e", "offset": 3 }));
    driver.offset("c", 4);
    assert_eq!(driver.take_events(), [message("c", 4)]);
}

#[test]
fn a_publication_that_comes_again_is_not_told_again() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    for offset in [4, 5, 5, 3, 6, 5, 8] {
        driver.offset("c", offset);
    }
    assert_eq!(driver.take_events(), [message("c", 5), message("c", 6), message("c", 8)]);
}

#[test]
fn what_has_no_offset_is_told_as_it_comes() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    for _ in 0..2 {
        driver.receive(&json!({ "channel": "c", "message": 1 }));
    }
    assert_eq!(driver.take_events(), [message("c", 1), message("c", 1)]);
    assert_eq!(driver.position("c"), Some(position("e", 4)));
}

#[test]
fn a_publication_that_comes_before_its_channels_frame_is_told_and_counts() {
    let mut driver = Driver::connected(Config::default());
    driver.subscribe("c");
    let sent = driver.sent.pop().unwrap();
    driver.offset("c", 5);
    driver.join(&sent, &json!({ "epoch": "e", "offset": 5 }));
    driver.offset("c", 5);
    driver.offset("c", 6);
    assert_eq!(driver.take_events(), [message("c", 5), message("c", 6)]);
}

#[test]
fn what_comes_by_a_pattern_waits_until_the_channel_is_recovered() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("news.a", 4);
    let renewal = driver.renew();
    for offset in [6, 7] {
        driver.offset("news.a", offset);
    }
    assert!(driver.take_events().is_empty());
    driver.join(
        &renewal,
        &json!({ "epoch": "e", "offset": 6, "recovered": true, "publications": past(&[5, 6]) }),
    );
    driver.offset("news.a", 8);
    assert_eq!(
        driver.take_events(),
        [recovered("news.a", &[5, 6]), message("news.a", 7), message("news.a", 8)]
    );
}

#[test]
fn what_waits_is_told_when_the_channel_is_not_recovered() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    let renewal = driver.renew();
    driver.offset("c", 9);
    driver.join(&renewal, &json!({ "epoch": "e", "offset": 8, "recovered": false }));
    driver.offset("c", 9);
    driver.offset("c", 10);
    assert_eq!(driver.take_events(), [unrecovered("c"), message("c", 9), message("c", 10)]);
}

#[test]
fn what_waits_is_told_once_though_it_comes_twice() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    let renewal = driver.renew();
    for offset in [9, 9, 10] {
        driver.offset("c", offset);
    }
    driver.join(&renewal, &json!({ "epoch": "e", "offset": 8, "recovered": false }));
    assert_eq!(driver.take_events(), [unrecovered("c"), message("c", 9), message("c", 10)]);
}

#[test]
fn what_waits_is_told_when_the_channel_is_refused_or_unsubscribed() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    let renewal = driver.renew();
    driver.offset("c", 9);
    driver.answer(&renewal, &json!({ "error": "Forbidden", "code": "forbidden" }));
    let events = driver.take_events();
    assert!(matches!(&events[0], Event::SubscriptionLost { .. }), "{events:?}");
    assert_eq!(events[1..], [message("c", 9)]);

    driver.follow_from("d", 4);
    let renewal = driver.renew();
    driver.offset("d", 9);
    driver.unsubscribe("d");
    assert_eq!(driver.take_events(), [message("d", 9)]);
    driver
        .join(&renewal, &json!({ "epoch": "e", "offset": 9, "recovered": true, "publications": past(&[9]) }));
    assert!(driver.take_events().is_empty(), "nobody wants it");
    assert_eq!(driver.position("d"), None);
}

#[test]
fn what_waits_when_the_connection_is_lost_is_recovered_later() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    driver.renew();
    driver.offset("c", 6);
    let renewal = driver.renew();
    assert_eq!(renewal["req"]["recover"]["offset"], 4);
    driver.join(
        &renewal,
        &json!({ "epoch": "e", "offset": 6, "recovered": true, "publications": past(&[5, 6]) }),
    );
    assert_eq!(driver.take_events(), [recovered("c", &[5, 6])]);
}

#[test]
fn what_waited_when_the_connection_was_lost_is_forgotten() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    driver.renew();
    driver.offset("c", 6);
    let renewal = driver.renew();
    driver.join(&renewal, &json!({ "epoch": "f", "offset": 0, "recovered": false }));
    assert_eq!(driver.take_events(), [unrecovered("c")]);
}

#[test]
fn what_is_recovered_though_the_user_has_it_is_not_told_again() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    let renewal = driver.renew();
    driver.join(
        &renewal,
        &json!({ "epoch": "e", "offset": 5, "recovered": true, "publications": past(&[3, 4, 5]) }),
    );
    assert_eq!(driver.take_events(), [recovered("c", &[5])]);
}

#[test]
fn another_subscribe_recovers_nothing_twice() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    // While it is followed.
    driver.subscribe("c");
    let sent = driver.sent.pop().unwrap();
    assert_eq!(sent["req"], json!({ "channel": "c" }));
    driver.offset("c", 5);
    driver.join(&sent, &json!({ "epoch": "e", "offset": 5 }));
    driver.offset("c", 6);
    assert_eq!(driver.take_events(), [message("c", 5), message("c", 6)]);
    // While it is recovered: if the first is refused, the second still recovers.
    let first = driver.renew();
    driver.subscribe("c");
    let second = driver.sent.pop().unwrap();
    assert_eq!(second["req"]["recover"], json!({ "epoch": "e", "offset": 6 }));
    let fields = json!({ "epoch": "e", "offset": 7, "recovered": true, "publications": past(&[7]) });
    driver.join(&first, &fields);
    driver.offset("c", 8);
    let fields = json!({ "epoch": "e", "offset": 8, "recovered": true, "publications": past(&[7, 8]) });
    driver.join(&second, &fields);
    driver.offset("c", 9);
    assert_eq!(driver.take_events(), [recovered("c", &[7]), message("c", 8), message("c", 9)]);
}

#[test]
fn another_subscribe_is_no_gap_though_some_publications_are_not_for_this_user() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    driver.subscribe("c");
    let sent = driver.sent.pop().unwrap();
    driver.join(&sent, &json!({ "epoch": "e", "offset": 6 }));
    driver.offset("c", 7);
    assert_eq!(driver.take_events(), [message("c", 7)]);
}

#[test]
fn a_channel_that_is_wanted_anew_starts_anew() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    driver.unsubscribe("c");
    driver.subscribe("c");
    let sent = driver.sent.last().unwrap().clone();
    assert_eq!(sent["req"], json!({ "channel": "c" }));
    driver.offset("c", 5);
    driver.confirm_unsubscribe("c");
    driver.join(&sent, &json!({ "epoch": "e", "offset": 6 }));
    driver.offset("c", 7);
    assert_eq!(driver.take_events(), [message("c", 5), message("c", 7)]);
}

#[test]
fn a_new_epoch_while_the_channel_is_followed_is_told() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    let epoch = |driver: &mut Driver, epoch: &str, offset: u64| {
        let data = json!({ "channel": "c", "epoch": epoch, "offset": offset, "recovered": false });
        driver.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
    };
    epoch(&mut driver, "f", 0);
    driver.offset("c", 1);
    assert_eq!(driver.take_events(), [unrecovered("c"), message("c", 1)]);
    epoch(&mut driver, "f", 9);
    driver.offset("c", 9);
    driver.offset("c", 10);
    assert_eq!(driver.take_events(), [unrecovered("c"), message("c", 10)], "a jump within an epoch");
    assert_eq!(driver.renew()["req"]["recover"], json!({ "epoch": "f", "offset": 10 }));
}

#[test]
fn an_alarm_of_the_server_is_none_to_a_user_who_misses_nothing() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    let data = json!({ "channel": "c", "epoch": "e", "offset": 4, "recovered": false });
    driver.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
    assert!(driver.take_events().is_empty());
}

#[test]
fn a_new_epoch_does_not_bring_back_an_unsubscribed_channel() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    driver.unsubscribe("c");
    let data = json!({ "channel": "c", "epoch": "f", "offset": 0, "recovered": false });
    let epoch = json!({ "internal": true, "command": "subscribe", "data": data });
    driver.receive(&epoch);
    assert!(driver.session.channels().is_empty());
    driver.subscribe("c");
    let sent = driver.sent.last().unwrap().clone();
    driver.receive(&epoch);
    assert_eq!(driver.position("c"), None, "it is of the old subscription");
    driver.confirm_unsubscribe("c");
    driver.join(&sent, &json!({ "epoch": "f", "offset": 1 }));
    driver.offset("c", 2);
    assert_eq!(driver.take_events(), [message("c", 2)]);
}

#[test]
fn what_the_server_subscribes_recovers_too() {
    let mut driver = Driver::connected(Config::default());
    let data = json!({ "channel": "given", "epoch": "e", "offset": 2 });
    driver.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
    driver.offset("given", 3);
    driver.take_events();
    assert_eq!(driver.renew()["req"]["recover"], json!({ "epoch": "e", "offset": 3 }));
}

/// What a server of ours says when it lets us in.
fn let_in() -> Value {
    let session = json!({ "id": "s", "ping_ms": 0, "max_message_bytes": 1000, "features": [] });
    json!({ "resp": "success", "session": session })
}

/// The server subscribes a socket of ours by itself.
fn given(driver: &mut Driver, offset: u64) {
    let data = json!({ "channel": "given", "epoch": "e", "offset": offset });
    driver.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
}

#[test]
fn hears_what_is_published_before_it_is_let_in() {
    let mut driver = Driver::new(Config::default());
    driver.start();
    driver.open();
    given(&mut driver, 2);
    driver.offset("given", 3);
    assert_eq!(driver.take_events(), [message("given", 3)]);
    driver.answer_auth(&let_in());
    driver.take_events();
    driver.offset("given", 4);
    assert_eq!(driver.take_events(), [message("given", 4)]);
}

#[test]
fn what_the_server_subscribes_anew_on_each_connection_recovers() {
    for before_the_answer in [true, false] {
        let mut driver = Driver::connected(Config::default());
        given(&mut driver, 2);
        driver.offset("given", 3);
        driver.cut();
        driver.forget();
        while driver.session.state() == State::Disconnected {
            driver.tick();
        }
        driver.open();
        if before_the_answer {
            given(&mut driver, 5);
            driver.offset("given", 6);
        }
        driver.answer_auth(&let_in());
        let sent = driver.sent.pop().unwrap();
        assert_eq!(sent["req"]["recover"], json!({ "epoch": "e", "offset": 3 }));
        if !before_the_answer {
            given(&mut driver, 5);
            driver.offset("given", 6);
        }
        driver.take_events();
        driver.join(
            &sent,
            &json!({ "epoch": "e", "offset": 6, "recovered": true, "publications": past(&[4, 5, 6]) }),
        );
        assert_eq!(driver.take_events(), [recovered("given", &[4, 5, 6])], "{before_the_answer}");
        driver.offset("given", 7);
        assert_eq!(driver.take_events(), [message("given", 7)]);
    }
}

#[test]
fn what_the_server_subscribes_holds_when_our_own_message_is_refused() {
    let mut driver = Driver::connected(Config::default());
    given(&mut driver, 2);
    let sent = driver.renew();
    given(&mut driver, 5);
    driver.offset("given", 6);
    assert_eq!(driver.take_events(), []);
    driver.answer(&sent, &json!({ "error": "Forbidden", "code": "forbidden" }));
    assert_eq!(driver.take_events(), [unrecovered("given"), message("given", 6)]);
    driver.offset("given", 7);
    assert_eq!(driver.take_events(), [message("given", 7)]);
}

#[test]
fn a_store_that_does_not_answer_takes_no_channel_away() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 3);
    let mut sent = driver.renew();
    driver.forget();
    for _ in 0..3 {
        driver.answer(&sent, &json!({ "error": "the store did not answer in time", "code": "overloaded" }));
        assert_eq!(driver.take_events(), []);
        assert!(driver.sent.is_empty(), "not at once");
        driver.tick();
        sent = driver.sent.pop().unwrap();
        assert_eq!(sent["req"]["recover"], json!({ "epoch": "e", "offset": 3 }));
    }
    driver.join(&sent, &json!({ "epoch": "e", "offset": 4, "recovered": true, "publications": past(&[4]) }));
    assert_eq!(driver.take_events(), [recovered("c", &[4])]);
}

#[test]
fn a_removal_by_the_server_that_a_subscribe_undoes_is_a_gap() {
    let mut driver = Driver::connected(Config::default());
    driver.follow_from("c", 4);
    driver.subscribe("c");
    let sent = driver.sent.pop().unwrap();
    driver.confirm_unsubscribe("c");
    driver.join(&sent, &json!({ "epoch": "e", "offset": 6 }));
    assert_eq!(driver.take_events(), [unrecovered("c")]);
}

#[test]
fn goes_on_from_a_place_that_the_user_kept() {
    let mut driver = Driver::connected(Config::default());
    let channel = Channel::new("c").unwrap();
    let since = |offset| SubscribeOptions::new().since(position("e", offset));
    driver.session.handle_subscribe_with(driver.now, channel.clone(), since(2));
    driver.drain();
    let sent = driver.sent.pop().unwrap();
    assert_eq!(sent["req"]["recover"], json!({ "epoch": "e", "offset": 2 }));
    driver.join(&sent, &json!({ "epoch": "e", "offset": 3, "recovered": true, "publications": past(&[3]) }));
    assert_eq!(driver.take_events(), [recovered("c", &[3])]);
    driver.session.handle_subscribe_with(driver.now, channel, since(0));
    driver.drain();
    assert_eq!(driver.sent.pop().unwrap()["req"], json!({ "channel": "c" }), "it is followed already");
}

#[test]
fn presence_is_asked_for_again_after_a_reconnect() {
    let mut driver = Driver::connected(Config::default());
    let channel = Channel::new("c").unwrap();
    driver.session.handle_subscribe_with(driver.now, channel, SubscribeOptions::new().presence());
    driver.drain();
    let sent = driver.sent.pop().unwrap();
    assert_eq!(sent["req"], json!({ "channel": "c", "presence": true }));
    driver.join(&sent, &json!({}));
    let member = json!({ "client": "s", "info": null, "since": 1 });
    for (command, joined) in [("join", true), ("leave", false)] {
        let data = json!({ "channel": "c", "member": member });
        driver.receive(&json!({ "internal": true, "command": command, "data": data }));
        let expected = Event::Member { channel: "c".to_owned(), member: raw(&member), joined };
        assert_eq!(driver.take_events(), [expected]);
    }
    driver.subscribe("c");
    assert_eq!(driver.sent.pop().unwrap()["req"]["presence"], true, "another reader does not switch it off");
    assert_eq!(driver.renew()["req"], json!({ "channel": "c", "presence": true }));
}

#[test]
fn a_pattern_is_told_as_such() {
    let mut driver = Driver::connected(Config::default());
    driver.subscribe("news.*");
    let sent = driver.sent.pop().unwrap();
    driver.join(&sent, &json!({ "pattern": true }));
    driver.offset("news.a", 5);
    driver.offset("news.a", 5);
    let told = driver.take_events();
    assert_eq!(told[0], Event::Pattern { channel: "news.*".to_owned() });
    assert_eq!(told[1..], [message("news.a", 5), message("news.a", 5)], "no place is known of it");
}

#[test]
fn an_alarm_of_a_channel_that_has_no_places_is_told_to_who_follows_it() {
    let mut driver = Driver::connected(Config::default());
    let alarm = |driver: &mut Driver, channel: &str| {
        let data = json!({ "channel": channel, "recovered": false });
        driver.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
    };
    driver.subscribe("c");
    alarm(&mut driver, "c");
    assert_eq!(driver.take_events(), [], "it does not follow it yet");
    let sent = driver.sent.pop().unwrap();
    driver.join(&sent, &json!({}));
    for _ in 0..2 {
        alarm(&mut driver, "c");
        assert_eq!(driver.take_events(), [unrecovered("c")]);
    }
    alarm(&mut driver, "other");
    driver.receive(&json!({ "channel": "c", "message": 1 }));
    assert_eq!(driver.take_events(), [message("c", 1)], "and it goes on");
    // After a reconnect nothing is to be recovered, and it is followed as before.
    let sent = driver.renew();
    assert_eq!(sent["req"]["recover"], Value::Null);
    alarm(&mut driver, "c");
    assert_eq!(driver.take_events(), []);
    driver.join(&sent, &json!({}));
    alarm(&mut driver, "c");
    assert_eq!(driver.take_events(), [unrecovered("c")]);
}
