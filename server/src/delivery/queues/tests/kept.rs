//! A store that is nothing but a log of changes: the checks of what is kept pass on the changes alone.

use std::future::ready;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::RawJson;

use super::*;
use crate::delivery::{DeviceStore, Entry, Message};

type Log = Arc<Mutex<Vec<Change<RawJson>>>>;

struct LoggedStore {
    queues: Mutex<Queues<RawJson>>,
    log: Log,
}

impl LoggedStore {
    fn open(log: &Log, limits: QueueLimits) -> Self {
        let kept = log.lock().clone();
        let mut mended = Vec::new();
        let seed = kept.len() as u64;
        let restored = Queues::restore(limits, seed, kept, Timestamp::now(), &mut mended);
        log.lock().extend(mended);
        Self { queues: Mutex::new(restored.queues), log: Arc::clone(log) }
    }

    fn run<R: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Queues<RawJson>, &mut Vec<Change<RawJson>>) -> R,
    ) -> BoxFuture<'static, R> {
        ready(operation(&mut self.queues.lock(), &mut self.log.lock())).boxed()
    }
}

impl DeviceStore for LoggedStore {
    fn arrive(&self, arrival: Arrival, now: Timestamp) -> BoxFuture<'static, Result<Arrived, StoreError>> {
        self.run(|queues, log| queues.arrive(arrival, now, log))
    }

    fn depart(&self, device: Device, now: Timestamp) -> BoxFuture<'static, Result<(), StoreError>> {
        self.run(|queues, log| {
            queues.depart(&device, now, log);
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
        self.run(|queues, log| queues.append(&to, content, now, log))
    }

    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.run(|queues, _| {
            let held = queues.read(&device, after, limit, now).into_iter();
            let entry = |Held { seq, message: Accepted { at, content, .. } }| {
                let Content { event, args, resync, key, .. } = content;
                Entry { seq, message: Message { event, args, resync, key }, at }
            };
            Ok(held.map(entry).collect())
        })
    }

    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        _: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>> {
        self.run(|queues, log| Ok(queues.acknowledge(&device, what, log)))
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.run(|queues, log| {
            queues.told(&device, &numbers, log);
            Ok(())
        })
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>> {
        self.run(|queues, log| Ok(queues.expire(now, log)))
    }
}

#[tokio::test]
async fn does_what_a_store_must() {
    crate::conformance::devices(async |limits| LoggedStore::open(&Log::default(), limits)).await;
}

#[tokio::test]
async fn keeps_what_a_durable_store_must() {
    let log = Log::default();
    crate::conformance::devices_kept(async |limits| LoggedStore::open(&log, limits)).await;
}
