//! Messages to users, kept for each of their devices until acknowledged.
//!
//! ```text
//! deliver ──▶ DeviceStore (durable) ──▶ live: the device's sockets on this node ──▶ acknowledgement ──▶ removed
//! connect ──▶ settings, one batch of what is kept ──▶ one acknowledgement ──▶ exactly that is removed
//! ```
//!
//! In: messages, devices that come and go, acknowledgements. Out: entries to send, each device's in order. What
//! a store must do stands at [`DeviceStore`]; copy `memory.rs` to write another, and run the conformance suite.

pub(crate) mod live;
mod memory;
pub(crate) mod queues;
pub(crate) mod requests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
pub use tokensocket_protocol::ResyncReason;
use tokensocket_protocol::{Epoch, RawJson};

use crate::node_id::NodeId;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

pub use memory::MemoryDeviceStore;

/// One device of one user: what a queue belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// The identity's user id.
    pub user: Arc<str>,
    /// The client's name for its device; made up for a connection that gave none.
    pub id: Arc<str>,
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum To {
    /// All devices of these users.
    Users(Vec<Arc<str>>),
    /// All devices of every user who was in this room when last seen.
    Room(Arc<str>),
    /// All devices of every user who was in one of these rooms when last seen, each device once.
    Rooms(Vec<Arc<str>>),
    /// All devices.
    Everyone,
}

impl To {
    /// One user.
    pub fn user(id: impl Into<Arc<str>>) -> Self {
        Self::Users(vec![id.into()])
    }

    /// Several users; each is meant once.
    pub fn users<U: Into<Arc<str>>>(ids: impl IntoIterator<Item = U>) -> Self {
        Self::Users(ids.into_iter().map(Into::into).collect())
    }

    /// Everybody in a room, devices that are away included.
    pub fn room(name: impl Into<Arc<str>>) -> Self {
        Self::Room(name.into())
    }

    /// Everybody in any of several rooms. Whoever is in more than one of them is meant once.
    pub fn rooms<R: Into<Arc<str>>>(names: impl IntoIterator<Item = R>) -> Self {
        Self::Rooms(names.into_iter().map(Into::into).collect())
    }

    /// Everybody.
    pub fn everyone() -> Self {
        Self::Everyone
    }
}

/// How a message is delivered.
#[derive(Debug, Clone, Default)]
pub struct DeliverOptions {
    pub(crate) resync: bool,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) request: Option<Arc<str>>,
}

impl DeliverOptions {
    /// Acknowledged in any order, and accepted as often as it is delivered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether order matters so much that a device which acknowledges the message before an earlier one of the same
    /// event has to resync. No by default. See [`Message::resync`].
    #[must_use]
    pub fn resync(mut self, resync: bool) -> Self {
        self.resync = resync;
        self
    }

    /// Names the request that this delivery is of in the log: where it is kept, and where each device acknowledges it,
    /// both at the level `debug`. Not known any more after a restart, nor of very many deliveries at once.
    #[must_use]
    pub fn request(mut self, name: impl Into<Arc<str>>) -> Self {
        self.request = Some(name.into());
        self
    }

    /// Within the store's window, 5 minutes by default, a message of the same key is the same message, whomever it
    /// is for. 1 to 128 bytes.
    #[must_use]
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// What became of a message that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// For how many devices it was kept. One whose queue was full, so that it has to resync, is among them.
    pub devices: usize,
    /// A message of this key had been accepted before; nothing was kept now.
    pub duplicate: bool,
}

/// What is kept for a device.
#[derive(Debug, Clone)]
pub struct Message {
    /// The event's name.
    pub event: Arc<str>,
    /// Its arguments: a JSON array.
    pub args: RawJson,
    /// An acknowledgement that is not for the head of this event's queue clears that queue and asks the device
    /// to resync.
    pub resync: bool,
    /// Within the store's window, a message of the same key is the same message.
    pub key: Option<Arc<str>>,
}

