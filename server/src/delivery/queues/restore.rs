//! The queues again, from the changes that a store kept.
//!
//! In: changes, in any order if they are only what is kept, in theirs if they are a log. Out: the queues as they
//! were, with every device gone, and the changes that put right what was not whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::change::{Accepted, Change, DeviceRecord};
use super::queue::Queue;
use super::{QueueLimits, Queues};
use crate::delivery::To;
use crate::timestamp::Timestamp;

/// What came of what was kept.
#[derive(Debug)]
pub struct Restored<B> {
    /// The queues.
    pub queues: Queues<B>,
    /// Entries whose message was not there. Their devices have a new epoch, and have to resync.
    pub lost: usize,
    /// Users whose rooms were not there. Their devices have a new epoch, and have to resync.
    pub without_rooms: usize,
}

struct Kept<B> {
    users: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    devices: BTreeMap<u64, DeviceRecord>,
    messages: BTreeMap<u64, Arc<Accepted<B>>>,
    entries: BTreeMap<(u64, u64), u64>,
    keys: HashMap<Arc<str>, Timestamp>,
}

impl<B> Kept<B> {
    fn new(changes: impl IntoIterator<Item = Change<B>>) -> Self {
        let mut kept = Self {
            users: BTreeMap::new(),
            devices: BTreeMap::new(),
            messages: BTreeMap::new(),
            entries: BTreeMap::new(),
            keys: HashMap::new(),
        };
        for change in changes {
            kept.apply(change);
        }
        kept
    }

    fn apply(&mut self, change: Change<B>) {
        match change {
            Change::PutUser { user, rooms } => {
                self.users.insert(user, rooms);
            }
            Change::DeleteUser { user } => {
                self.users.remove(&user);
            }
            Change::PutDevice(record) => {
                self.devices.insert(record.number, record);
            }
            Change::DeleteDevice { number } => {
                self.devices.remove(&number);
            }
            Change::PutMessage(message) => {
                self.messages.insert(message.id, Arc::new(message));
            }
            Change::DeleteMessage { id } => {
                self.messages.remove(&id);
            }
            Change::PutEntry { device, seq, message } => {
                self.entries.insert((device, seq), message);
            }
            Change::DeleteEntry { device, seq } => {
                self.entries.remove(&(device, seq));
            }
            Change::PutKey { key, at } => {
                self.keys.insert(key, at);
            }
            Change::DeleteKey { key } => {
                self.keys.remove(&key);
            }
        }
    }
}

impl<B: Clone> Queues<B> {
    /// The queues that `kept` is left of. What is not whole is put right, and `changes` says how; so is that
    /// devices which were connected are not any more. `seed` as for [`Queues::new`].
    pub fn restore(
        limits: QueueLimits,
        seed: u64,
        kept: impl IntoIterator<Item = Change<B>>,
        now: Timestamp,
        changes: &mut Vec<Change<B>>,
    ) -> Restored<B> {
        let Kept { mut users, devices, messages, entries, keys } = Kept::new(kept);
        let mut queues = Self::new(limits, seed);
        let highest = devices.keys().next_back().copied().max(entries.keys().next_back().map(|key| key.0));
        queues.next_device = highest.unwrap_or_default() + 1;
        queues.next_message = messages.keys().chain(entries.values()).max().copied().unwrap_or_default() + 1;

        let mut without_rooms = Vec::new();
        // A device that is there twice is the later one.
        for (number, record) in devices.into_iter().rev() {
            if queues.users.device(&record.device).is_some() {
                changes.push(Change::DeleteDevice { number });
                continue;
            }
            let user = &record.device.user;
            if let Some(rooms) = users.remove(user) {
                queues.users.restore(user, rooms);
            } else if !queues.users.contains(user) {
                without_rooms.push(Arc::clone(user));
            }
            queues.users.insert(&record.device, number);
            queues.devices.insert(number, Queue::new(record));
        }
        for (user, _) in users {
            changes.push(Change::DeleteUser { user });
        }
        let lost = queues.restore_entries(entries, messages, changes);
        for user in &without_rooms {
            changes.push(Change::PutUser { user: Arc::clone(user), rooms: Vec::new() });
            for number in queues.users.devices(&To::user(Arc::clone(user))) {
                queues.lost_by(number, changes);
            }
        }
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable_by(|(a, x), (b, y)| (x, a).cmp(&(y, b)));
        for (key, at) in keys {
            queues.keys.restore(key, at);
        }
        queues.depart_all(now, changes);
        Restored { queues, lost, without_rooms: without_rooms.len() }
    }

    fn restore_entries(
        &mut self,
        entries: BTreeMap<(u64, u64), u64>,
        messages: BTreeMap<u64, Arc<Accepted<B>>>,
        changes: &mut Vec<Change<B>>,
    ) -> usize {
        let mut dangling = Vec::new();
        for ((device, seq), id) in entries {
            match (self.devices.get_mut(&device), messages.get(&id)) {
                (Some(queue), Some(message)) => queue.insert(seq, Arc::clone(message)),
                (Some(queue), None) => {
                    queue.last = queue.last.max(seq);
                    dangling.push((device, seq));
                }
                (None, _) => changes.push(Change::DeleteEntry { device, seq }),
            }
        }
        // Each message is to be shared by its queues alone.
        for (id, message) in messages {
            if Arc::into_inner(message).is_some() {
                changes.push(Change::DeleteMessage { id });
            }
        }
        let lost = dangling.len();
        let mut told = None;
        for (device, seq) in dangling {
            if told.replace(device) != Some(device) {
                self.lost_by(device, changes);
            }
            changes.push(Change::DeleteEntry { device, seq });
        }
        lost
    }

    /// Whoever was connected is not any more.
    fn depart_all(&mut self, now: Timestamp, changes: &mut Vec<Change<B>>) {
        let mut numbers: Vec<u64> = self.devices.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(queue) = self.devices.get_mut(&number) else { continue };
            if queue.departed.is_none() {
                queue.departed = Some(now);
                changes.push(Change::PutDevice(queue.record()));
            }
            if queue.is_over(now) {
                self.forget(number, changes);
            } else {
                self.schedule(number);
            }
        }
    }
}
