//! A channel's name, parsed at the door.
//!
//! In: text from a peer or from the application. Out: a [`Channel`] that is known to be usable, or the
//! reason why it is not. Knows nothing of subscribers.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest channel name, in bytes of UTF-8.
pub const MAX_CHANNEL_BYTES: usize = 255;

/// Names the original servers kept for their own traffic. Nobody may follow or publish on them.
pub const RESERVED_CHANNELS: [&str; 2] = ["___all___", "___sync___"];

/// The name of a channel: 1 to 255 bytes, no control characters, not reserved.
///
/// Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Checks `name` and keeps it.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidChannel> {
        Self::parse(name.as_ref())
    }

    fn parse(name: &str) -> Result<Self, InvalidChannel> {
        if name.is_empty() {
            return Err(InvalidChannel::Empty);
        }
        if name.len() > MAX_CHANNEL_BYTES {
            return Err(InvalidChannel::TooLong(name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(InvalidChannel::ControlCharacter);
        }
        if RESERVED_CHANNELS.contains(&name) {
            return Err(InvalidChannel::Reserved);
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no channel name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidChannel {
    /// The name has no characters.
    Empty,
    /// The name has more than [`MAX_CHANNEL_BYTES`] bytes.
    TooLong(usize),
    /// The name has a control character, such as a line feed.
    ControlCharacter,
    /// The name is one of [`RESERVED_CHANNELS`].
    Reserved,
}

impl InvalidChannel {
    /// What is wrong with the name, for people. Without `Display`'s machinery, which pages would download.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Empty => "a channel name is never empty",
            Self::TooLong(_) => "a channel name has at most 255 bytes",
            Self::ControlCharacter => "a channel name has no control characters",
            Self::Reserved => "this channel name is reserved",
        }
    }
}

impl fmt::Display for InvalidChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for InvalidChannel {}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Channel {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl TryFrom<&str> for Channel {
    type Error = InvalidChannel;

    fn try_from(name: &str) -> Result<Self, InvalidChannel> {
        Self::new(name)
    }
}

impl std::str::FromStr for Channel {
    type Err = InvalidChannel;

    fn from_str(name: &str) -> Result<Self, InvalidChannel> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_cannot_be_channels() {
        assert_eq!(Channel::new(""), Err(InvalidChannel::Empty));
        assert_eq!(Channel::new("é".repeat(128)), Err(InvalidChannel::TooLong(256)));
        assert_eq!(Channel::new("a\nb"), Err(InvalidChannel::ControlCharacter));
        assert_eq!(Channel::new("___all___"), Err(InvalidChannel::Reserved));
        assert_eq!(Channel::new("___sync___"), Err(InvalidChannel::Reserved));
        assert!(Channel::new("x".repeat(255)).is_ok());
        assert!(Channel::new("rooms/é:1").is_ok());
    }
}
