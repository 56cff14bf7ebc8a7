//! What all nodes are asked at once, and how their answers become one.
//!
//! ```text
//! node 1: a c e …more ─┐
//! node 2: b d          ├──▶ a b c d e …more     what is behind the end of a page that goes on is not known yet
//! node 3: (silent)     ┘                        2 of 3 answered
//! ```
//!
//! In: pages of each node, sorted. Out: the page of all. Sends nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokensocket_protocol::Channel;

use crate::node::NodeCounts;
use crate::socket::{SocketId, SocketInfo};

/// The most that a page may have.
const MOST: usize = 1000;
/// How many bytes of JSON a node's page has, as soon as it has one item: what engines carry in one message.
pub(super) const MOST_BYTES: usize = 512 << 10;

/// Which sockets a survey asks for: without more, the first 100 of all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SocketQuery {
    pub(super) limit: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<SocketId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<Arc<str>>,
}

impl SocketQuery {
    /// The first 100 of all.
    pub fn new() -> Self {
        Self { limit: 100, after: None, user: None, channel: None }
    }

    /// At most so many. Default 100, at most 1,000.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.min(MOST);
        self
    }

    /// Those behind this one: the next page.
    #[must_use]
    pub fn after(mut self, socket: SocketId) -> Self {
        self.after = Some(socket);
        self
    }

    /// Those of a user alone.
    #[must_use]
    pub fn user(mut self, user: impl Into<Arc<str>>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Those alone that follow a channel by its name.
    #[must_use]
    pub fn channel(mut self, channel: &Channel) -> Self {
        self.channel = Some(channel.as_str().into());
        self
    }
}

impl Default for SocketQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// Which channels a survey asks for: without more, the first 100 of all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChannelQuery {
    pub(super) limit: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) prefix: Option<Arc<str>>,
}

impl ChannelQuery {
    /// The first 100 of all, by name.
    pub fn new() -> Self {
        Self { limit: 100, after: None, prefix: None }
    }

    /// At most so many. Default 100, at most 1,000.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.min(MOST);
        self
    }

    /// Those behind this one: the next page.
    #[must_use]
    pub fn after(mut self, channel: &Channel) -> Self {
        self.after = Some(channel.as_str().into());
        self
    }

    /// Those alone whose names begin with this.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }
}

impl Default for ChannelQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// What a survey found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surveyed<T> {
    /// What those who answered have, this node included.
    pub value: T,
    /// How many nodes answered in time, this one included.
    pub answered: usize,
    /// How many are known, also those who cannot be asked since the engine is away. Where this is more than [`answered`](Self::answered), some of it is missing.
    pub asked: usize,
}

/// A page of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// In order.
    pub items: Vec<T>,
    /// There are more behind the last one.
    pub more: bool,
}

/// A channel that somebody follows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Its name.
    pub channel: Channel,
    /// How many sockets follow it by its name, of the nodes that answered.
    pub sockets: usize,
}

/// How much there is of everything: sums over nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct Totals {
    /// Sockets that are connected.
    pub sockets: usize,
    /// Users of those. One who is connected to two nodes counts twice.
    pub users: usize,
    /// Channels that these follow. One that is followed on two nodes counts twice.
    pub channels: usize,
    /// Sockets for which half of what may wait is waiting.
    pub slow: usize,
    /// What the nodes counted since they began.
    pub counts: NodeCounts,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        let Self { sockets, users, channels, slow, counts } = other;
        self.sockets += sockets;
        self.users += users;
        self.channels += channels;
        self.slow += slow;
        self.counts.add(counts);
    }
}

/// One node's page: sorted, and whether it goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    #[serde(default)]
    pub(super) more: bool,
}

/// What a page is made of.
pub(super) trait Item {
    type Key: Ord + Clone;

    fn key(&self) -> Self::Key;

    /// Another node has the same.
    fn add(&mut self, other: Self);
}

impl Item for SocketInfo {
    type Key = SocketId;

    fn key(&self) -> SocketId {
        self.id
    }

    fn add(&mut self, _: Self) {}
}

/// A channel and how many of one node's sockets follow it.
pub(super) type Followed = (Arc<str>, usize);

impl Item for Followed {
    type Key = Arc<str>;

