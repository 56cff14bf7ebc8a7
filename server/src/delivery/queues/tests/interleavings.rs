//! Any operations in any order, restarts among them, against the model; and an end after any single change.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::Model;
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Arrive { device: u8, rooms: u8, ttl: u64 },
    Depart { device: u8 },
    Append { to: u8, event: u8, bytes: usize, resync: bool, key: Option<u8> },
    Acknowledge { device: u8, seq: u64, through: bool },
    Told { device: u8, number: u64 },
    Expire,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0..9_u8;
    prop_oneof![
        3 => (0..40_u64).prop_map(Step::Wait),
        3 => (device.clone(), 0..4_u8, prop_oneof![Just(0), Just(50), Just(1000)])
            .prop_map(|(device, rooms, ttl)| Step::Arrive { device, rooms, ttl }),
        2 => device.clone().prop_map(|device| Step::Depart { device }),
        6 => (0..7_u8, 0..2_u8, 1..18_usize, any::<bool>(), proptest::option::of(0..3_u8))
            .prop_map(|(to, event, bytes, resync, key)| Step::Append { to, event, bytes, resync, key }),
        5 => (device.clone(), 1..12_u64, proptest::bool::weighted(0.2))
            .prop_map(|(device, seq, through)| Step::Acknowledge { device, seq, through }),
        1 => (device, 1..4_u64).prop_map(|(device, number)| Step::Told { device, number }),
        1 => Just(Step::Expire),
        1 => Just(Step::Restart),
    ]
}

fn limits() -> QueueLimits {
    QueueLimits {
        count: 4,
        bytes: 40,
        age: Duration::from_millis(100),
        key_window: Duration::from_millis(50),
        keys: 2,
        devices: 4,
        devices_per_user: 2,
    }
}

fn named(device_number: u8) -> Device {
    device(&(device_number / 3).to_string(), &(device_number % 3).to_string())
}

fn addressees(to: u8) -> To {
    match to {
        0..3 => To::user(to.to_string()),
        3 => To::users(["0", "2", "0"]),
        4 => To::room(to.to_string()),
        5 => To::rooms(["5", "4", "5", "nobody"]),
        _ => To::Everyone,
    }
}

struct World {
    queues: Queues<u32>,
    model: Model,
    log: Vec<Change<u32>>,
    epochs: BTreeMap<Device, Epoch>,
    now: Timestamp,
    count: u32,
    seed: u64,
}

