//! All queues of a store, as a state machine: what happens to them, without keeping it anywhere.
//!
//! ```text
//! arrive, depart, append, acknowledge, told, expire ──▶ Queues ──▶ Changes ──▶ a store keeps them
//!                                                         ▲                        │
//!                                                         └──────── restore ◀──────┘
//! ```
//!
//! In: operations, each with the time. Out: their results, and the changes that a store has to keep. Knows no
//! clock, no disk and no socket, and draws its randomness from the seed that it was given.

mod change;
#[cfg(feature = "nats")]
mod image;
mod keys;
mod queue;
mod restore;
#[cfg(test)]
mod tests;
mod users;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokensocket_protocol::Epoch;

use super::{
    Acknowledge, Appended, Arrival, Arrived, Device, Expired, QueueLimits, Queued, Resync, ResyncReason, To,
};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

pub use change::{Accepted, Change, Content, DeviceRecord, Held};
#[cfg(feature = "nats")]
pub(crate) use image::Image;
pub use restore::Restored;

use keys::Keys;
use queue::Queue;
use users::Users;

/// The queues of all devices. `B` is what of a message's arguments is kept in memory; see [`Content`].
///
/// Each operation appends what it changed to `changes`. A store that cannot keep that must not go on with these
/// queues: it restores them from what it has.
///
/// An acknowledgement of the head costs the logarithm of what the device's queue holds, a message to `n` devices
/// costs `n` of that. Nothing depends on the order of a hash table: the same operations, times and seed give the
/// same changes.
#[derive(Debug)]
pub struct Queues<B> {
    limits: QueueLimits,
    random: StdRng,
    users: Users,
    devices: HashMap<u64, Queue<B>>,
    /// When something of a device is past its time, or earlier: at most once for each.
    deadlines: BTreeSet<(Timestamp, u64)>,
    keys: Keys,
    next_device: u64,
    next_message: u64,
}

impl<B: Clone> Queues<B> {
    /// No devices. `seed` must be random and never be used twice with the same store: epochs come of it.
    pub fn new(limits: QueueLimits, seed: u64) -> Self {
        Self {
            limits,
            random: StdRng::seed_from_u64(seed),
            users: Users::default(),
            devices: HashMap::new(),
            deadlines: BTreeSet::new(),
            keys: Keys::default(),
            next_device: 1,
            next_message: 1,
        }
    }

