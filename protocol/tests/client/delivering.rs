//! Deliveries: told once however often they are sent, acknowledged once they are handled.

use serde_json::{Value, json};
use tokensocket_protocol::client::{Config, DeliveryId, Event};
use tokensocket_protocol::{RawJson, ResyncReason};

use crate::driver::{Driver, SECOND};

impl Driver {
    fn greet(&mut self, epoch: &str) {
        let data = json!({ "device_ttl": 60, "device": "d", "epoch": epoch, "resumed": true });
        self.receive(&json!({ "internal": true, "command": "settings", "data": data }));
    }

    fn batch(&mut self, ids: &[u64]) {
        let items: Vec<Value> =
            ids.iter().map(|id| json!({ "id": id, "event": "e", "args": [id] })).collect();
        let data = json!({ "id": ids.last(), "items": items });
        self.receive(&json!({ "internal": true, "command": "batch", "data": data }));
    }

    fn deliver(&mut self, id: u64) {
        let data = json!({ "id": id, "event": "e", "args": [id] });
        self.receive(&json!({ "internal": true, "command": "deliver", "data": data }));
    }

    fn resync(&mut self, id: u64) {
        let data = json!({ "id": id, "event": "e", "reason": "overflow" });
        self.receive(&json!({ "internal": true, "command": "resync", "data": data }));
    }

    fn again(&mut self, epoch: &str) {
        self.cut();
        self.come_back();
        self.forget();
        self.greet(epoch);
    }

    /// What was told, by its number, and its name.
    fn told(&mut self) -> Vec<(u64, DeliveryId)> {
        let told = |event: Event<RawJson>| match event {
            Event::Delivery { id, args, .. } => Some((args.parse::<(u64,)>().unwrap().0, id)),
            _ => None,
        };
        self.take_events().into_iter().filter_map(told).collect()
    }

    fn numbers(&mut self) -> Vec<u64> {
        self.told().into_iter().map(|(number, _)| number).collect()
    }

    fn acknowledge(&mut self, id: DeliveryId) {
        self.session.handle_acknowledge(self.now, id);
        self.drain();
    }

    fn give_back(&mut self, id: DeliveryId) {
        self.session.handle_give_back(self.now, id);
        self.drain();
    }

    /// The acknowledgements that were sent.
    fn acknowledged(&mut self) -> Vec<Value> {
        let sent = std::mem::take(&mut self.sent);
        sent.into_iter()
            .filter(|message| message["rpc"] == "_ack")
            .map(|mut message| message["req"].take())
            .collect()
    }
}

fn greeted() -> Driver {
    let mut driver = Driver::connected(Config::default());
    driver.greet("1");
    driver.forget();
    driver
}

#[test]
fn the_user_hears_whose_deliveries_follow() {
    let mut driver = Driver::connected(Config::default());
    driver.greet("1");
    let events = driver.take_events();
    let Event::Settings(settings) = &events[0] else { panic!("{events:?}") };
    assert_eq!((settings.device_ttl, &*settings.device, &*settings.epoch), (60, "d", "1"));
    assert!(settings.resumed);
}

#[test]
fn one_that_is_handled_is_acknowledged_once() {
    let mut driver = greeted();
    driver.deliver(1);
    let [(1, id)] = driver.told()[..] else { panic!() };
    assert!(driver.acknowledged().is_empty(), "not before it is handled");
    driver.acknowledge(id);
    driver.acknowledge(id);
    assert_eq!(driver.acknowledged(), [json!({ "id": 1 })]);
}

#[test]
fn a_batch_is_acknowledged_once_when_all_of_it_is_handled() {
    let mut driver = greeted();
    driver.batch(&[3, 4, 7]);
    assert!(matches!(driver.events[0], Event::Batch { deliveries: 3 }));
    let told = driver.told();
    assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4, 7]);
    driver.acknowledge(told[0].1);
    driver.acknowledge(told[2].1);
    driver.deliver(8);
    let live = driver.told()[0].1;
    driver.acknowledge(live);
    let in_order = [json!({ "id": 3 }), json!({ "id": 7 }), json!({ "id": 8 })];
    assert_eq!(driver.acknowledged(), in_order, "what arrived since is by itself, and overtakes nothing");
    driver.acknowledge(told[1].1);
    assert_eq!(driver.acknowledged(), [json!({ "batch": 7 })]);
}

#[test]
fn nothing_overtakes_what_is_done_of_a_batch_that_waits() {
    let mut driver = greeted();
    driver.deliver(1);
    let one = driver.told()[0].1;
    driver.acknowledge(one);
    driver.again("1");
    driver.batch(&[1, 2, 3]);
    let told = driver.told();
    driver.acknowledge(told[0].1);
    assert!(driver.acknowledged().is_empty(), "the batch waits for 3");
    driver.deliver(4);
    let four = driver.told()[0].1;
    driver.acknowledge(four);
    let in_order = [json!({ "id": 1 }), json!({ "id": 2 }), json!({ "id": 4 })];
    assert_eq!(driver.acknowledged(), in_order);
    driver.give_back(told[1].1);
    assert!(
        driver.acknowledged().is_empty(),
        "nothing is acknowledged twice, and nothing that was given back"
    );
}

