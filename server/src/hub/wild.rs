//! Who follows many channels at once, by a pattern.
//!
//! In: patterns, their followers, channels. Out: who follows a channel by patterns only: its guests. They are in the
//! channel's own entry beside its followers, so that everybody there is once and sees one order. An entry that has
//! only guests is made by a publication and ended when nothing is under way; the next publication makes another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tokensocket_protocol::{Channel, Pattern};

use super::part::Followers;
use crate::broker::{Broker, BrokerError};
use crate::socket::{Socket, SocketId};

/// How many entries publications may make before those that are idle are ended at once.
const MOST_MADE: usize = 8192;
/// How often a pattern is held against a channel to find those of a gap: some milliseconds.
const MOST_STEPS: usize = 1 << 18;

/// The followers of every pattern of this node.
#[derive(Default)]
pub(super) struct Wild {
    patterns: RwLock<HashMap<Pattern, Followers>>,
    /// How many patterns are followed.
    count: AtomicUsize,
    /// How many entries were made for guests since idle ones were last ended.
    made: AtomicUsize,
}

impl Wild {
    /// Whether anybody follows a pattern. Costs one load.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Those who follow the channel by a pattern, each once.
    pub(super) fn guests(&self, channel: &Channel) -> Followers {
        let mut guests = Followers::new();
        if !self.is_empty() {
            for (pattern, followers) in self.patterns.read().iter() {
                if pattern.covers(channel.as_str()) {
                    guests.extend(followers.iter().map(|(id, socket)| (*id, socket.clone())));
                }
            }
        }
        guests
    }

    /// Adds a follower. The broker is told.
    pub(super) fn add(
        &self,
        pattern: &Pattern,
        socket: &Socket,
        broker: &dyn Broker,
    ) -> BoxFuture<'static, Result<(), BrokerError>> {
        let mut patterns = self.patterns.write();
        patterns.entry(pattern.clone()).or_default().insert(socket.id(), socket.clone());
        self.count.store(patterns.len(), Ordering::Release);
        broker.subscribe_pattern(pattern)
    }

    /// Removes a follower. For the last one of a pattern the broker is told.
    pub(super) fn remove(
        &self,
        pattern: &Pattern,
        id: SocketId,
        broker: &dyn Broker,
    ) -> Option<BoxFuture<'static, Result<(), BrokerError>>> {
        let mut patterns = self.patterns.write();
        let followers = patterns.get_mut(pattern)?;
        followers.swap_remove(&id)?;
        if !followers.is_empty() {
            return None;
        }
        patterns.remove(pattern);
        self.count.store(patterns.len(), Ordering::Release);
        Some(broker.unsubscribe_pattern(pattern))
    }

    /// Those who follow exactly this pattern.
    pub(super) fn sockets(&self, pattern: &Pattern) -> Vec<Socket> {
        self.patterns.read().get(pattern).map_or_else(Vec::new, |all| all.values().cloned().collect())
    }

    /// The names of some of the patterns, each of which costs so many steps to look at; of all where that would be too
    /// many. Nobody who follows or leaves a pattern waits for it.
    pub(super) fn names(&self, steps: usize, wanted: impl Fn(&Pattern) -> bool) -> Vec<Channel> {
        let patterns: Vec<Pattern> = self.patterns.read().keys().cloned().collect();
        let are_few = patterns.len().saturating_mul(steps) <= MOST_STEPS;
        patterns
            .into_iter()
            .filter(|pattern| !are_few || wanted(pattern))
            .filter_map(|pattern| Channel::new(pattern.as_str()).ok())
            .collect()
    }

    /// Notes that an entry was made; `true` when it is time to end idle ones.
    pub(super) fn note_made(&self) -> bool {
        self.made.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_MADE
    }

    /// Whether entries were made since this was last asked.
    pub(super) fn take_made(&self) -> bool {
        self.made.swap(0, Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    fn wild(patterns: usize) -> Wild {
        let wild = Wild::default();
        let names = (0..patterns).map(|n| (Pattern::new(format!("p{n}.*")).unwrap(), Followers::new()));
        wild.patterns.write().extend(names);
        wild
    }

    #[test]
    fn who_comes_waits_for_nobody_that_looks_at_patterns() {
        let wild = wild(10);
        let names = wild.names(1, |pattern| {
            assert!(wild.patterns.try_write().is_some());
            pattern.as_str() != "p3.*"
        });
        assert_eq!(names.len(), 9);
    }

    #[test]
    fn where_looking_would_take_long_all_are_named() {
        let wild = wild(100);
        assert_eq!(wild.names(MOST_STEPS / 100, |_| false), []);
        assert_eq!(wild.names(MOST_STEPS / 10, |_| false).len(), 100);
    }
}
