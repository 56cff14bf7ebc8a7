//! What the queues do at their edges, and that they do what a simple model does.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it does not expect"
)]

mod interleavings;
mod kept;
mod model;

use std::sync::Arc;
use std::time::Duration;

use super::*;

pub(super) fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

fn arrival(user: &str, id: &str, rooms: &[&str], ttl: u64) -> Arrival {
    Arrival {
        device: device(user, id),
        rooms: rooms.iter().map(|&room| Arc::from(room)).collect(),
        ttl: Duration::from_secs(ttl),
    }
}

fn content(event: &str, resync: bool, key: Option<&str>) -> Content<u32> {
    Content { event: event.into(), args: 0, bytes: 10, resync, key: key.map(Arc::from) }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1000)
}

struct Bench {
    queues: Queues<u32>,
    changes: Vec<Change<u32>>,
}

impl Bench {
    fn new(limits: QueueLimits) -> Self {
        Self { queues: Queues::new(limits, 1), changes: Vec::new() }
    }

    fn arrive(&mut self, user: &str, id: &str, ttl: u64, now: u64) -> Arrived {
        self.queues.arrive(arrival(user, id, &[], ttl), at(now), &mut self.changes).unwrap()
    }

    fn depart(&mut self, user: &str, id: &str, now: u64) {
        self.queues.depart(&device(user, id), at(now), &mut self.changes);
    }

    fn append(&mut self, user: &str, event: &str, now: u64) -> Appended {
        let to = To::user(user);
        self.queues.append(&to, content(event, true, None), at(now), &mut self.changes).unwrap()
    }

    fn acknowledge(&mut self, user: &str, id: &str, what: Acknowledge) -> Option<Resync> {
        self.queues.acknowledge(&device(user, id), what, &mut self.changes)
    }

    fn seqs(&self, user: &str, id: &str, now: u64) -> Vec<u64> {
        let held = self.queues.read(&device(user, id), 0, usize::MAX, at(now));
        held.into_iter().map(|held| held.seq).collect()
    }

    fn restart(&mut self, seed: u64, now: u64) -> usize {
        let kept = std::mem::take(&mut self.changes);
        let limits = self.queues.limits.clone();
        let restored = Queues::restore(limits, seed, kept.clone(), at(now), &mut self.changes);
        self.queues = restored.queues;
        self.changes.splice(0..0, kept);
        restored.lost
    }
}

#[test]
fn counts_on_where_it_was_after_everything_was_acknowledged() {
    let mut bench = Bench::new(QueueLimits::default());
    let first = bench.arrive("8", "a", 60, 0);
    bench.append("8", "e", 1);
    bench.append("8", "e", 1);
    bench.acknowledge("8", "a", Acknowledge::Through(2));
    bench.restart(2, 2);
    let again = bench.arrive("8", "a", 60, 3);
    assert_eq!((again.epoch, again.resumed, again.last), (first.epoch, true, 2));
    assert_eq!(bench.append("8", "e", 4).queued[0].1, Queued::At(3));
}

#[test]
fn a_forgotten_device_comes_back_in_another_epoch() {
    let mut bench = Bench::new(QueueLimits::default());
    let first = bench.arrive("8", "a", 60, 0);
    bench.depart("8", "a", 10);
    assert_eq!(bench.append("8", "e", 69).queued.len(), 1, "within its time to live");
    assert_eq!(bench.append("8", "e", 70).queued.len(), 0, "not swept yet, but over");
    assert_eq!(bench.queues.expire(at(70), &mut bench.changes).devices, 1);
    assert_eq!((bench.queues.devices(), bench.queues.entries()), (0, 0));
    let again = bench.arrive("8", "a", 60, 71);
    assert!(!again.resumed && again.epoch != first.epoch);
    assert_eq!(bench.append("8", "e", 72).queued[0].1, Queued::At(1));
}

