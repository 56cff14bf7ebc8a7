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

    /// The names of some of the patterns.
    pub(super) fn names(&self, wanted: impl Fn(&Pattern) -> bool) -> Vec<Channel> {
        let patterns = self.patterns.read();
        patterns
            .keys()
            .filter(|pattern| wanted(pattern))
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
