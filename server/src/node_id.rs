//! Which node: one process that serves, or one server of several in a process.
//!
//! In: the system's randomness. Out: a name that no other node has.

use std::fmt;
use std::str::FromStr;

use rand::TryRngCore;
use rand::rngs::OsRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A node's name among all nodes: 16 hexadecimal digits, made up when its server is built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u64);

impl NodeId {
    /// A name that nobody had before, of the system's randomness.
    ///
    /// # Errors
    ///
    /// When the operating system gives no randomness.
    pub fn random() -> std::io::Result<Self> {
        OsRng.try_next_u64().map(Self).map_err(std::io::Error::other)
    }

    /// The name with this number, for worlds in which nothing may be random.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The name as a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// That is no node's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node's name has 16 hexadecimal digits")]
pub struct InvalidNodeId;

impl FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<Self, InvalidNodeId> {
        let is_name = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_name.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(InvalidNodeId)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        let node = NodeId::from_number(0xABC);
        assert_eq!(node.to_string(), "0000000000000abc");
        assert_eq!(node.to_string().parse(), Ok(node));
        for other in ["", "abc", "0000000000000abg", "+000000000000abc", "00000000000000abc"] {
            assert_eq!(other.parse::<NodeId>(), Err(InvalidNodeId), "{other}");
        }
    }

    #[test]
    fn is_another_each_time() -> std::io::Result<()> {
        assert_ne!(NodeId::random()?, NodeId::random()?);
        Ok(())
    }
}