#[test]
fn keeps_one_message_once_however_many_queues_hold_it() {
    let mut bench = Bench::new(QueueLimits::default());
    for user in ["1", "2", "3"] {
        bench.arrive(user, "a", 60, 0);
    }
    bench.changes.clear();
    let to = To::users(["1", "2", "3", "2"]);
    bench.queues.append(&to, content("e", false, None), at(1), &mut bench.changes).unwrap();
    let puts = |changes: &[Change<u32>]| {
        let messages = changes.iter().filter(|change| matches!(change, Change::PutMessage(_))).count();
        let entries = changes.iter().filter(|change| matches!(change, Change::PutEntry { .. })).count();
        (messages, entries)
    };
    assert_eq!(puts(&bench.changes), (1, 3));
    for user in ["1", "2", "3"] {
        assert!(!bench.changes.iter().any(|change| matches!(change, Change::DeleteMessage { .. })));
        bench.acknowledge(user, "a", Acknowledge::One(1));
    }
    assert!(matches!(bench.changes.last(), Some(Change::DeleteMessage { .. })));
}

#[test]
fn a_message_that_no_queue_can_hold_clears_none() {
    let mut bench = Bench::new(QueueLimits { bytes: 15, ..QueueLimits::default() });
    bench.arrive("8", "a", 60, 0);
    bench.append("8", "e", 1);
    let large = Content { bytes: 16, ..content("e", false, None) };
    let refused = bench.queues.append(&To::Everyone, large, at(1), &mut bench.changes);
    assert_eq!(refused.unwrap_err(), StoreError::TooLarge { bytes: 16, limit: 15 });
    assert_eq!(bench.seqs("8", "a", 1), [1]);
}

#[test]
fn full_of_devices_it_makes_room_of_those_that_are_over() {
    let mut bench = Bench::new(QueueLimits { devices: 1, ..QueueLimits::default() });
    bench.arrive("8", "a", 60, 0);
    let refused = bench.queues.arrive(arrival("8", "b", &[], 60), at(1), &mut bench.changes);
    assert_eq!(refused.unwrap_err(), StoreError::TooMany("devices"));
    bench.depart("8", "a", 1);
    assert!(!bench.arrive("8", "b", 60, 61).resumed);
    assert_eq!(bench.queues.devices(), 1);
}

#[test]
fn a_user_with_too_many_devices_loses_the_one_that_was_away_the_longest() {
    let mut bench = Bench::new(QueueLimits { devices_per_user: 2, ..QueueLimits::default() });
    bench.arrive("8", "a", 60, 0);
    bench.arrive("8", "b", 60, 0);
    let refused = bench.queues.arrive(arrival("8", "c", &[], 60), at(1), &mut bench.changes);
    assert_eq!(refused.unwrap_err(), StoreError::TooMany("devices of one user"));
    bench.arrive("9", "a", 60, 1);
    bench.depart("8", "b", 2);
    bench.depart("8", "a", 3);
    assert!(!bench.arrive("8", "c", 60, 4).resumed);
    assert!(bench.arrive("8", "a", 60, 4).resumed, "b has made room");
    assert_eq!(bench.queues.devices(), 3);
}

#[test]
fn an_old_entry_becomes_a_resync() {
    let mut bench = Bench::new(QueueLimits { age: Duration::from_secs(5), ..QueueLimits::default() });
    bench.arrive("8", "a", 60, 0);
    bench.append("8", "old", 0);
    bench.append("8", "new", 3);
    assert_eq!(bench.seqs("8", "a", 5), [1, 2], "hidden, it would be acknowledged with what is behind it");
    let expired = bench.queues.expire(at(5), &mut bench.changes);
    let [(_, resync)] = &expired.resyncs[..] else { panic!("{expired:?}") };
    assert_eq!((resync.event.as_deref(), resync.reason), (Some("old"), ResyncReason::Expired));
    assert_eq!(bench.arrive("8", "a", 60, 6).resyncs, std::slice::from_ref(resync));
    bench.queues.told(&device("8", "a"), &[resync.number], &mut bench.changes);
    bench.restart(2, 6);
    assert_eq!(bench.arrive("8", "a", 60, 6).resyncs, []);
}