/// One message in one device's queue.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the device's queue: 1, 2, 3 within the queue's epoch, without gaps as they are appended.
    pub seq: u64,
    /// What it says.
    pub message: Message,
    /// When it was accepted.
    pub at: Timestamp,
}

/// How much one device's queue holds. Beyond that the queue is cleared, and the device told to resync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLimits {
    /// Entries. Default 1,000.
    pub count: usize,
    /// Bytes of events and arguments. Default 1 MiB: all of it may be sent in one batch.
    pub bytes: usize,
    /// How long an entry is kept. Default 7 days.
    pub age: Duration,
    /// For how long a key is remembered. Default 5 minutes.
    pub key_window: Duration,
    /// How many keys are remembered; a message with one more is refused. Default 100,000.
    pub keys: usize,
    /// How many devices are remembered; one more cannot connect. Default 1,000,000.
    pub devices: usize,
    /// How many devices of one user are remembered. One more takes the place of the one that has been away the
    /// longest; while all are connected, it cannot connect. So no user takes the others' places. Default 1,000.
    pub devices_per_user: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            count: 1_000,
            bytes: 1 << 20,
            age: Duration::from_hours(7 * 24),
            key_window: Duration::from_mins(5),
            keys: 100_000,
            devices: 1_000_000,
            devices_per_user: 1_000,
        }
    }
}

/// What a device must be told besides its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// Counts the device's resyncs: 1, 2, 3. [`DeviceStore::told`] names it.
    pub number: u64,
    /// Which event's queue was cleared; `None` when all were.
    pub event: Option<Arc<str>>,
    /// Why.
    pub reason: ResyncReason,
}

/// A device that connects.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Which.
    pub device: Device,
    /// The rooms its user is in from now on, on all devices.
    pub rooms: Vec<Arc<str>>,
    /// How long it is remembered after its last connection ended. Nothing: forgotten with it.
    pub ttl: Duration,
}

/// What a device finds when it connects.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Names the run of its `seq`s. Another epoch than last time: entries may have been lost.
    pub epoch: Epoch,
    /// The device was known.
    pub resumed: bool,
    /// The last `seq` appended to its queue so far; 0 for none.
    pub last: u64,
    /// What it must be told. It is told again at each arrival until [`DeviceStore::told`] says that it knows.
    pub resyncs: Vec<Resync>,
}

/// Where a message ended up.
#[derive(Debug, Clone, Default)]
pub struct Appended {
    /// For each device, in no order: its `seq`, or that its queue overflowed and was cleared, this message
    /// included.
    pub queued: Vec<(Device, Queued)>,
    /// A message of this key had been accepted before; nothing was appended now.
    pub duplicate: bool,
}

/// What became of a message in one device's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queued {
    /// It stands at this `seq`.
    At(u64),
    /// The queue is empty now, and the device has to resync.
    Overflowed {
        /// The next `seq` is one more than this.
        last: u64,
        /// What the device must be told.
        resync: Resync,
    },
}

/// What an acknowledgement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// This entry.
    One(u64),
    /// This entry and all before it: a batch, which held exactly those.
    Through(u64),
}

