//! The keys of messages that were accepted lately.
//!
//! In: keys, the time. Out: which are known. Knows no message.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::change::Change;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Keys {
    known: HashSet<Arc<str>>,
    /// In the order in which they came.
    order: VecDeque<(Timestamp, Arc<str>)>,
}

impl Keys {
    pub(super) fn contains(&self, key: &str) -> bool {
        self.known.contains(key)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// All that are known, in the order in which they came.
    #[cfg(feature = "nats")]
    pub(super) fn all(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        self.order.iter().map(|(at, key)| (*at, key))
    }

    /// Whether there is room for one more.
    pub(super) fn check_room(&self, limit: usize) -> Result<(), StoreError> {
        if self.known.len() < limit { Ok(()) } else { Err(StoreError::TooMany("keys")) }
    }

    pub(super) fn insert<B>(&mut self, key: Arc<str>, at: Timestamp, changes: &mut Vec<Change<B>>) {
        self.restore(Arc::clone(&key), at);
        changes.push(Change::PutKey { key, at });
    }

    /// As [`Keys::insert`], for what is kept already. Call it in the order of their times.
    pub(super) fn restore(&mut self, key: Arc<str>, at: Timestamp) {
        if self.known.insert(Arc::clone(&key)) {
            self.order.push_back((at, key));
        }
    }

    /// Forgets those whose window is over.
    pub(super) fn expire<B>(&mut self, window: Duration, now: Timestamp, changes: &mut Vec<Change<B>>) {
        while let Some((_, key)) = self.order.pop_front_if(|(at, _)| at.after(window) <= now) {
            self.known.remove(&key);
            changes.push(Change::DeleteKey { key });
        }
    }
}