#[test]
fn a_resync_noted_since_survives_that_an_earlier_one_was_told() {
    let mut bench = Bench::new(QueueLimits { count: 1, ..QueueLimits::default() });
    bench.arrive("8", "a", 60, 0);
    let mut overflow = || {
        bench.append("8", "e", 0);
        match bench.append("8", "e", 0).queued.pop() {
            Some((_, Queued::Overflowed { resync, .. })) => resync,
            other => panic!("{other:?}"),
        }
    };
    let (first, second) = (overflow(), overflow());
    bench.queues.told(&device("8", "a"), &[first.number], &mut bench.changes);
    assert_eq!(bench.arrive("8", "a", 60, 0).resyncs, std::slice::from_ref(&second));
    bench.queues.told(&device("8", "a"), &[second.number], &mut bench.changes);
    assert_eq!(bench.arrive("8", "a", 60, 0).resyncs, []);
}

#[test]
fn very_many_resyncs_become_one_for_everything() {
    let mut bench = Bench::new(QueueLimits::default());
    bench.arrive("8", "a", 60, 0);
    for event in 0..100 {
        bench.append("8", &event.to_string(), 0);
        bench.append("8", &event.to_string(), 0);
        let told = bench.acknowledge("8", "a", Acknowledge::One(event * 2 + 2));
        assert_eq!(told.unwrap().event.is_none(), event >= 16, "{event}");
    }
    let resyncs = bench.arrive("8", "a", 60, 0).resyncs;
    assert_eq!((resyncs.len(), resyncs[0].event.as_deref()), (1, None));
}

#[test]
fn a_queue_whose_messages_are_gone_from_the_store_says_so() {
    let mut bench = Bench::new(QueueLimits::default());
    let first = bench.arrive("8", "a", 60, 0);
    bench.arrive("9", "a", 60, 0);
    bench.append("8", "e", 1);
    bench.append("9", "e", 1);
    bench.append("8", "e", 1);
    let gone = bench.changes.iter().position(|change| matches!(change, Change::PutMessage(_))).unwrap();
    bench.changes.remove(gone);
    assert_eq!(bench.restart(2, 2), 1);
    for seed in 3..5 {
        let again = bench.arrive("8", "a", 60, 2);
        assert_ne!(again.epoch, first.epoch);
        assert_eq!(again.resyncs.first().map(|resync| resync.reason), Some(ResyncReason::Lost));
        assert_eq!(bench.seqs("8", "a", 2), [2]);
        assert_eq!(bench.arrive("9", "a", 60, 2).resyncs, []);
        assert_eq!(bench.restart(seed, 2), 0, "what was put right was kept");
    }
}

#[test]
fn a_device_whose_users_rooms_are_gone_from_the_store_has_to_resync() {
    let mut bench = Bench::new(QueueLimits::default());
    bench.arrive("8", "a", 60, 0);
    bench.changes.retain(|change| !matches!(change, Change::PutUser { .. }));
    bench.restart(2, 1);
    assert_eq!(bench.arrive("8", "a", 60, 2).resyncs[0].reason, ResyncReason::Lost);
}

#[test]
fn what_is_connected_for_long_and_acknowledges_leaves_one_deadline() {
    let mut bench = Bench::new(QueueLimits::default());
    for round in 0..1_000 {
        bench.arrive("8", "a", 60, round);
        let Queued::At(seq) = bench.append("8", "e", round).queued[0].1 else { panic!("overflow") };
        bench.depart("8", "a", round);
        bench.acknowledge("8", "a", Acknowledge::One(seq));
    }
    assert!(bench.queues.deadlines.len() <= 1, "{}", bench.queues.deadlines.len());
}

#[test]
fn keys_are_bounded_and_come_free_again() {
    let mut bench = Bench::new(QueueLimits { keys: 1, ..QueueLimits::default() });
    let mut append = |key: &str, now| {
        bench.queues.append(&To::Everyone, content("e", false, Some(key)), at(now), &mut bench.changes)
    };
    assert!(!append("x", 0).unwrap().duplicate);
    assert!(append("x", 299).unwrap().duplicate);
    assert_eq!(append("y", 299).unwrap_err(), StoreError::TooMany("keys"));
    assert!(!append("y", 300).unwrap().duplicate);
}
