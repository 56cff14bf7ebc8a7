//! Local fan-out: which sockets of this node follow which channel.
//!
//! ```text
//! Broker ──Publication──▶ Hub ──▶ Entry (pending, encoded once per format) ──▶ Outbox of each follower
//! ```
//!
//! In: publications from the broker, sockets that come and go. Out: bytes, the same for every follower of
//! a wire format. Never waits: a slow reader is its outbox's affair.

mod cork;
mod entry;
mod part;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
#[allow(unsafe_code, reason = "the kernel is handed pointers")]
mod ring;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, RawJson};
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::broker::{Broker, BrokerError};
use crate::socket::{Socket, SocketId};
use entry::Entry;

pub(crate) use cork::corked;

/// How many parts the table of channels has, each with its own lock.
const SHARDS: usize = 64;

type Shard = Mutex<HashMap<Channel, Arc<Entry>>>;

/// The followers of every channel of this node.
pub(crate) struct Hub {
    shards: Box<[Shard]>,
    hasher: RandomState,
    /// What large channels are served in.
    tasks: TaskTracker,
}

impl Hub {
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { shards, hasher: RandomState::new(), tasks }
    }

    /// Adds a follower. The broker is told; the future says when it follows the channel.
    pub(crate) fn add(
        &self,
        channel: &Channel,
        socket: &Socket,
        access: &Access,
        broker: &dyn Broker,
    ) -> Option<BoxFuture<'static, Result<(), BrokerError>>> {
        loop {
            let entry = self.find(channel).unwrap_or_else(|| {
                // The application's own code: asked before the table is locked.
                let droppable = access.drops_oldest(channel);
                let new = || Arc::new(Entry::new(channel, droppable, self.tasks.clone()));
                Arc::clone(self.shard(channel).lock().entry(channel.clone()).or_insert_with(new))
            });
            if let Ok(told) = entry.add(socket, || broker.subscribe(channel)) {
                return told;
            }
        }
    }

    /// Removes a follower. For the last one of a channel the broker is told.
    pub(crate) fn remove(
        &self,
        channel: &Channel,
        id: SocketId,
        broker: &dyn Broker,
    ) -> Option<BoxFuture<'static, Result<(), BrokerError>>> {
        let entry = self.find(channel)?;
        let told = entry.remove(id, || broker.unsubscribe(channel))?;
        let mut shard = self.shard(channel).lock();
        if shard.get(channel).is_some_and(|current| Arc::ptr_eq(current, &entry)) {
            shard.remove(channel);
        }
        Some(told)
    }

    /// Hands a publication to every follower, at the end of the burst if there is one.
    pub(crate) fn publish(&self, channel: &Channel, message: &RawJson, access: &Access) {
        let Some(entry) = self.find(channel) else { return };
        if access.filter.is_some() {
            return entry.publish_filtered(channel, message, access);
        }
        entry.append(message);
        cork::flush_soon(&entry);
    }

    /// The channels that have followers here, in no order.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        self.shards.iter().flat_map(|shard| shard.lock().keys().cloned().collect::<Vec<_>>()).collect()
    }

    /// The followers of a channel here.
    pub(crate) fn sockets(&self, channel: &Channel) -> Vec<Socket> {
        self.find(channel).map_or_else(Vec::new, |entry| entry.sockets())
    }

    fn find(&self, channel: &Channel) -> Option<Arc<Entry>> {
        self.shard(channel).lock().get(channel).cloned()
    }

    fn shard(&self, channel: &Channel) -> &Shard {
        let hash = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or_default();
        &self.shards[hash]
    }
}
