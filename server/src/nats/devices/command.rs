//! What is done to the queues, as it stands in the log.
//!
//! In: calls. Out: their text, and back. Knows no queue. A change of what is here is another version of the log.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokensocket_protocol::RawJson;

use crate::delivery::{QueueLimits, To};
use crate::timestamp::Timestamp;

/// One call, with everything that it depends on. Times are milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Command {
    /// How much is held from now on.
    #[serde(rename = "limits")]
    Limits { limits: Limits, total: usize },
    #[serde(rename = "arrive")]
    Arrive { user: Arc<str>, id: Arc<str>, rooms: Vec<Arc<str>>, ttl: u64, now: Timestamp, seed: u64 },
    #[serde(rename = "depart")]
    Depart { user: Arc<str>, id: Arc<str>, now: Timestamp },
    #[serde(rename = "append")]
    Append {
        to: Whom,
        event: Arc<str>,
        args: RawJson,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        resync: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Arc<str>>,
        now: Timestamp,
    },
    #[serde(rename = "ack")]
    Acknowledge {
        user: Arc<str>,
        id: Arc<str>,
        seq: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        through: bool,
    },
    #[serde(rename = "told")]
    Told { user: Arc<str>, id: Arc<str>, numbers: Vec<u64> },
    #[serde(rename = "expire")]
    Expire { now: Timestamp },
    /// A device is connected so often at the writer, whatever was known of that. It was given what is up to `last`.
    #[serde(rename = "assert")]
    Assert {
        user: Arc<str>,
        id: Arc<str>,
        /// Of a user of whom nothing is known.
        rooms: Vec<Arc<str>>,
        ttl: u64,
        times: usize,
        last: u64,
        now: Timestamp,
        seed: u64,
    },
}

/// As [`To`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Whom {
    #[serde(rename = "users")]
    Users(Vec<Arc<str>>),
    #[serde(rename = "rooms")]
    Rooms(Vec<Arc<str>>),
    #[serde(rename = "all")]
    Everyone,
}

impl From<To> for Whom {
    fn from(to: To) -> Self {
        match to {
            To::Users(users) => Self::Users(users),
            To::Room(room) => Self::Rooms(vec![room]),
            To::Rooms(rooms) => Self::Rooms(rooms),
            To::Everyone => Self::Everyone,
        }
    }
}

impl From<Whom> for To {
    fn from(whom: Whom) -> Self {
        match whom {
            Whom::Users(users) => Self::Users(users),
            Whom::Rooms(rooms) => Self::Rooms(rooms),
            Whom::Everyone => Self::Everyone,
        }
    }
}

/// As [`QueueLimits`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Limits {
    count: usize,
    bytes: usize,
    age: u64,
    key_window: u64,
    keys: usize,
    devices: usize,
    devices_per_user: usize,
}

impl From<&QueueLimits> for Limits {
    fn from(limits: &QueueLimits) -> Self {
        let QueueLimits { count, bytes, age, key_window, keys, devices, devices_per_user } = limits.clone();
        Self {
            count,
            bytes,
            age: millis(age),
            key_window: millis(key_window),
            keys,
            devices,
            devices_per_user,
        }
    }
}

impl From<Limits> for QueueLimits {
    fn from(limits: Limits) -> Self {
        let Limits { count, bytes, age, key_window, keys, devices, devices_per_user } = limits;
        let (age, key_window) = (Duration::from_millis(age), Duration::from_millis(key_window));
        Self { count, bytes, age, key_window, keys, devices, devices_per_user }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