#[test]
fn one_whose_acknowledgement_was_lost_is_not_told_twice() {
    let mut driver = greeted();
    driver.batch(&[1, 2]);
    for (_, id) in driver.told() {
        driver.acknowledge(id);
    }
    driver.deliver(3);
    let three = driver.told()[0].1;
    driver.acknowledge(three);
    driver.again("1");
    driver.batch(&[1, 2, 3]);
    assert!(matches!(driver.events.last(), Some(Event::Batch { deliveries: 0 })));
    assert!(driver.told().is_empty());
    assert_eq!(driver.acknowledged(), [json!({ "batch": 3 })], "at once");
    driver.deliver(2);
    assert!(driver.told().is_empty());
    assert_eq!(driver.acknowledged(), [json!({ "id": 2 })]);
}

#[test]
fn one_that_is_being_handled_when_the_connection_is_lost_is_acknowledged_when_it_comes_again() {
    let mut driver = greeted();
    driver.deliver(1);
    driver.deliver(2);
    let told = driver.told();
    driver.again("1");
    driver.acknowledge(told[0].1);
    assert!(driver.acknowledged().is_empty(), "it was not sent on this connection");
    driver.batch(&[1, 2, 3]);
    let [(3, three)] = driver.told()[..] else { panic!() };
    driver.acknowledge(three);
    assert!(driver.acknowledged().is_empty());
    driver.acknowledge(told[1].1);
    assert_eq!(driver.acknowledged(), [json!({ "batch": 3 })]);
}

#[test]
fn what_is_handled_between_two_connections_is_not_acknowledged_on_neither() {
    let mut driver = greeted();
    driver.deliver(1);
    let one = driver.told()[0].1;
    driver.cut();
    driver.acknowledge(one);
    driver.come_back();
    driver.greet("1");
    assert!(driver.acknowledged().is_empty());
    driver.batch(&[1]);
    assert_eq!((driver.numbers(), driver.acknowledged()), (vec![], vec![json!({ "batch": 1 })]));
}

#[test]
fn one_that_is_given_back_is_told_again_when_it_comes_again() {
    let mut driver = greeted();
    driver.batch(&[1, 2, 3]);
    let told = driver.told();
    driver.give_back(told[1].1);
    driver.acknowledge(told[2].1);
    driver.acknowledge(told[0].1);
    driver.acknowledge(told[1].1);
    let one_by_one = [json!({ "id": 1 }), json!({ "id": 3 })];
    assert_eq!(driver.acknowledged(), one_by_one, "in order, since the batch as a whole would take it away");
    driver.deliver(4);
    let four = driver.told()[0].1;
    driver.give_back(four);
    assert!(driver.acknowledged().is_empty());
    driver.again("1");
    driver.batch(&[2, 4]);
    let told = driver.told();
    assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 4]);
    for (_, id) in told {
        driver.acknowledge(id);
    }
    assert_eq!(driver.acknowledged(), [json!({ "batch": 4 })]);
}

#[test]
fn what_was_given_back_on_an_earlier_connection_does_not_break_the_batch() {
    let mut driver = greeted();
    driver.batch(&[1, 2]);
    let told = driver.told();
    driver.give_back(told[0].1);
    driver.again("1");
    driver.batch(&[1, 2]);
    let [(1, one)] = driver.told()[..] else { panic!("not told again") };
    driver.acknowledge(told[1].1);
    driver.acknowledge(one);
    assert_eq!(driver.acknowledged(), [json!({ "batch": 2 })]);
}

#[test]
fn what_was_handled_before_is_acknowledged_though_the_rest_of_the_batch_is_given_back() {
    let mut driver = greeted();
    driver.deliver(1);
    let one = driver.told()[0].1;
    driver.acknowledge(one);
    driver.again("1");
    driver.batch(&[1, 2]);
    let [(2, two)] = driver.told()[..] else { panic!() };
    driver.give_back(two);
    assert_eq!(driver.acknowledged(), [json!({ "id": 1 })]);
}

#[test]
fn another_epoch_has_nothing_to_do_with_what_came_before() {
    let mut driver = greeted();
    driver.batch(&[1, 2]);
    let told = driver.told();
    driver.acknowledge(told[0].1);
    driver.again("2");
    driver.batch(&[1]);
    let [(1, id)] = driver.told()[..] else { panic!("another one of the same number") };
    driver.acknowledge(told[1].1);
    assert!(driver.acknowledged().is_empty());
    driver.acknowledge(id);
    assert_eq!(driver.acknowledged(), [json!({ "batch": 1 })]);
}

#[test]
fn another_device_has_nothing_to_do_with_what_came_before() {
    let mut driver = greeted();
    driver.deliver(1);
    driver.cut();
    driver.come_back();
    driver.forget();
    let data = json!({ "device_ttl": 60, "device": "other", "epoch": "1", "resumed": false });
    driver.receive(&json!({ "internal": true, "command": "settings", "data": data }));
    driver.deliver(1);
    assert_eq!(driver.numbers(), [1]);
}