    fn key(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    fn add(&mut self, (_, sockets): Self) {
        self.1 += sockets;
    }
}

/// The pages of several nodes on the way to one.
#[derive(Debug)]
pub(super) struct Merge<T: Item> {
    limit: usize,
    items: BTreeMap<T::Key, T>,
    /// Where the shortest page that goes on ends: behind that, something may be missing.
    horizon: Option<T::Key>,
    more: bool,
}

impl<T: Item> Merge<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.min(MOST), items: BTreeMap::new(), horizon: None, more: false }
    }

    pub(super) fn add(&mut self, page: Page<T>) {
        let last = page.items.last().map(Item::key);
        if page.more {
            self.more = true;
            let nearer = last.filter(|last| self.horizon.as_ref().is_none_or(|horizon| last < horizon));
            self.horizon = nearer.or(self.horizon.take());
        }
        // What a page has beyond what it was asked for is passed over.
        for item in page.items.into_iter().take(MOST) {
            match self.items.entry(item.key()) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(item);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().add(item),
            }
        }
        if let Some(horizon) = &self.horizon {
            let behind: Vec<T::Key> = self
                .items
                .range((std::ops::Bound::Excluded(horizon.clone()), std::ops::Bound::Unbounded))
                .map(|(key, _)| key.clone())
                .collect();
            for key in behind {
                self.items.remove(&key);
            }
        }
        while self.items.len() > self.limit {
            self.more = true;
            self.items.pop_last();
        }
    }

    pub(super) fn finish(self) -> (Vec<T>, bool) {
        (self.items.into_values().collect(), self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(items: &[(&str, usize)], more: bool) -> Page<Followed> {
        Page { items: items.iter().map(|(name, count)| (Arc::from(*name), *count)).collect(), more }
    }

    fn merged(limit: usize, pages: Vec<Page<Followed>>) -> (Vec<(String, usize)>, bool) {
        let mut merge = Merge::new(limit);
        for page in pages {
            merge.add(page);
        }
        let (items, more) = merge.finish();
        (items.into_iter().map(|(name, count)| (name.to_string(), count)).collect(), more)
    }

    #[test]
    fn sums_what_several_have_and_keeps_the_order() {
        let pages = || vec![page(&[("a", 1), ("c", 2)], false), page(&[("b", 1), ("c", 5)], false)];
        let all = [("a".to_owned(), 1), ("b".to_owned(), 1), ("c".to_owned(), 7)];
        assert_eq!(merged(3, pages()), (all.to_vec(), false));
        assert_eq!(merged(2, pages()), (all[..2].to_vec(), true));
    }

    #[test]
    fn says_nothing_of_what_is_behind_a_page_that_goes_on() {
        let long = || page(&[("a", 1), ("b", 1)], true);
        let short = || page(&[("a", 1), ("c", 1)], false);
        let known = vec![("a".to_owned(), 2), ("b".to_owned(), 1)];
        assert_eq!(merged(9, vec![long(), short()]), (known.clone(), true));
        assert_eq!(merged(9, vec![short(), long()]), (known, true));
    }

    #[test]
    fn pages_of_all_nodes_give_everything_once() {
        // Three nodes; every page has as much as it may, or less.
        let all: Vec<(u32, String)> = (0..60).map(|n| (n * 7 % 3, format!("{n:02}"))).collect();
        for limit in 1..7 {
            for cut in 1..4 {
                let (mut seen, mut after) = (Vec::new(), String::new());
                loop {
                    let page_of = |node: u32| {
                        let mut mine: Vec<Followed> = all
                            .iter()
                            .filter(|(of, name)| *of == node && *name > after)
                            .map(|(_, name)| (Arc::from(name.as_str()), 1))
                            .collect();
                        mine.sort();
                        let size = if node == 0 { limit.min(cut) } else { limit };
                        let more = mine.len() > size;
                        mine.truncate(size);
                        Page { items: mine, more }
                    };
                    let (items, more) = merged(limit, (0..3).map(page_of).collect());
                    assert!(items.len() <= limit && (!items.is_empty() || !more));
                    seen.extend(items.into_iter().map(|(name, _)| name));
                    if !more {
                        break;
                    }
                    after = seen.last().cloned().unwrap_or_default();
                }
                assert_eq!(seen, all.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>());
            }
        }
    }
}
