//! What an operation on the queues changed, in values that a store can keep as they are.
//!
//! Knows nothing of how they are kept.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{Device, Resync};
use crate::timestamp::Timestamp;

/// One write. A store that keeps what was put and not deleted can restore the queues by
/// [`Queues::restore`](super::Queues::restore), from the writes in any order, or from a log of them in theirs.
///
/// The changes of one operation are in such an order that a store may end after any of them: an entry is then
/// kept once too long, never lost without its device being told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<B> {
    /// A user has devices, and is in these rooms.
    PutUser {
        /// The identity's user id.
        user: Arc<str>,
        /// Sorted.
        rooms: Vec<Arc<str>>,
    },
    /// The user has no devices any more.
    DeleteUser {
        /// The identity's user id.
        user: Arc<str>,
    },
    /// A device, and all there is to know of it but its entries.
    PutDevice(DeviceRecord),
    /// The device is forgotten.
    DeleteDevice {
        /// Its [`DeviceRecord::number`].
        number: u64,
    },
    /// A message that entries refer to, kept once for all of them.
    PutMessage(Accepted<B>),
    /// No entry refers to it any more.
    DeleteMessage {
        /// Its [`Accepted::id`].
        id: u64,
    },
    /// A message stands in a device's queue.
    PutEntry {
        /// The device's number.
        device: u64,
        /// Its place.
        seq: u64,
        /// The message's id.
        message: u64,
    },
    /// It stands there no more.
    DeleteEntry {
        /// The device's number.
        device: u64,
        /// Its place.
        seq: u64,
    },
    /// A message of this key was accepted.
    PutKey {
        /// The sender's name for it.
        key: Arc<str>,
        /// When.
        at: Timestamp,
    },
    /// The key's window is over.
    DeleteKey {
        /// The sender's name for it.
        key: Arc<str>,
    },
}

/// A device as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Names the device in other changes. Never used for another while anything of this one is kept.
    pub number: u64,
    /// Which device.
    pub device: Device,
    /// Its epoch, as [`Epoch::from_random`](tokensocket_protocol::Epoch::from_random) takes it.
    pub epoch: u64,
    /// The last `seq` appended, or an earlier one while a later entry is kept.
    pub last: u64,
    /// How long it is remembered.
    pub ttl: Duration,
    /// When its last connection ended; `None` while it is connected.
    pub departed: Option<Timestamp>,
    /// The last [`Resync::number`].
    pub noted: u64,
    /// What it was not told yet.
    pub resyncs: Vec<Resync>,
}

/// A message that is to be appended. `B` is what is kept of its arguments in memory: themselves, or nothing if
/// they are read from elsewhere by [`Accepted::id`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content<B> {
    /// The event's name.
    pub event: Arc<str>,
    /// Its arguments, as far as they are kept here.
    pub args: B,
    /// How many bytes the event and the arguments have.
    pub bytes: usize,
    /// As [`Message::resync`](crate::Message::resync).
    pub resync: bool,
    /// As [`Message::key`](crate::Message::key).
    pub key: Option<Arc<str>>,
}

/// A message that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<B> {
    /// Names the message in other changes. Never used for another while anything refers to this one.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub content: Content<B>,
}

/// A message in a device's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<B> {
    /// Its place.
    pub seq: u64,
    /// What stands there.
    pub message: Accepted<B>,
}
