//! Queues of devices that all nodes hold alike.
//!
//! ```text
//! arrive, depart, append, acknowledge, told, expire ──▶ replica ──▶ machine (Queues) ──▶ the outcome
//! read ───────────────────────────────── between the own calls ──────┘       └──▶ hints, to the node
//! ```
//!
//! In: what [`DeviceStore`] asks. Out: the same as from memory, kept by JetStream. Knows no stream.

mod command;
mod image;
mod machine;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Nats;
use super::replica::{Listener, NatsReplicaOptions, Replica};
use crate::delivery::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceHandler, DeviceStore, Entry, Expired, Message,
    QueueCounts, QueueLimits, Resync, To,
};
use crate::node_id::NodeId;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

use command::Command;
use machine::{Devices, Hint, Output};

/// Device queues that all nodes share by a stream of NATS.
///
/// The stream is a log of all calls. Each node does them, in its one order, to queues in its memory, and answers its
/// callers when it sees their call come back: then JetStream has stored it. So what holds for
/// [`MemoryDeviceStore`](crate::MemoryDeviceStore) holds here, for all nodes together, and a node that is killed loses
/// nothing that was answered. What a server of NATS loses with its machine's power, where the stream has no
/// [`replicas`](crate::NatsOptions::replicas) (what came since its last `sync_interval`), is found out by nodes that knew
/// of it: all devices are told to resync (`lost`).
///
/// Each node holds all queues in memory, about 200 bytes for an entry, 400 for a device, and each message once; all of it
/// at most [`NatsReplicaOptions::max_bytes`]. Each node reads all calls. So more nodes make room for more connections, not
/// for more deliveries; for these give sites namespaces of their own.
///
/// Devices of a node that died count as departed when its lease is over (30 s) and another node has looked (each 10 s).
/// The clocks of nodes should agree to a second or so: times to live are counted by what callers say.
pub struct NatsDeviceStore {
    replica: Replica<Devices>,
    listener: Arc<Told>,
    /// What a queue holds at most.
    bytes: usize,
}

type Outcome<R> = BoxFuture<'static, Result<R, StoreError>>;

impl NatsDeviceStore {
    /// Queues as wide as by default. Must be called within a tokio runtime, on which the store's work is done.
    pub fn new(nats: &Nats) -> Self {
        Self::with(nats, QueueLimits::default(), NatsReplicaOptions::new().lease(nats.link.options.lease))
    }

    /// Queues that hold so much. Of nodes that say different things the last to start is right, for all.
    pub fn with(nats: &Nats, limits: QueueLimits, options: NatsReplicaOptions) -> Self {
        let listener = Arc::new(Told::default());
        let (bytes, total) = (limits.bytes, options.max_bytes);
        let opening = move |devices: &Devices| devices.opening(&limits, total).into_iter().collect();
        let told: Arc<dyn Listener<Devices>> = Arc::clone(&listener) as _;
        Self { replica: Replica::start(nats, "devices", options, told, opening), listener, bytes }
    }

    /// Resolves after the drop of this store, once the other nodes have been told that it is over, or that could not be
    /// done within a second.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.replica.ended()
    }

    fn call<R: Send + 'static>(
        &self,
        command: Command,
        take: impl FnOnce(Output) -> Option<Result<R, StoreError>> + Send + 'static,
    ) -> Outcome<R> {
        let called = self.replica.call(command);
        async move { take(called.await?).unwrap_or(Err(StoreError::Closed)) }.boxed()
    }
}

impl std::fmt::Debug for NatsDeviceStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NatsDeviceStore")
    }
}

impl DeviceStore for NatsDeviceStore {
    fn start(&self, _: NodeId, handler: Weak<dyn DeviceHandler>) -> Result<(), StoreError> {
        self.listener
            .0
            .set(handler)
            .map_err(|_| StoreError::Unavailable("the store is another node's: make one for each".to_owned()))
    }

    fn arrive(&self, arrival: Arrival, now: Timestamp) -> Outcome<Arrived> {
        let Arrival { device, rooms, ttl } = arrival;
        let (user, id) = (device.user, device.id);
        let command =
            Command::Arrive { user, id, rooms, ttl: command::millis(ttl), now, seed: rand::random() };
        // Whoever does not know whether it has arrived would arrive twice.
        let called = self.replica.call_patiently(command);
        async move {
            match called.await? {
                Output::Arrived(arrived) => arrived,
                _ => Err(StoreError::Closed),
            }
        }
        .boxed()
    }

    fn depart(&self, device: Device, now: Timestamp) -> Outcome<()> {
        let Device { user, id } = device;
        self.call(Command::Depart { user, id, now }, |_| Some(Ok(())))
    }

    fn holds(&self) -> bool {
        self.replica.holds()
    }

    fn append(&self, to: To, message: Message, now: Timestamp) -> Outcome<Appended> {
        let Message { event, args, resync, key } = message;
        let bytes = event.len() + args.as_bytes().len();
        if bytes > self.bytes {
            // The log need not carry it.
            let refused = StoreError::TooLarge { bytes, limit: self.bytes };
            return std::future::ready(Err(refused)).boxed();
        }
        let command = Command::Append { to: to.into(), event, args, resync, key, now };
        self.call(command, |output| match output {
            Output::Appended(appended) => Some(appended),
            _ => None,
        })
    }

    fn read(&self, device: Device, after: u64, limit: usize, now: Timestamp) -> Outcome<Vec<Entry>> {
        self.replica.read(move |devices| Ok(devices.read(&device, after, limit, now)))
    }

    fn acknowledge(&self, device: Device, what: Acknowledge, _: Timestamp) -> Outcome<Option<Resync>> {
        let Device { user, id } = device;
        let command = match what {
            Acknowledge::One(seq) => Command::Acknowledge { user, id, seq, through: false },
            Acknowledge::Through(seq) => Command::Acknowledge { user, id, seq, through: true },
        };
        self.call(command, |output| match output {
            Output::Acknowledged(resync) => Some(Ok(resync)),
            _ => None,
        })
    }

    fn told(&self, device: Device, numbers: Vec<u64>) -> Outcome<()> {
        let Device { user, id } = device;
        self.call(Command::Told { user, id, numbers }, |_| Some(Ok(())))
    }

    fn expire(&self, now: Timestamp) -> Outcome<Expired> {
        let ended = self.replica.end_silent(now);
        let expired = self.call(Command::Expire { now }, |output| match output {
            Output::Expired(expired) => Some(Ok(expired)),
            _ => None,
        });
        async move {
            ended.await?;
            expired.await
        }
        .boxed()
    }

    fn counts(&self) -> Option<QueueCounts> {
        Some(self.replica.peek(Devices::counts))
    }
}

/// Tells the node, once there is one.
#[derive(Default)]
struct Told(OnceLock<Weak<dyn DeviceHandler>>);

impl Listener<Devices> for Told {
    fn hear(&self, hints: Vec<Hint>) {
        let Some(handler) = self.0.get().and_then(Weak::upgrade) else { return };
        for hint in hints {
            match hint {
                Hint::Queued(device, queued, message) => {
                    handler.handle_queued(&device, &queued, Some(&message));
                }
                Hint::Resync(device, resync) => handler.handle_resync(&device, &resync),
            }
        }
    }

    fn gap(&self) {
        if let Some(handler) = self.0.get().and_then(Weak::upgrade) {
            handler.handle_gap();
        }
    }
}
