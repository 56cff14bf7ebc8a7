//! What a namespace's keys and topics of channels are called.
//!
//! In: channels and patterns. Out: names in Redis, from which no channel's name can break out, and channels again.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use tokensocket_protocol::{Channel, Pattern};

use crate::redis::link::Link;

/// Braces say what counts for a key's place; the others mean something in globs.
const MEANT: &AsciiSet =
    &CONTROLS.add(b'%').add(b'{').add(b'}').add(b'*').add(b'?').add(b'[').add(b']').add(b'\\');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, MEANT).to_string()
}

/// Where a channel's publications come.
pub(super) fn topic(link: &Link, channel: &Channel) -> String {
    link.key(&format!("c:{{{}}}", encoded(channel.as_str())))
}

/// What is known of a channel's log.
pub(super) fn line(link: &Link, channel: &Channel) -> String {
    link.key(&format!("h:{{{}}}", encoded(channel.as_str())))
}

/// A channel's log.
pub(super) fn log(link: &Link, channel: &Channel) -> String {
    link.key(&format!("s:{{{}}}", encoded(channel.as_str())))
}

/// What is known of a publication's key.
pub(super) fn key(link: &Link, channel: &Channel, key: &str) -> String {
    link.key(&format!("k:{{{}}}:{key}", encoded(channel.as_str())))
}

/// The channel of a topic that [`topic`] made.
pub(super) fn channel(topic: &str) -> Option<Channel> {
    let name = topic.split_once('{')?.1.strip_suffix('}')?;
    Channel::new(percent_decode_str(name).decode_utf8().ok()?).ok()
}

/// By which Redis finds at least the channels of a pattern. A star there stands for any number of segments.
pub(super) fn glob(link: &Link, pattern: &Pattern) -> String {
    let segments: Vec<_> = pattern.as_str().split('.').collect();
    let last = segments.len() - 1;
    let meant = segments.iter().enumerate().map(|(at, segment)| match *segment {
        "*" => "*".to_owned(),
        ">" if at == last => "*".to_owned(),
        literal => encoded(literal),
    });
    link.key(&format!("c:{{{}}}", meant.collect::<Vec<_>>().join(".")))
}
