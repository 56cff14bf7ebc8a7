//! What stands in the log.
//!
//! ```json
//! {"v":1,"i":1234,"n":7,"e":[{"x":COMMAND},{"claim":null}]}
//! ```
//!
//! In: entries. Out: their text, and back. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::timestamp::Timestamp;

/// Who writes: one store of one process, from its beginning or from when it was taken for dead.
pub(in crate::nats) type Instance = u64;

/// The version of what is written here. Who does not know one cannot go on, since all must understand the same.
const VERSION: u64 = 1;

/// One thing that is done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry<C> {
    /// A command of the machine.
    #[serde(rename = "x")]
    Do(C),
    /// An instance is over. With `heard`, only if nothing came of it behind that place of the log.
    #[serde(rename = "end")]
    End { who: Instance, heard: Option<u64>, now: Timestamp },
    /// The log has lost what was applied.
    #[serde(rename = "lost")]
    Lost { seed: u64, era: u64 },
    /// The writer will make an image, unless another does.
    #[serde(rename = "claim")]
    Claim,
    /// There is an image up to this place.
    #[serde(rename = "kept")]
    Kept { place: u64 },
    /// There is none after all.
    #[serde(rename = "failed")]
    Failed,
}

/// What one message of the log holds.
#[derive(Debug, Deserialize)]
pub(super) struct Frame<C> {
    #[serde(rename = "i")]
    pub(super) instance: Instance,
    /// Whom it follows upon, in an instance's first frame.
    #[serde(rename = "s", default)]
    pub(super) succeeds: Option<Instance>,
    #[serde(rename = "n")]
    pub(super) number: u64,
    #[serde(rename = "e", default = "Vec::new")]
    pub(super) entries: Vec<Entry<C>>,
}

/// Something in the log is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a node of a later version writes what this one does not understand: upgrade this one")]
    Version,
    #[error("the log has something else in it: {0}")]
    Malformed(String),
    /// Nobody of ours has written that.
    #[error("the log has something in it that is no frame")]
    Foreign,
}

impl<C: DeserializeOwned> Frame<C> {
    pub(super) fn read(text: &[u8]) -> Result<Self, FrameError> {
        serde_json::from_slice(text).map_err(|error| {
            let any = serde_json::from_slice::<Value>(text).ok();
            match any.as_ref().and_then(|any| any.get("v")?.as_u64()) {
                Some(VERSION) => FrameError::Malformed(error.to_string()),
                Some(_) => FrameError::Version,
                None => FrameError::Foreign,
            }
        })
    }
}

/// The text of a frame whose entries stand already, divided by commas.
pub(super) fn write(instance: Instance, succeeds: Option<Instance>, number: u64, entries: &[u8]) -> Bytes {
    let mut text = BytesMut::with_capacity(entries.len() + 96);
    let head = match succeeds {
        Some(before) => format!(r#"{{"v":{VERSION},"i":{instance},"s":{before},"n":{number},"e":["#),
        None => format!(r#"{{"v":{VERSION},"i":{instance},"n":{number},"e":["#),
    };
    text.put_slice(head.as_bytes());
    text.put_slice(entries);
    text.put_slice(b"]}");
    text.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        let entries = [Entry::Do("a"), Entry::Claim, Entry::End { who: 3, heard: None, now: Timestamp(5) }];
        let texts: Vec<_> = entries.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
        let text = write(u64::MAX, Some(2), 7, texts.join(",").as_bytes());
        let frame = Frame::<String>::read(&text).unwrap();
        assert_eq!((frame.instance, frame.succeeds, frame.number), (u64::MAX, Some(2), 7));
        assert!(
            matches!(&frame.entries[..], [Entry::Do(a), Entry::Claim, Entry::End { who: 3, .. }] if a == "a")
        );
        assert!(Frame::<String>::read(&write(1, None, 1, b"")).unwrap().entries.is_empty());
    }

    #[test]
    fn what_a_later_version_writes_is_not_guessed() {
        let later = br#"{"v":2,"i":1,"n":1,"e":[{"new":1}]}"#;
        assert_eq!(Frame::<String>::read(later).unwrap_err(), FrameError::Version);
        let unknown = br#"{"v":1,"i":1,"n":1,"e":[{"new":1}]}"#;
        assert!(matches!(Frame::<String>::read(unknown).unwrap_err(), FrameError::Malformed(_)));
        for foreign in [&b"x"[..], b"", b"{}", br#"{"v":"1"}"#, b"[1]", b"\xff"] {
            assert_eq!(Frame::<String>::read(foreign).unwrap_err(), FrameError::Foreign);
        }
    }
}
