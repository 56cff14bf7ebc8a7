//! All queues as one value, exactly: for stores in which each node does the same operations in the same order.
//!
//! In: queues. Out: what makes the same queues elsewhere, which answer every later operation alike. Unlike what is
//! [restored](super::restore), who is connected stays connected, and nothing is put right.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::change::Change;
use super::queue::Queue;
use super::{QueueLimits, Queues};
use crate::delivery::{Device, Resync, To};

/// The queues, but for their randomness: see [`Queues::reseed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<B> {
    /// What each holds at most.
    pub limits: QueueLimits,
    /// The number that the next device gets.
    pub next_device: u64,
    /// The id that the next message gets.
    pub next_message: u64,
    /// What there is, as what puts it there. Keys stand in the order in which they came.
    pub kept: Vec<Change<B>>,
    /// How often devices are connected, by their numbers.
    pub connections: Vec<(u64, usize)>,
}

impl<B: Clone> Queues<B> {
    /// All there is.
    pub fn image(&self) -> Image<B> {
        let mut kept = Vec::new();
        for (user, rooms) in self.users.all() {
            kept.push(Change::PutUser { user: Arc::clone(user), rooms: rooms.to_vec() });
        }
        let devices: BTreeMap<u64, &Queue<B>> =
            self.devices.iter().map(|(number, queue)| (*number, queue)).collect();
        let mut messages = BTreeMap::new();
        let mut entries = Vec::new();
        for (&device, queue) in &devices {
            kept.push(Change::PutDevice(queue.record()));
            for (seq, message) in queue.behind(0) {
                messages.entry(message.id).or_insert(message);
                entries.push(Change::PutEntry { device, seq, message: message.id });
            }
        }
        kept.extend(messages.into_values().map(|message| Change::PutMessage((**message).clone())));
        kept.append(&mut entries);
        kept.extend(self.keys.all().map(|(at, key)| Change::PutKey { key: Arc::clone(key), at }));
        let connected = devices.iter().filter(|(_, queue)| queue.connections > 0);
        Image {
            limits: self.limits.clone(),
            next_device: self.next_device,
            next_message: self.next_message,
            kept,
            connections: connected.map(|(&number, queue)| (number, queue.connections)).collect(),
        }
    }

    /// The queues that an image is of. What refers to nothing is left out.
    pub fn from_image(image: Image<B>) -> Self {
        let Image { limits, next_device, next_message, kept, connections } = image;
        let mut queues = Self::new(limits, 0);
        (queues.next_device, queues.next_message) = (next_device, next_message);
        let mut messages = BTreeMap::new();
        for change in kept {
            match change {
                Change::PutUser { user, rooms } => queues.users.restore(&user, rooms),
                Change::PutDevice(record) => {
                    queues.users.insert(&record.device, record.number);
                    queues.devices.insert(record.number, Queue::new(record));
                }
                Change::PutMessage(message) => {
                    messages.insert(message.id, Arc::new(message));
                }
                Change::PutEntry { device, seq, message } => {
                    if let (Some(queue), Some(message)) =
                        (queues.devices.get_mut(&device), messages.get(&message))
                    {
                        queue.insert(seq, Arc::clone(message));
                    }
                }
                Change::PutKey { key, at } => queues.keys.restore(key, at),
                _ => {}
            }
        }
        for (number, connections) in connections {
            if let Some(queue) = queues.devices.get_mut(&number) {
                queue.connections = connections;
            }
        }
        queues.reschedule_all();
        queues
    }

    /// Draws what is random from this from now on. For the same operations to give the same everywhere, hand the same
    /// seed in before each that draws: [`arrive`](Self::arrive), [`lost`](Self::lost) and the like.
    pub fn reseed(&mut self, seed: u64) {
        self.random = StdRng::seed_from_u64(seed);
    }

    /// What each queue holds at most.
    pub fn limits(&self) -> &QueueLimits {
        &self.limits
    }

    /// Has other limits from now on. What is beyond them stays until something is added.
    pub fn set_limits(&mut self, limits: QueueLimits) {
        self.limits = limits;
        self.reschedule_all();
    }

    /// The rooms of a user with a device.
    pub fn rooms(&self, user: &str) -> Option<&[Arc<str>]> {
        self.users.rooms(user)
    }

    /// The last `seq` of a device that is known.
    pub fn last(&self, device: &Device) -> Option<u64> {
        self.devices.get(&self.users.device(device)?).map(|queue| queue.last)
    }

    /// Goes on behind `last` at the earliest: a connection was given entries up to there.
    pub fn raise(&mut self, device: &Device, last: u64) {
        let queue = self.users.device(device).and_then(|number| self.devices.get_mut(&number));
        if let Some(queue) = queue {
            queue.last = queue.last.max(last);
        }
    }

    /// As [`lost_everywhere`](Self::lost_everywhere), and says what each device is to be told.
    pub fn lost_by_all(&mut self, changes: &mut Vec<Change<B>>) -> Vec<(Device, Resync)> {
        let mut lost = Vec::new();
        for number in self.users.devices(&To::Everyone) {
            let resync = self.lost_by(number, changes);
            if let (Some(resync), Some(queue)) = (resync, self.devices.get(&number)) {
                lost.push((queue.device.clone(), resync));
            }
        }
        lost
    }

    fn reschedule_all(&mut self) {
        let numbers: Vec<u64> = self.devices.keys().copied().collect();
        for number in numbers {
            self.reschedule(number);
        }
    }
}
