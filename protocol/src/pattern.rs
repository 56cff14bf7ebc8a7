//! Names of many channels at once: `news.*`, `news.>`.
//!
//! In: a text. Out: a [`Pattern`], and which channels it covers. A name's segments are what its dots divide.

use crate::channel::{Channel, InvalidChannel};

/// Covers every channel whose segments are its own, where `*` stands for any one segment, and `>`, which may
/// only be the last, for one or more.
///
/// A pattern is a channel name too: on a server without wildcard subscriptions it is nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Channel);

impl Pattern {
    /// Reads `text` as a pattern. Without wildcards it covers the channel of that name alone.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidChannel> {
        Channel::new(text).map(Self)
    }

    /// The pattern that a channel's name spells; `None` when it has no wildcard.
    pub fn of(channel: &Channel) -> Option<Self> {
        let mut segments = channel.as_str().split('.').rev();
        let last = segments.next();
        let is_wild =
            last.is_some_and(|last| matches!(last, ">" | "*")) || segments.any(|segment| segment == "*");
        is_wild.then(|| Self(channel.clone()))
    }

    /// Whether the pattern covers the channel.
    pub fn covers(&self, channel: &str) -> bool {
        let mut segments = channel.split('.');
        let mut wanted = self.as_str().split('.').peekable();
        while let Some(want) = wanted.next() {
            let Some(segment) = segments.next() else { return false };
            match want {
                ">" if wanted.peek().is_none() => return true,
                "*" => {}
                _ if want == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The pattern as a name to subscribe to.
    pub fn channel(&self) -> &Channel {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, channel: &str) -> bool {
        Pattern::new(pattern).is_ok_and(|pattern| pattern.covers(channel))
    }

    #[test]
    fn covers_by_segments() {
        for (pattern, channel, expected) in [
            ("news", "news", true),
            ("news", "news.sport", false),
            ("news.*", "news.sport", true),
            ("news.*", "news", false),
            ("news.*", "news.sport.ski", false),
            ("news.>", "news.sport", true),
            ("news.>", "news.sport.ski", true),
            ("news.>", "news", false),
            ("*.sport", "news.sport", true),
            ("*.sport", "sport", false),
            (">", "anything.at.all", true),
            ("a.>.b", "a.x.b", false),
            ("a.>.b", "a.>.b", true),
            ("news.spo*", "news.sport", false),
        ] {
            assert_eq!(covers(pattern, channel), expected, "{pattern} {channel}");
        }
    }

    #[test]
    fn tells_wildcards_from_names() {
        let is_wild = |name: &str| Channel::new(name).is_ok_and(|channel| Pattern::of(&channel).is_some());
        for wild in ["*", ">", "a.*", "*.a", "a.>", "a.*.b"] {
            assert!(is_wild(wild), "{wild}");
        }
        for plain in ["a", "a*", "a.b>", "a.>.b", "2 > 1"] {
            assert!(!is_wild(plain), "{plain}");
        }
    }
}
