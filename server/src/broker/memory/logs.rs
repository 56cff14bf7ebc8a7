//! The logs of all channels with history, each with a lock of its own.
//!
//! In: channels. Out: their logs, held. Must not know: who follows a channel, or what is done with a log while it
//! is held.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Epoch, RawJson};

use crate::broker::BrokerError;
use crate::history::History;
use crate::history::log::Log;
use crate::timestamp::Timestamp;

/// How many parts the table has, each with its own lock.
const SHARDS: usize = 64;

/// `None` when the log was forgotten: whoever still holds it looks again.
type Slot = Arc<Mutex<Option<Log<RawJson>>>>;

/// The logs by channel.
pub(super) struct Logs {
    shards: Box<[Mutex<HashMap<Channel, Slot>>]>,
    hasher: RandomState,
    channels: AtomicUsize,
    /// Of all messages that are kept.
    bytes: AtomicUsize,
    pub(super) most_channels: usize,
    pub(super) most_bytes: usize,
}

impl Logs {
    pub(super) fn new(most_channels: usize, most_bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            channels: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            most_channels,
            most_bytes,
        }
    }

    /// Does something with a channel's log while nobody else does. A channel without one gets an empty log.
    pub(super) fn with<R>(
        &self,
        channel: &Channel,
        history: &History,
        now: Timestamp,
        work: impl FnOnce(&mut Log<RawJson>) -> R,
    ) -> Result<R, BrokerError> {
        loop {
            let slot = self.slot(channel, history, now)?;
            let mut slot = slot.lock();
            if let Some(log) = &mut *slot {
                let before = log.bytes();
                let done = work(log);
                self.count(before, log.bytes());
                return Ok(done);
            }
        }
    }

    /// How many bytes a log that holds `own` by now may hold at most.
    pub(super) fn room(&self, own: usize) -> usize {
        self.most_bytes.saturating_sub(self.bytes.load(Ordering::Relaxed).saturating_sub(own))
    }

    /// Drops what is too old, and logs that nobody has published to or read for long, unless `is_followed`.
    pub(super) fn expire(&self, now: Timestamp, is_followed: impl Fn(&Channel) -> bool) {
        for shard in &self.shards {
            let slots: Vec<_> =
                shard.lock().iter().map(|(channel, slot)| (channel.clone(), Arc::clone(slot))).collect();
            for (channel, slot) in slots {
                let may_be_forgotten = slot.lock().as_mut().is_some_and(|log| {
                    let before = log.bytes();
                    log.trim(now);
                    self.count(before, log.bytes());
                    log.is_forgotten(now)
                });
                // Asked while nothing is held: the answer takes locks of its own.
                if may_be_forgotten && !is_followed(&channel) {
                    self.forget(shard, &channel, now);
                }
            }
        }
    }

    /// Forgets a log, unless somebody came back to it.
    fn forget(&self, shard: &Mutex<HashMap<Channel, Slot>>, channel: &Channel, now: Timestamp) {
        let mut shard = shard.lock();
        let Some(slot) = shard.get(channel).cloned() else { return };
        // Who holds it is using it.
        let Some(mut slot) = slot.try_lock() else { return };
        if slot.as_ref().is_some_and(|log| log.is_forgotten(now))
            && let Some(log) = slot.take()
        {
            self.count(log.bytes(), 0);
            self.channels.fetch_sub(1, Ordering::Relaxed);
            shard.remove(channel);
        }
    }

    fn slot(&self, channel: &Channel, history: &History, now: Timestamp) -> Result<Slot, BrokerError> {
        let shard = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or_default();
        let mut shard = self.shards[shard].lock();
        if let Some(slot) = shard.get(channel) {
            return Ok(Arc::clone(slot));
        }
        if self.channels.load(Ordering::Relaxed) >= self.most_channels {
            return Err(BrokerError::TooMany("channels with history"));
        }
        self.channels.fetch_add(1, Ordering::Relaxed);
        let log = Log::new(Epoch::from_random(rand::random()), history.clone(), now);
        let slot = Slot::new(Mutex::new(Some(log)));
        shard.insert(channel.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    fn count(&self, before: usize, after: usize) {
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }
}