#[test]
fn what_comes_before_the_settings_is_ignored() {
    let mut driver = Driver::connected(Config::default());
    driver.deliver(1);
    driver.batch(&[1]);
    driver.resync(1);
    assert!(driver.take_events().is_empty());
    assert!(driver.acknowledged().is_empty());
    driver.greet("1");
    driver.cut();
    driver.come_back();
    driver.forget();
    driver.deliver(1);
    assert!(driver.take_events().is_empty(), "on every connection");
}

#[test]
fn an_acknowledgement_that_the_store_could_not_take_is_sent_again() {
    let mut driver = greeted();
    driver.deliver(1);
    let id = driver.told()[0].1;
    driver.acknowledge(id);
    let sent = driver.sent.pop().unwrap();
    driver.answer(&sent, &json!({ "error": "busy", "code": "overloaded" }));
    assert_eq!(driver.wait(), SECOND);
    driver.pass(SECOND);
    let sent = driver.sent.pop().unwrap();
    assert_eq!(sent["req"], json!({ "id": 1 }));
    driver.answer(&sent, &json!({ "resp": "success" }));
    driver.pass(SECOND * 10);
    assert!(driver.sent.is_empty());

    driver.deliver(2);
    let id = driver.told()[0].1;
    driver.acknowledge(id);
    let sent = driver.sent.pop().unwrap();
    driver.answer(&sent, &json!({ "error": "busy", "code": "overloaded" }));
    driver.again("1");
    driver.pass(SECOND * 10);
    assert!(driver.acknowledged().is_empty(), "it comes again by itself");
    driver.batch(&[2]);
    assert_eq!((driver.numbers(), driver.acknowledged()), (vec![], vec![json!({ "batch": 2 })]));
}

#[test]
fn nothing_overtakes_an_acknowledgement_that_the_store_could_not_take() {
    let mut driver = greeted();
    driver.deliver(1);
    let id = driver.told()[0].1;
    driver.acknowledge(id);
    let sent = driver.sent.pop().unwrap();
    driver.answer(&sent, &json!({ "error": "busy", "code": "overloaded" }));
    driver.deliver(2);
    let id = driver.told()[0].1;
    driver.acknowledge(id);
    assert!(driver.acknowledged().is_empty());
    driver.pass(SECOND);
    assert_eq!(driver.acknowledged(), [json!({ "id": 1 }), json!({ "id": 2 })]);
}

#[test]
fn a_resync_is_told_once_and_acknowledged_when_it_is_handled() {
    let mut driver = greeted();
    driver.resync(1);
    driver.resync(1);
    let [Event::Resync { id, event, reason }] = &driver.take_events()[..] else { panic!() };
    assert_eq!((event.as_deref(), *reason), (Some("e"), ResyncReason::Overflow));
    driver.again("1");
    driver.resync(1);
    let is_resync = |event: &Event<_>| matches!(event, Event::Resync { .. });
    assert!(!driver.take_events().iter().any(is_resync), "it is being handled");
    assert!(driver.acknowledged().is_empty());
    driver.acknowledge(*id);
    assert_eq!(driver.acknowledged(), [json!({ "resync": 1 })]);
}

#[test]
fn resyncs_are_acknowledged_up_to_the_first_that_is_not_handled() {
    let mut driver = greeted();
    for id in 1..=3 {
        driver.resync(id);
    }
    let ids: Vec<DeliveryId> = driver
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Resync { id, .. } => Some(id),
            _ => None,
        })
        .collect();
    driver.acknowledge(ids[1]);
    assert!(driver.acknowledged().is_empty());
    driver.acknowledge(ids[0]);
    assert_eq!(driver.acknowledged(), [json!({ "resync": 2 })]);
    driver.give_back(ids[2]);
    assert!(driver.acknowledged().is_empty());
    driver.again("1");
    driver.resync(3);
    let Some(Event::Resync { id, .. }) = driver.take_events().pop() else { panic!("not told again") };
    driver.acknowledge(id);
    assert_eq!(driver.acknowledged(), [json!({ "resync": 3 })]);
    driver.again("1");
    driver.resync(3);
    assert_eq!(driver.acknowledged(), [json!({ "resync": 3 })], "its acknowledgement was lost");
}

#[test]
fn resyncs_may_overtake_each_other() {
    let mut driver = greeted();
    for id in [2, 1] {
        driver.resync(id);
    }
    let told = driver.take_events();
    let [Event::Resync { id: two, .. }, Event::Resync { id: one, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    driver.acknowledge(*two);
    assert_eq!(driver.acknowledged(), [json!({ "resync": 2 })]);
    driver.acknowledge(*one);
    assert_eq!(driver.acknowledged(), [json!({ "resync": 1 })], "it covers what was sent before it");
}

#[test]
fn a_resync_of_an_earlier_connection_holds_up_nobody() {
    let mut driver = greeted();
    driver.resync(1);
    driver.again("1");
    driver.resync(2);
    let Some(Event::Resync { id, .. }) = driver.take_events().pop() else { panic!() };
    driver.acknowledge(id);
    assert_eq!(driver.acknowledged(), [json!({ "resync": 2 })]);
}
