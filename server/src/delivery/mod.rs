//! Messages to users, kept for each of their devices until acknowledged.
//!
//! ```text
//! deliver ──▶ DeviceStore (durable) ──▶ live: the device's sockets on this node ──▶ acknowledgement ──▶ removed
//! connect ──▶ settings, one batch of what is kept ──▶ one acknowledgement ──▶ exactly that is removed
//! ```
//!
//! In: messages, devices that come and go, acknowledgements. Out: entries to send, each device's in order. What
//! a store must do stands at [`DeviceStore`]; copy `memory.rs` to write another, and run the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokensocket_protocol::{Epoch, RawJson};

use crate::store::StoreError;
use crate::timestamp::Timestamp;

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

    /// Everybody.
    pub fn everyone() -> Self {
        Self::Everyone
    }
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
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            count: 1_000,
            bytes: 1 << 20,
            age: Duration::from_secs(7 * 24 * 3600),
            key_window: Duration::from_secs(300),
            keys: 100_000,
            devices: 1_000_000,
        }
    }
}

/// Why a device must fetch its whole state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResyncReason {
    /// An acknowledgement was not for the head of its event's queue.
    Order,
    /// The queue was full.
    Overflow,
    /// An entry was kept for as long as it may be, unacknowledged.
    Expired,
    /// The store lost entries, and knows it.
    Lost,
}

impl ResyncReason {
    /// The reason on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::Lost => "lost",
        }
    }
}

/// What a device must be told besides its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
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
    /// What it must be told. It is told again at each arrival until one is followed by
    /// [`DeviceStore::told`].
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
    /// The queue is empty now, and the device has to resync. The next `seq` is one more than this.
    Overflowed(u64),
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
/// - An entry is removed only by its acknowledgement, its age, an overflow or resync that the device is told of,
///   or the end of its device's time to live.
/// - A device that is connected (arrived more often than it departed) does not expire. When a process dies, its
///   devices count as departed at the moment at which the store is opened again.
/// - Of calls that were made one after the other, the later one sees what the earlier one did, even if that has
///   not resolved yet. Dropping a future does not undo its call.
/// - Nothing in here blocks or panics; work in the background belongs to the store and ends with it.
pub trait DeviceStore: Send + Sync + 'static {
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

    /// What is kept for a device behind `after`, in order. Entries past their age are not given.
    fn read(
        &self,
        device: Device,
        after: u64,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<Entry>, StoreError>>;

    /// Removes what the device has. An entry that is gone already is no error. Resolves to what the device must be
    /// told, when this was not for the head of its event's queue and that entry's message has `resync` set.
    fn acknowledge(
        &self,
        device: Device,
        what: Acknowledge,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Option<Resync>, StoreError>>;

    /// The device was told to resync: what [`Arrived::resyncs`] or [`Expired::resyncs`] named is done with.
    fn told(&self, device: Device) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Removes what is past its time. Called about every ten seconds.
    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Expired, StoreError>>;
}

/// What the passing of time removed.
#[derive(Debug, Clone, Default)]
pub struct Expired {
    /// Devices whose time to live was over.
    pub devices: usize,
    /// Connected devices that have to resync, because an entry of theirs was too old.
    pub resyncs: Vec<(Device, Resync)>,
}