/// Keeps each device's queue.
///
/// Duties of an implementation:
/// - What [`append`](DeviceStore::append) resolves to is durable in the meaning that the store states: for one
///   on disk, it survives the process and, unless configured otherwise, the machine.
/// - A device's `seq`s are contiguous in the order in which its messages were accepted, within an epoch. An epoch is never
///   used again once entries of it were lost or the device was forgotten.
/// - A message that no queue can hold is refused with [`StoreError::TooLarge`], so that it clears none.
/// - An entry is removed only by its acknowledgement, its age, an overflow or resync that the device is told of,
///   or the end of its device's time to live.
/// - A device that is connected (arrived more often than it departed) does not expire. When a process dies, its
///   devices count as departed at the moment at which the store is opened again.
/// - Of calls that were made one after the other, the later one sees what the earlier one did, even if that has
///   not resolved yet. Dropping a future does not undo its call.
/// - What [`read`](DeviceStore::read) and [`arrive`](DeviceStore::arrive) resolve to is as durable as what an
///   `append` resolves to: they wait for the appends that they saw. Else a device could hold an entry that the store forgets.
/// - A call that resolves to a refusal (see [`StoreError`]) has changed nothing. After any other error it may be as if it
///   had been done, or not; it is the same for every later call.
/// - Nothing in here blocks or panics; work in the background belongs to the store and ends with it.
/// - Where several nodes share it: what another node did for a device that has arrived on this one is told to this node's
///   [`DeviceHandler`]. That may come late, twice, or not at all; a store that may have lost some says so.
pub trait DeviceStore: Send + Sync + 'static {
    /// Whose calls follow, and whom to tell what other nodes do. Called once, before all else. By default there are no
    /// others.
    fn start(&self, node: NodeId, handler: Weak<dyn DeviceHandler>) -> Result<(), StoreError> {
        let _ = (node, handler);
        Ok(())
    }

    /// Whether what is [appended](DeviceStore::append) while its engine is away waits for it, as
    /// [`Outage::Buffer`](crate::Outage::Buffer) has it: then whoever delivers waits until it is kept or refused, with no
    /// limit of time but his own, so each must come to an end once the engine is back; otherwise for the `store_timeout`.
    fn holds(&self) -> bool {
        false
    }

    /// A device has connected.
    fn arrive(&self, arrival: Arrival, now: Timestamp) -> BoxFuture<'static, Result<Arrived, StoreError>>;

    /// A connection of the device has ended.
    fn depart(&self, device: Device, now: Timestamp) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Appends a message to the queue of every device it is for: those that are connected, and those that were
    /// within their time to live. Durable when it resolves.
    fn append(
        &self,
        to: To,
        message: Message,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Appended, StoreError>>;

    /// What is kept for a device behind `after`, in order: everything that an acknowledgement through the last of
    /// them would remove. An entry past its age is among them until [`expire`](DeviceStore::expire) or an arrival
    /// has made a resync of it.
    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>>;

    /// Removes what the device has. An entry that is gone already is no error, and neither is one that was never
    /// there. Resolves to what the device must be told, when this was not for the head of its event's queue and that
    /// entry's message has `resync` set.
    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>>;

    /// The device knows of its resyncs with these [`Resync::number`]s; they are done with.
    fn told(&self, device: Device, numbers: Vec<u64>) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Removes what is past its time. Called about every ten seconds.
    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>>;

    /// How much is kept now, for whoever watches; `None`, which is the default: this is not counted. Must not wait.
    fn counts(&self) -> Option<QueueCounts> {
        None
    }
}

/// Is told by a [`DeviceStore`] what other nodes did for devices that have arrived on this one. Its methods return
/// quickly and never wait for a socket.
pub trait DeviceHandler: Send + Sync {
    /// Something was appended to a device's queue. Without the message it is to be read.
    fn handle_queued(&self, device: &Device, queued: &Queued, message: Option<&Message>);

    /// The device must be told this.
    fn handle_resync(&self, device: &Device, resync: &Resync);

    /// Some of what was to be told may be lost: each device's queue is to be looked at.
    fn handle_gap(&self);
}

/// How much a store of device queues keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Devices that are known.
    pub devices: usize,
    /// Entries that wait to be acknowledged, of all devices; `None` where to count them would take too long.
    pub entries: Option<usize>,
}

/// Counting looks at each device, and holds up who delivers: with so many, a millisecond.
const MOST_COUNTED: usize = 100_000;

impl QueueCounts {
    pub(crate) fn of<B: Clone>(queues: &queues::Queues<B>) -> Self {
        let devices = queues.devices();
        Self { devices, entries: (devices <= MOST_COUNTED).then(|| queues.entries()) }
    }
}

/// What the passing of time removed.
#[derive(Debug, Clone, Default)]
pub struct Expired {
    /// Devices whose time to live was over.
    pub devices: usize,
    /// Connected devices that have to resync, because an entry of theirs was too old.
    pub resyncs: Vec<(Device, Resync)>,
}
