//! Device queues on a simulated disk: each change of the queues is a record.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use parking_lot::Mutex;
use tokensocket_server::queues::{Change, Content, Held, Queues};
use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Expired, Message, QueueLimits,
    RawJson, Resync, StoreError, Timestamp, To,
};
use tokio::sync::oneshot;

use super::disk::{Mount, Record};

/// What is kept.
pub(crate) type Kept = Change<RawJson>;

/// Keeps the queues in memory, and their changes on a disk.
#[derive(Clone)]
pub(crate) struct DiskDevices {
    mount: Mount,
    queues: Arc<Mutex<Queues<RawJson>>>,
}

impl DiskDevices {
    /// Opens what is on the disk.
    pub(crate) fn open(mount: Mount, limits: QueueLimits, seed: u64, now: Timestamp) -> Self {
        let changes = mount.records().into_iter().filter_map(|record| match record {
            Record::Device(change) => Some(change),
            Record::Channel(_) => None,
        });
        let mut repairs = Vec::new();
        let restored = Queues::restore(limits, seed, changes, now, &mut repairs);
        let queues = Arc::new(Mutex::new(restored.queues));
        mount.write(repairs.into_iter().map(Record::Device).collect(), || {});
        Self { mount, queues }
    }

    /// Does something to the queues; resolves when that, and all that it saw, is on the disk.
    fn run<R: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Queues<RawJson>, &mut Vec<Kept>) -> Result<R, StoreError>,
    ) -> BoxFuture<'static, Result<R, StoreError>> {
        if let Err(error) = self.mount.check() {
            return ready(Err(error)).boxed();
        }
        let mut changes = Vec::new();
        let mut queues = self.queues.lock();
        let result = match operation(&mut queues, &mut changes) {
            Ok(result) => result,
            Err(error) => return ready(Err(error)).boxed(),
        };
        let (told, done) = oneshot::channel();
        let records = changes.into_iter().map(Record::Device).collect();
        // Under the queues' lock, so that records are in the order of what they record.
        self.mount.write(records, move || {
            // Whoever waited may have given up.
            let _ = told.send(result);
        });
        async move {
            match done.await {
                Ok(result) => Ok(result),
                // The process is gone, and this with it.
                Err(_) => pending().await,
            }
        }
        .boxed()
    }
}

impl DeviceStore for DiskDevices {
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
        let content = Content { event, args, bytes, resync, key };
        self.run(|queues, changes| queues.append(&to, content, now, changes))
    }

    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.run(|queues, _| Ok(queues.read(&device, after, limit, now).into_iter().map(entry).collect()))
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

    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>> {
        self.run(|queues, changes| Ok(queues.expire(now, changes)))
    }
}

fn entry(held: Held<RawJson>) -> Entry {
    let Content { event, args, resync, key, .. } = held.message.content;
    Entry { seq: held.seq, message: Message { event, args, resync, key }, at: held.message.at }
}
