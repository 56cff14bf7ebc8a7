//! Queues of devices that are connected to any node.

use std::sync::Weak;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceHandler, DeviceStore, Entry, Expired, Message,
    NodeId, QueueCounts, Resync, StoreError, Timestamp, To,
};

use super::{Seat, Told};

/// A seat as its node's store of queues.
pub(super) struct Devices(pub(super) Seat);

impl Devices {
    /// The memory's answers are there at once; `then` sees them before anybody else does anything.
    fn done<R: Send + 'static>(
        &self,
        call: impl FnOnce(&tokensocket_server::MemoryDeviceStore) -> BoxFuture<'static, Result<R, StoreError>>,
        then: impl FnOnce(&R, &Seat),
    ) -> BoxFuture<'static, Result<R, StoreError>> {
        if self.0.is_cut() {
            return ready(Err(StoreError::Unavailable("cut off".to_owned()))).boxed();
        }
        let result = call(&self.0.bus.0.devices).now_or_never().expect("memory answers at once");
        if let Ok(result) = &result {
            then(result, &self.0);
        }
        ready(result).boxed()
    }
}

impl DeviceStore for Devices {
    fn start(&self, _: NodeId, handler: Weak<dyn DeviceHandler>) -> Result<(), StoreError> {
        self.0.with(|place| place.device_handler = Some(handler));
        Ok(())
    }

    fn arrive(&self, arrival: Arrival, now: Timestamp) -> BoxFuture<'static, Result<Arrived, StoreError>> {
        let device = arrival.device.clone();
        self.done(
            |store| store.arrive(arrival, now),
            |_, seat| seat.with(|place| *place.arrived.entry(device).or_default() += 1),
        )
    }

    fn depart(&self, device: Device, now: Timestamp) -> BoxFuture<'static, Result<(), StoreError>> {
        self.done(
            |store| store.depart(device.clone(), now),
            |(), seat| {
                seat.with(|place| {
                    let Some(count) = place.arrived.get_mut(&device) else { return };
                    *count -= 1;
                    if *count == 0 {
                        place.arrived.remove(&device);
                    }
                });
            },
        )
    }

    fn append(
        &self,
        to: To,
        message: Message,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Appended, StoreError>> {
        self.done(
            |store| store.append(to, message.clone(), now),
            |appended, seat| {
                let mut state = seat.bus.0.state();
                for (device, queued) in &appended.queued {
                    let told = Told::Queued(device.clone(), queued.clone(), Some(message.clone()));
                    state.hint(seat.number, device, &told);
                }
            },
        )
    }

    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.done(|store| store.read(device, after, limit, now), |_, _| {})
    }

    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>> {
        self.done(
            |store| store.acknowledge(device.clone(), what, now),
            |resync, seat| {
                if let Some(resync) = resync {
                    let told = Told::Resync(device.clone(), resync.clone());
                    seat.bus.0.state().hint(seat.number, &device, &told);
                }
            },
        )
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.done(|store| store.told(device, numbers), |(), _| {})
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>> {
        self.done(
            |store| store.expire(now),
            |expired, seat| {
                let mut state = seat.bus.0.state();
                for (device, resync) in &expired.resyncs {
                    state.hint(seat.number, device, &Told::Resync(device.clone(), resync.clone()));
                }
            },
        )
    }

    fn counts(&self) -> Option<QueueCounts> {
        self.0.bus.0.devices.counts()
    }
}
