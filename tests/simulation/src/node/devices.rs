//! A device store that is watched: what it accepted for whom, and what it took out of a queue.

use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Expired, Message, Queued, Resync,
    StoreError, Timestamp, To,
};

use super::Life;
use crate::world::World;

/// Any device store, watched.
pub(super) struct Watched<S> {
    store: S,
    watch: Watch,
}

#[derive(Clone)]
struct Watch {
    world: Weak<World>,
    life: Life,
}

impl<S> Watched<S> {
    pub(super) fn new(store: S, world: &Arc<World>, life: &Life) -> Self {
        Self { store, watch: Watch { world: Arc::downgrade(world), life: life.clone() } }
    }
}

impl Watch {
    fn world(&self) -> Option<Arc<World>> {
        if self.life.is_over() { None } else { self.world.upgrade() }
    }

    fn appended(&self, appended: &Appended, event: &str, number: u64) {
        let Some(world) = self.world() else { return };
        world.trace.note(format_args!("{number} is kept: {:?}", appended.queued));
        let ledger = &mut *world.ledger.lock();
        for (device, queued) in &appended.queued {
            ledger.owed(&device.id, number, event);
            if let Queued::Overflowed { resync, .. } = queued {
                ledger.cleared(&device.id, resync.number, None);
            }
        }
    }

    fn cleared(&self, device: &Device, resync: &Resync) {
        if let Some(world) = self.world() {
            world.trace.note(format_args!("the queue of {device:?} is cleared: {resync:?}"));
            world.ledger.lock().cleared(&device.id, resync.number, resync.event.as_deref());
        }
    }
}

impl<S: DeviceStore> DeviceStore for Watched<S> {
    fn arrive(&self, arrival: Arrival, now: Timestamp) -> BoxFuture<'static, Result<Arrived, StoreError>> {
        let watch = self.watch.clone();
        let device = arrival.device.clone();
        let arriving = self.store.arrive(arrival, now);
        async move {
            let arrived = arriving.await;
            if let (Ok(arrived), Some(world)) = (&arrived, watch.world()) {
                world.ledger.lock().noted(&device.id, arrived.epoch.as_str());
            }
            for resync in arrived.iter().flat_map(|arrived| &arrived.resyncs) {
                watch.cleared(&device, resync);
            }
            arrived
        }
        .boxed()
    }

    fn depart(&self, device: Device, now: Timestamp) -> BoxFuture<'static, Result<(), StoreError>> {
        if let Some(world) = self.watch.world() {
            world.ledger.lock().departed(&device.id);
        }
        self.store.depart(device, now)
    }

    fn append(
        &self,
        to: To,
        message: Message,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Appended, StoreError>> {
        let watch = self.watch.clone();
        let event = Arc::clone(&message.event);
        let number = message.args.parse::<Vec<u64>>().ok().and_then(|args| args.first().copied());
        if let (Some(number), Some(world)) = (number, watch.world()) {
            world.ledger.lock().tried(number);
        }
        let appending = self.store.append(to, message, now);
        async move {
            let appended = appending.await;
            if let (Ok(appended), Some(number)) = (&appended, number) {
                watch.appended(appended, &event, number);
            }
            appended
        }
        .boxed()
    }

    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.store.read(device, after, limit, now)
    }

    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>> {
        let watch = self.watch.clone();
        if let Some(world) = watch.world() {
            world.trace.note(format_args!("{device:?} acknowledges {what:?}"));
        }
        let acknowledging = self.store.acknowledge(device.clone(), what, now);
        async move {
            let acknowledged = acknowledging.await;
            if let Ok(Some(resync)) = &acknowledged {
                watch.cleared(&device, resync);
            }
            acknowledged
        }
        .boxed()
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.store.told(device, numbers)
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>> {
        let watch = self.watch.clone();
        let expiring = self.store.expire(now);
        async move {
            let expired = expiring.await;
            if let (Ok(expired), Some(world)) = (&expired, watch.world())
                && expired.devices > 0
            {
                world.trace.note(format_args!("{} devices are forgotten", expired.devices));
            }
            for (device, resync) in expired.iter().flat_map(|expired| &expired.resyncs) {
                watch.cleared(device, resync);
            }
            expired
        }
        .boxed()
    }
}
