//! A socket's name among those of all nodes.
//!
//! In: the name of its node, how many came before it. Out: one number, for tables; 16 digits, for people and JSON.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::node_id::NodeId;

/// How many bits count; those above them say which node.
const COUNTING: u32 = 36;
/// What counting begins below, so that it goes on for long before it begins again.
const BEGINNINGS: u64 = 1 << 34;

/// A socket's name, never used again while its node runs (in all but 68 billion connections), and by no other node.
///
/// Written as 16 hexadecimal digits, also in JSON, where a number of this size would not be safe. Those of one node are
/// ordered as the sockets came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub(crate) u64);

impl SocketId {
    /// Whether a node of this name gives such names. Two of a hundred nodes do so alike once in 50,000 times, and begin
    /// to count at different numbers then.
    pub fn is_of(self, node: NodeId) -> bool {
        self.0 >> COUNTING == mixed(node) >> COUNTING
    }
}

/// The names that one node gives.
#[derive(Debug)]
pub(crate) struct SocketIds {
    node: u64,
    given: AtomicU64,
}

impl SocketIds {
    pub(crate) fn of(node: NodeId) -> Self {
        Self { node: mixed(node), given: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> SocketId {
        const LOWER: u64 = (1 << COUNTING) - 1;
        let count = (self.node % BEGINNINGS).wrapping_add(self.given.fetch_add(1, Ordering::Relaxed));
        SocketId((self.node & !LOWER) | (count & LOWER))
    }

    /// How many were given.
    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }
}

/// The bits of a node's name, mixed: names may have been chosen as 1, 2 and 3. The mixer is `splitmix64`'s.
fn mixed(node: NodeId) -> u64 {
    let bits = node.number().wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for SocketId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for SocketId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SocketId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whose_it_is_and_keeps_the_order() {
        let nodes: Vec<NodeId> = (0..100).map(NodeId::from_number).collect();
        for node in &nodes {
            let ids = SocketIds::of(*node);
            let (first, second) = (ids.next(), ids.next());
            assert!(first < second);
            assert_eq!(ids.given(), 2);
            assert_eq!(nodes.iter().filter(|node| first.is_of(**node)).collect::<Vec<_>>(), [node]);
            assert!(second.is_of(*node));
        }
    }

    #[test]
    fn counting_never_reaches_into_the_node() {
        let node = NodeId::from_number(7);
        let ids = SocketIds::of(node);
        ids.given.store((1 << COUNTING) - 2, Ordering::Relaxed);
        let last = (ids.next(), ids.next(), ids.next());
        assert!(last.0.is_of(node) && last.1.is_of(node) && last.2.is_of(node));
        ids.given.store(u64::MAX, Ordering::Relaxed);
        assert!(ids.next().is_of(node) && ids.next().is_of(node));
    }

    #[test]
    fn is_text_in_json() -> Result<(), serde_json::Error> {
        let id = SocketId(u64::MAX);
        assert_eq!(serde_json::to_string(&id)?, r#""ffffffffffffffff""#);
        assert_eq!(serde_json::from_str::<SocketId>(r#""ffffffffffffffff""#)?, id);
        assert!(serde_json::from_str::<SocketId>("1").is_err());
        Ok(())
    }
}