    /// How many devices are known.
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// How many entries all devices' queues hold. Looks at each device.
    pub fn entries(&self) -> usize {
        self.devices.values().map(Queue::len).sum()
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// See [`DeviceStore::arrive`](crate::DeviceStore::arrive).
    pub fn arrive(
        &mut self,
        arrival: Arrival,
        now: Timestamp,
        changes: &mut Vec<Change<B>>,
    ) -> Result<Arrived, StoreError> {
        let Arrival { device, rooms, ttl } = arrival;
        let mut known = self.users.device(&device);
        if let Some(number) = known
            && self.devices.get(&number).is_some_and(|queue| queue.connections == 0)
        {
            // Whoever is connected learns by `expire` what was kept for too long.
            self.check_due(number, now, &mut Expired::default(), changes);
            known = known.filter(|number| self.devices.contains_key(number));
        }
        if known.is_none() && self.devices.len() >= self.limits.devices {
            self.forget_over(now, changes);
            if self.devices.len() >= self.limits.devices {
                return Err(StoreError::TooMany("devices"));
            }
        }
        if known.is_none() && self.users.of_user(&device.user).len() >= self.limits.devices_per_user {
            let number = self.longest_away(&device.user).ok_or(StoreError::TooMany("devices of one user"))?;
            self.forget(number, changes);
        }
        self.users.set_rooms(&device.user, rooms, changes);
        let number = known.unwrap_or_else(|| self.insert(device, now));
        let Some(queue) = self.devices.get_mut(&number) else { return Err(StoreError::TooMany("devices")) };
        let is_changed = known.is_none() || queue.departed.is_some() || queue.ttl != ttl;
        queue.connections += 1;
        queue.departed = None;
        queue.ttl = ttl;
        if is_changed {
            changes.push(Change::PutDevice(queue.record()));
        }
        Ok(Arrived {
            epoch: Epoch::from_random(queue.epoch),
            resumed: known.is_some(),
            last: queue.last,
            resyncs: queue.resyncs.clone(),
        })
    }

    fn insert(&mut self, device: Device, now: Timestamp) -> u64 {
        let number = self.next_device;
        self.next_device += 1;
        self.users.insert(&device, number);
        let record = DeviceRecord {
            number,
            device,
            epoch: self.random.next_u64(),
            last: 0,
            ttl: std::time::Duration::ZERO,
            departed: Some(now),
            noted: 0,
            resyncs: Vec::new(),
        };
        self.devices.insert(number, Queue::new(record));
        number
    }

    /// See [`DeviceStore::depart`](crate::DeviceStore::depart). A device that did not arrive is left as it is.
    pub fn depart(&mut self, device: &Device, now: Timestamp, changes: &mut Vec<Change<B>>) {
        let Some(queue) = self.users.device(device).and_then(|number| self.devices.get_mut(&number)) else {
            return;
        };
        if queue.connections == 0 {
            return;
        }
        queue.connections -= 1;
        if queue.connections > 0 {
            return;
        }
        queue.departed = Some(now);
        let number = queue.number;
        if queue.is_over(now) {
            self.forget(number, changes);
        } else {
            changes.push(Change::PutDevice(queue.record()));
            self.schedule(number);
        }
    }

    /// See [`DeviceStore::append`](crate::DeviceStore::append).
    pub fn append(
        &mut self,
        to: &To,
        content: Content<B>,
        now: Timestamp,
        changes: &mut Vec<Change<B>>,
    ) -> Result<Appended, StoreError> {
        let (bytes, limit) = (content.bytes, self.limits.bytes);
        if bytes > limit {
            return Err(StoreError::TooLarge { bytes, limit });
        }
        let key = content.key.clone();
        if let Some(key) = &key {
            self.keys.expire(self.limits.key_window, now, changes);
            if self.keys.contains(key) {
                return Ok(Appended { queued: Vec::new(), duplicate: true });
            }
            self.keys.check_room(self.limits.keys)?;
        }
        let numbers = self.users.devices(to);
        let message = Arc::new(Accepted { id: self.next_message, at: now, content });
        let mut appended = Appended { queued: Vec::with_capacity(numbers.len()), duplicate: false };
        let mut is_put = false;
        for number in numbers {
            let Some(queue) = self.devices.get_mut(&number).filter(|queue| !queue.is_over(now)) else {
                continue;
            };
            let device = queue.device.clone();
            if queue.len() >= self.limits.count || queue.bytes() + bytes > limit {
                let resync = queue.note(None, ResyncReason::Overflow);
                changes.push(Change::PutDevice(queue.record()));
                queue.clear(changes);
                appended.queued.push((device, Queued::Overflowed { last: queue.last, resync }));
                continue;
            }
            if !is_put {
                is_put = true;
                changes.push(Change::PutMessage((*message).clone()));
            }
            let seq = queue.last + 1;
            queue.insert(seq, Arc::clone(&message));
            changes.push(Change::PutEntry { device: number, seq, message: message.id });
            appended.queued.push((device, Queued::At(seq)));
            if queue.len() == 1 {
                self.schedule(number);
            }
        }
        self.next_message += 1;
        if let Some(key) = key {
            self.keys.insert(key, now, changes);
        }
        Ok(appended)
    }

    /// See [`DeviceStore::read`](crate::DeviceStore::read). An entry past its age is given until
    /// [`expire`](Queues::expire) has made a resync of it: hidden, it would be among those that an
    /// acknowledgement removes, and nobody would be told.
    pub fn read(&self, device: &Device, after: u64, limit: usize, _: Timestamp) -> Vec<Held<B>> {
        let Some(queue) = self.users.device(device).and_then(|number| self.devices.get(&number)) else {
            return Vec::new();
        };
        queue
            .behind(after)
            .take(limit)
            .map(|(seq, message)| Held { seq, message: (**message).clone() })
            .collect()
    }

    /// See [`DeviceStore::acknowledge`](crate::DeviceStore::acknowledge).
    pub fn acknowledge(
        &mut self,
        device: &Device,
        what: Acknowledge,
        changes: &mut Vec<Change<B>>,
    ) -> Option<Resync> {
        let number = self.users.device(device)?;
        let queue = self.devices.get_mut(&number)?;
        match what {
            Acknowledge::Through(seq) if seq > queue.last => None,
            Acknowledge::Through(seq) => {
                let which: Vec<u64> = queue.behind(0).map(|(at, _)| at).take_while(|&at| at <= seq).collect();
                queue.remove(which, false, changes);
                None
            }
            Acknowledge::One(seq) => {
                let message = queue.get(seq)?;
                let event = Arc::clone(&message.content.event);
                if !message.content.resync || !queue.is_overtaken(seq, &event) {
                    queue.remove([seq], false, changes);
                    return None;
                }
                let which: Vec<u64> = queue
                    .behind(0)
                    .filter(|(_, message)| message.content.event == event)
                    .map(|(at, _)| at)
                    .collect();
                let resync = queue.note(Some(event), ResyncReason::Order);
                changes.push(Change::PutDevice(queue.record()));
                queue.remove(which, true, changes);
                Some(resync)
            }
        }
    }

    /// See [`DeviceStore::told`](crate::DeviceStore::told).
    pub fn told(&mut self, device: &Device, numbers: &[u64], changes: &mut Vec<Change<B>>) {
        let queue = self.users.device(device).and_then(|number| self.devices.get_mut(&number));
        if let Some(queue) = queue
            && queue.told(numbers)
        {
            changes.push(Change::PutDevice(queue.record()));
        }
    }

    /// The store lost entries of this device, and does not know which: it has to resync, in a new epoch. What is
    /// left of them is kept. Says nothing of a device that is not known.
    pub fn lost(&mut self, device: &Device, changes: &mut Vec<Change<B>>) -> Option<Resync> {
        self.lost_by(self.users.device(device)?, changes)
    }

    fn lost_by(&mut self, number: u64, changes: &mut Vec<Change<B>>) -> Option<Resync> {
        let queue = self.devices.get_mut(&number)?;
        queue.epoch = self.random.next_u64();
        let resync = queue.note(None, ResyncReason::Lost);
        changes.push(Change::PutDevice(queue.record()));
        Some(resync)
    }

    /// The same for every device.
    pub fn lost_everywhere(&mut self, changes: &mut Vec<Change<B>>) {
        for number in self.users.devices(&To::Everyone) {
            self.lost_by(number, changes);
        }
    }

    /// See [`DeviceStore::expire`](crate::DeviceStore::expire). Looks at nothing whose time has not come.
    pub fn expire(&mut self, now: Timestamp, changes: &mut Vec<Change<B>>) -> Expired {
        let mut expired = Expired::default();
        self.keys.expire(self.limits.key_window, now, changes);
        while let Some(&(due, number)) = self.deadlines.first()
            && due <= now
        {
            self.check_due(number, now, &mut expired, changes);
        }
        expired
    }

    /// Does what the time asks of one device.
    fn check_due(
        &mut self,
        number: u64,
        now: Timestamp,
        expired: &mut Expired,
        changes: &mut Vec<Change<B>>,
    ) {
        let Some(queue) = self.devices.get_mut(&number) else { return };
        if queue.is_over(now) {
            expired.devices += 1;
            self.forget(number, changes);
            return;
        }
        let age = self.limits.age;
        let aged: Vec<(u64, Arc<str>)> = queue
            .behind(0)
            .take_while(|(_, message)| message.at.after(age) <= now)
            .map(|(seq, message)| (seq, Arc::clone(&message.content.event)))
            .collect();
        if !aged.is_empty() {
            let mut events: Vec<&Arc<str>> = aged.iter().map(|(_, event)| event).collect();
            events.sort_unstable();
            events.dedup();
            for event in events {
                let resync = queue.note(Some(Arc::clone(event)), ResyncReason::Expired);
                if queue.connections > 0 {
                    expired.resyncs.push((queue.device.clone(), resync));
                }
            }
            changes.push(Change::PutDevice(queue.record()));
            queue.remove(aged.into_iter().map(|(seq, _)| seq), true, changes);
        }
        self.reschedule(number);
    }

    /// The device of a user that has been away the longest.
    fn longest_away(&self, user: &str) -> Option<u64> {
        let devices = self.users.of_user(user);
        let away = devices.filter_map(|number| Some((self.devices.get(&number)?.departed?, number)));
        away.min().map(|(_, number)| number)
    }

    /// Forgets the devices whose time to live is over.
    fn forget_over(&mut self, now: Timestamp, changes: &mut Vec<Change<B>>) {
        let due = self.deadlines.range(..=(now, u64::MAX)).map(|&(_, number)| number);
        let over = due.filter(|number| self.devices.get(number).is_some_and(|queue| queue.is_over(now)));
        let over: Vec<u64> = over.collect();
        for number in over {
            self.forget(number, changes);
        }
    }

    fn forget(&mut self, number: u64, changes: &mut Vec<Change<B>>) {
        let Some(mut queue) = self.devices.remove(&number) else { return };
        if let Some(due) = queue.due {
            self.deadlines.remove(&(due, number));
        }
        changes.push(Change::DeleteDevice { number });
        queue.clear(changes);
        self.users.remove(&queue.device, changes);
    }

    /// Makes sure that the device is looked at when its time has come. It may be looked at earlier: what is
    /// acknowledged in time needs no entry of its own.
    fn schedule(&mut self, number: u64) {
        let Some(queue) = self.devices.get(&number) else { return };
        let deadline = queue.deadline(self.limits.age);
        if deadline.is_some_and(|deadline| queue.due.is_none_or(|due| deadline < due)) {
            self.reschedule(number);
        }
    }

    fn reschedule(&mut self, number: u64) {
        let Some(queue) = self.devices.get_mut(&number) else { return };
        let deadline = queue.deadline(self.limits.age);
        if queue.due == deadline {
            return;
        }
        if let Some(due) = std::mem::replace(&mut queue.due, deadline) {
            self.deadlines.remove(&(due, number));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, number));
        }
    }
}
