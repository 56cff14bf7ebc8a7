//! Queues in this process's memory: the default. Nothing survives the process.
//!
//! The smallest store there is: all it adds to [`Queues`] is a lock.

use std::future::ready;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::RawJson;

use super::queues::{Change, Content, Held, Queues};
use super::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Expired, Message, QueueCounts,
    QueueLimits, Resync, To,
};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// So many changes have room that is kept from one operation to the next.
const SPARE: usize = 1024;

/// Keeps the queues of devices in memory.
#[derive(Debug)]
pub struct MemoryDeviceStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queues: Queues<RawJson>,
    /// What nobody keeps.
    changes: Vec<Change<RawJson>>,
}

impl MemoryDeviceStore {
    /// A store in which each device's queue holds so much.
    pub fn new(limits: QueueLimits) -> Self {
        Self { state: Mutex::new(State { queues: Queues::new(limits, rand::random()), changes: Vec::new() }) }
    }

    /// How many devices are known.
    pub fn devices(&self) -> usize {
        self.state.lock().queues.devices()
    }

    /// How many entries wait to be acknowledged, of all devices. Looks at each.
    pub fn entries(&self) -> usize {
        self.state.lock().queues.entries()
    }

    fn run<R: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Queues<RawJson>, &mut Vec<Change<RawJson>>) -> Result<R, StoreError>,
    ) -> BoxFuture<'static, Result<R, StoreError>> {
        let mut state = self.state.lock();
        let State { queues, changes } = &mut *state;
        let result = operation(queues, changes);
        if changes.capacity() <= SPARE {
            changes.clear();
        } else {
            *changes = Vec::new();
        }
        ready(result).boxed()
    }
}

impl Default for MemoryDeviceStore {
    fn default() -> Self {
        Self::new(QueueLimits::default())
    }
}

impl DeviceStore for MemoryDeviceStore {
    fn arrive(&self, arrival: Arrival, now: Timestamp) -> BoxFuture<'static, Result<Arrived, StoreError>> {
        self.run(|queues, changes| queues.arrive(arrival, now, changes))
    }

    fn depart(&self, device: Device, now: Timestamp) -> BoxFuture<'static, Result<(), StoreError>> {
        self.run(|queues, changes| {
            queues.depart(&device, now, changes);
            Ok(())
        })
    }

    fn append(
        &self,
        to: To,
        message: Message,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Appended, StoreError>> {
        let Message { event, args, resync, key } = message;
        let bytes = event.len() + args.as_bytes().len();
        let content = Content { event, args: args.compact(), bytes, resync, key };
        self.run(|queues, changes| queues.append(&to, content, now, changes))
    }

    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.run(|queues, _| {
            let held = queues.read(&device, after, limit, now);
            Ok(held.into_iter().map(entry).collect())
        })
    }

    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        _: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>> {
        self.run(|queues, changes| Ok(queues.acknowledge(&device, what, changes)))
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.run(|queues, changes| {
            queues.told(&device, &numbers, changes);
            Ok(())
        })
    }

    fn counts(&self) -> Option<QueueCounts> {
        Some(QueueCounts::of(&self.state.lock().queues))
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>> {
        self.run(|queues, changes| Ok(queues.expire(now, changes)))
    }
}

fn entry(held: Held<RawJson>) -> Entry {
    let Content { event, args, resync, key, .. } = held.message.content;
    Entry { seq: held.seq, message: Message { event, args, resync, key }, at: held.message.at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn does_what_a_store_must() {
        crate::conformance::devices(async |limits| MemoryDeviceStore::new(limits)).await;
    }
}