impl World {
    fn new() -> Self {
        Self {
            queues: Queues::new(limits(), 0),
            model: Model { limits: limits(), ..Model::default() },
            log: Vec::new(),
            epochs: BTreeMap::new(),
            now: Timestamp(1_000_000),
            count: 0,
            seed: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        let (now, log) = (self.now, &mut self.log);
        match *step {
            Step::Wait(millis) => self.now = now.after(Duration::from_millis(millis)),
            Step::Arrive { device, rooms, ttl } => {
                let rooms = (0..2).filter(|bit| rooms >> bit & 1 == 1);
                let arrival = Arrival {
                    device: named(device),
                    rooms: rooms.map(|room| Arc::from((room + 4).to_string())).collect(),
                    ttl: Duration::from_millis(ttl),
                };
                let arrived = self.queues.arrive(arrival.clone(), now, log);
                let expected = self.model.arrive(&arrival, now);
                assert_eq!(arrived.is_ok(), expected.is_some());
                let (Ok(arrived), Some((resumed, row))) = (arrived, expected) else { return };
                assert_eq!(arrived.resumed, resumed);
                assert_eq!(arrived.last, row.last);
                assert_eq!(arrived.resyncs, row.resyncs);
                let before = self.epochs.insert(arrival.device, arrived.epoch.clone());
                assert_eq!(before == Some(arrived.epoch), resumed);
            }
            Step::Depart { device } => {
                self.queues.depart(&named(device), now, log);
                self.model.depart(&named(device), now);
            }
            Step::Append { to, event, bytes, resync, key } => {
                self.count += 1;
                let content = Content {
                    event: event.to_string().into(),
                    args: self.count,
                    bytes: bytes * 3,
                    resync,
                    key: key.map(|key| key.to_string().into()),
                };
                let expected = self.model.append(&addressees(to), &content, now);
                let appended = self.queues.append(&addressees(to), content, now, log);
                let appended = appended.map(|appended| {
                    assert!(!appended.duplicate || appended.queued.is_empty());
                    let count = appended.queued.len();
                    let queued: BTreeMap<_, _> = appended.queued.into_iter().collect();
                    assert_eq!(queued.len(), count, "a device is meant once");
                    (!appended.duplicate).then_some(queued)
                });
                assert_eq!(appended.map_err(drop), expected);
            }
            Step::Acknowledge { device, seq, through } => {
                let what = if through { Acknowledge::Through(seq) } else { Acknowledge::One(seq) };
                let told = self.queues.acknowledge(&named(device), what, log);
                assert_eq!(told, self.model.acknowledge(&named(device), what));
            }
            Step::Told { device, number } => {
                self.queues.told(&named(device), &[number], log);
                self.model.told(&named(device), number);
            }
            Step::Expire => {
                let mut expired = self.queues.expire(now, log);
                expired.resyncs.sort_by(|(a, x), (b, y)| (a, x.number).cmp(&(b, y.number)));
                assert_eq!((expired.devices, expired.resyncs), self.model.expire(now));
            }
            Step::Restart => {
                self.restart();
                self.model.restart(now);
            }
        }
    }

    fn restart(&mut self) {
        self.seed += 1;
        let mut changes = Vec::new();
        let restored = Queues::restore(limits(), self.seed, self.log.clone(), self.now, &mut changes);
        assert_eq!((restored.lost, restored.without_rooms), (0, 0));
        self.queues = restored.queues;
        self.log.extend(changes);
    }

    fn check(&self) {
        for device in (0..9).map(named) {
            let held = self.queues.read(&device, 0, usize::MAX, self.now);
            let held: Vec<_> = held.into_iter().map(|held| (held.seq, held.message.content.args)).collect();
            assert_eq!(held, self.model.read(&device), "{device:?}");
        }
        assert_eq!(self.queues.devices(), self.model.rows.len());
        assert_eq!(self.queues.entries(), self.model.rows.values().map(|row| row.lines.len()).sum::<usize>());
        assert!(self.queues.deadlines.len() <= self.queues.devices());
    }

    /// What a store that ended after any of the changes since `from` would come back with: everything that was
    /// there before and is there now, and whatever is missing is told.
    fn check_ends(&self, from: usize, before: &Model, acknowledged: bool) {
        for end in from..self.log.len() {
            let kept = self.log[..end].iter().cloned();
            let Restored { queues, lost, without_rooms } =
                Queues::restore(limits(), 99, kept, self.now, &mut Vec::new());
            assert_eq!((lost, without_rooms), (0, 0));
            for (device, row) in before.rows.iter().filter(|(_, row)| !row.is_over(self.now)) {
                let Some(number) = queues.users.device(device) else {
                    let is_gone = self.model.rows.get(device).is_none_or(|now| now.last < row.last);
                    assert!(is_gone || row.ttl.is_zero(), "{device:?} is missing");
                    continue;
                };
                let queue = &queues.devices[&number];
                assert!(queue.last >= row.last);
                let now = self.model.rows.get(device);
                for (seq, line) in &row.lines {
                    let is_there = queue.get(*seq).is_some_and(|message| message.content.args == line.args);
                    let is_told = !queue.resyncs.is_empty();
                    let is_kept = now.is_some_and(|now| now.lines.contains_key(seq));
                    assert!(is_there || (!is_kept && (is_told || acknowledged)), "{device:?} {seq}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn do_what_the_model_does_and_come_back_as_they_were(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            let (from, before) = (world.log.len(), world.model.clone());
            world.take(step);
            world.check();
            if !matches!(step, Step::Restart) {
                world.check_ends(from, &before, matches!(step, Step::Acknowledge { .. }));
            }
        }
    }

    #[test]
    fn what_is_kept_restores_in_any_order(steps in prop::collection::vec(step(), 1..60), seed: u64) {
        use rand::seq::SliceRandom;
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        let mut kept = compacted(&world.log);
        kept.shuffle(&mut StdRng::seed_from_u64(seed));
        world.log = kept;
        world.restart();
        world.model.restart(world.now);
        world.check();
    }
}

/// What is left of a log in a store that keeps one value for each name.
fn compacted(log: &[Change<u32>]) -> Vec<Change<u32>> {
    let mut kept: BTreeMap<String, Change<u32>> = BTreeMap::new();
    for change in log {
        let name = match change {
            Change::PutUser { user, .. } | Change::DeleteUser { user } => format!("user {user}"),
            Change::PutDevice(DeviceRecord { number, .. }) | Change::DeleteDevice { number } => {
                format!("device {number}")
            }
            Change::PutMessage(Accepted { id, .. }) | Change::DeleteMessage { id } => format!("message {id}"),
            Change::PutEntry { device, seq, .. } | Change::DeleteEntry { device, seq } => {
                format!("entry {device} {seq}")
            }
            Change::PutKey { key, .. } | Change::DeleteKey { key } => format!("key {key}"),
        };
        match change {
            Change::PutUser { .. }
            | Change::PutDevice(_)
            | Change::PutMessage(_)
            | Change::PutEntry { .. }
            | Change::PutKey { .. } => kept.insert(name, change.clone()),
            _ => kept.remove(&name),
        };
    }
    kept.into_values().collect()
}
