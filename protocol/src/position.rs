//! Where a publication stands in its channel, and an entry in its device's queue.
//!
//! In: numbers and names from a peer or a store. Out: the same, checked. Knows nothing of what stands there.

use std::fmt;
use std::sync::Arc;

/// The longest epoch, in bytes.
pub(crate) const MAX_EPOCH_BYTES: usize = 64;

/// The largest offset: what a JavaScript number still holds exactly.
pub const MAX_OFFSET: u64 = (1 << 53) - 1;

/// Names one unbroken run of offsets. Whoever lost what came before begins another epoch, so that a position
/// of the old one is not taken for one of the new.
///
/// 1 to 64 bytes of visible ASCII, without quotes and backslashes. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Checks `name` and keeps it.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidPosition> {
        let name = name.as_ref();
        let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if name.is_empty() || name.len() > MAX_EPOCH_BYTES || !is_plain {
            return Err(InvalidPosition::Epoch);
        }
        Ok(Self(Arc::from(name)))
    }

    /// An epoch that nobody had before, if `random` is random.
    pub fn from_random(random: u64) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit =
            |shift: u32| char::from(DIGITS[usize::try_from(random >> shift & 15).unwrap_or_default()]);
        Self((0..16).rev().map(|at| digit(at * 4)).collect::<String>().into())
    }

    /// The epoch as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(feature = "json")]
impl<'de> serde::Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name: std::borrow::Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
        Self::new(name).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A place in a channel's history: behind the publication `offset` of `epoch`. Offsets count 1, 2, 3, and 0 is
/// the place before the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
pub struct Position {
    /// Which run of offsets.
    pub epoch: Epoch,
    /// The publication that stands right before this place.
    #[cfg_attr(feature = "json", serde(deserialize_with = "read_offset"))]
    pub offset: u64,
}

impl Position {
    /// Checks an offset that came from outside.
    pub fn new(epoch: Epoch, offset: u64) -> Result<Self, InvalidPosition> {
        if offset > MAX_OFFSET {
            return Err(InvalidPosition::Offset);
        }
        Ok(Self { epoch, offset })
    }
}

#[cfg(feature = "json")]
fn read_offset<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let offset: u64 = serde::Deserialize::deserialize(deserializer)?;
    if offset > MAX_OFFSET { Err(serde::de::Error::custom(InvalidPosition::Offset)) } else { Ok(offset) }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

/// Why something is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPosition {
    /// The epoch is empty, too long, or has other characters than visible ASCII.
    Epoch,
    /// The offset is larger than [`MAX_OFFSET`].
    Offset,
}

impl InvalidPosition {
    /// What is wrong, for people.
    pub fn message(self) -> &'static str {
        match self {
            Self::Epoch => "an epoch has 1 to 64 characters of visible ASCII, no quotes and no backslashes",
            Self::Offset => "an offset is at most 9007199254740991",
        }
    }
}

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for InvalidPosition {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_position() {
        for name in ["", "a b", "a\"b", "é", &"x".repeat(65)] {
            assert_eq!(Epoch::new(name).err(), Some(InvalidPosition::Epoch), "{name:?}");
        }
        let epoch = Epoch::from_random(0x0123_4567_89ab_cdef);
        assert_eq!(epoch.as_str(), "0123456789abcdef");
        assert!(Position::new(epoch.clone(), MAX_OFFSET).is_ok());
        assert_eq!(Position::new(epoch, MAX_OFFSET + 1), Err(InvalidPosition::Offset));
    }

    #[cfg(feature = "json")]
    #[test]
    fn reads_only_positions() {
        let read = |text: &str| serde_json::from_str::<Position>(text);
        let position = read(r#"{"epoch":"e","offset":9007199254740991}"#);
        assert_eq!(position.ok(), Position::new(Epoch(Arc::from("e")), MAX_OFFSET).ok());
        for text in [
            r#"{"epoch":"e","offset":9007199254740992}"#,
            r#"{"epoch":"e","offset":-1}"#,
            r#"{"epoch":"e","offset":1.5}"#,
            r#"{"epoch":"","offset":1}"#,
            r#"{"epoch":"a b","offset":1}"#,
            r#"{"offset":1}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
