//! A store of devices that a test can slow down and break.
//!
//! In: what the test says of each operation. Out: what a [`MemoryDeviceStore`] does, later or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceStore, Entry, Expired, MemoryDeviceStore, Message,
    QueueLimits, Resync, StoreError, Timestamp, To,
};
use tokio::sync::{Notify, watch};

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It is done at once.
    Open,
    /// It is done at once, and its answer comes when the gate is opened.
    Slow,
    /// It is done at once, its answer comes when [`GatedStore::release`] is told, and the gate is open to the next.
    Held,
    /// It is refused.
    Broken,
}

/// A store with a gate for each operation. Cloning shares it.
#[derive(Debug, Clone)]
pub struct GatedStore {
    inner: Arc<MemoryDeviceStore>,
    /// Arriving.
    pub arrive: Arc<watch::Sender<Gate>>,
    /// Appending.
    pub append: Arc<watch::Sender<Gate>>,
    /// Reading.
    pub read: Arc<watch::Sender<Gate>>,
    /// Acknowledging.
    pub acknowledge: Arc<watch::Sender<Gate>>,
    /// Departing.
    pub depart: Arc<watch::Sender<Gate>>,
    /// Lets the answers come that are held.
    pub release: Arc<Notify>,
    arrived: Arc<AtomicUsize>,
    departed: Arc<AtomicUsize>,
}

impl GatedStore {
    /// A store with these limits, all gates open.
    pub fn new(limits: QueueLimits) -> Self {
        let gate = || Arc::new(watch::Sender::new(Gate::Open));
        Self {
            inner: Arc::new(MemoryDeviceStore::new(limits)),
            arrive: gate(),
            append: gate(),
            read: gate(),
            acknowledge: gate(),
            depart: gate(),
            release: Arc::default(),
            arrived: Arc::default(),
            departed: Arc::default(),
        }
    }

    /// How many devices it knows.
    pub fn devices(&self) -> usize {
        self.inner.devices()
    }

    /// How many entries it holds.
    pub fn entries(&self) -> usize {
        self.inner.entries()
    }

    /// How often a device arrived, and how often one departed.
    pub fn counts(&self) -> (usize, usize) {
        (self.arrived.load(Ordering::SeqCst), self.departed.load(Ordering::SeqCst))
    }

    fn pass<R: Send + 'static>(
        &self,
        gate: &Arc<watch::Sender<Gate>>,
        operation: impl FnOnce() -> BoxFuture<'static, Result<R, StoreError>>,
    ) -> BoxFuture<'static, Result<R, StoreError>> {
        let state = *gate.borrow();
        match state {
            Gate::Held => {
                gate.send_replace(Gate::Open);
                let done = operation();
                let release = Arc::clone(&self.release);
                async move {
                    release.notified().await;
                    done.await
                }
                .boxed()
            }
            Gate::Open => operation(),
            Gate::Broken => ready(Err(StoreError::DiskFull)).boxed(),
            Gate::Slow => {
                let done = operation();
                let mut opened = gate.subscribe();
                async move {
                    // A gate that is gone keeps nobody.
                    let _ = opened.wait_for(|gate| *gate == Gate::Open).await;
                    done.await
                }
                .boxed()
            }
        }
    }
}

impl Default for GatedStore {
    fn default() -> Self {
        Self::new(QueueLimits::default())
    }
}

impl DeviceStore for GatedStore {
    fn arrive(&self, arrival: Arrival, now: Timestamp) -> BoxFuture<'static, Result<Arrived, StoreError>> {
        self.pass(&self.arrive, || {
            self.arrived.fetch_add(1, Ordering::SeqCst);
            self.inner.arrive(arrival, now)
        })
    }

    fn depart(&self, device: Device, now: Timestamp) -> BoxFuture<'static, Result<(), StoreError>> {
        self.pass(&self.depart, || {
            self.departed.fetch_add(1, Ordering::SeqCst);
            self.inner.depart(device, now)
        })
    }

    fn append(
        &self,
        to: To,
        message: Message,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Appended, StoreError>> {
        self.pass(&self.append, || self.inner.append(to, message, now))
    }

    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>> {
        self.pass(&self.read, || self.inner.read(device, after, limit, now))
    }

    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>> {
        self.pass(&self.acknowledge, || self.inner.acknowledge(device, what, now))
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.pass(&self.acknowledge, || self.inner.told(device, numbers))
    }

    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>> {
        self.inner.expire(now)
    }
}
