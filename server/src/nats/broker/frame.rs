//! The bytes that nodes exchange by NATS.
//!
//! ```text
//! live     kind, origin, number, text           a publication or an announcement, on the channel's subject
//! batch    kind, origin, number, epoch, first offset, publications with time and key     in the stream, and live
//! to nodes kind, text                           a broadcast or a control message
//! way      kind, origin, number, channel        who loses each race on a channel asks to be let through
//! key      kind, end, position                  in the stream of keys
//! ```
//!
//! Numbers are little endian. What is not understood is passed over, since nodes of two versions may share an engine.
//! In: publications and what stands around them. Out: bytes, and back. Pure.

use bytes::{BufMut, Bytes, BytesMut};
use tokensocket_protocol::{Channel, Epoch, MAX_OFFSET, Position, RawJson};

use crate::timestamp::Timestamp;

const PUBLICATION: u8 = b'P';
const ANNOUNCEMENT: u8 = b'A';
const BATCH: u8 = b'H';
const BROADCAST: u8 = b'B';
const CONTROL: u8 = b'C';
const KEY: u8 = b'K';
const WAY: u8 = b'W';

/// So much stands around a batch's publications, at most.
pub(super) const AROUND_BATCH: usize = 128;
/// So much stands around one publication besides its key, at most.
pub(super) const AROUND_ENTRY: usize = 32;

/// Who sent something, and which of his it is: his numbers grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// A broker's random name.
    pub(super) origin: u64,
    pub(super) number: u64,
}

/// What comes on a channel's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Live {
    Publication(Sent, RawJson),
    Announcement(Sent, RawJson),
    Batch(Batch),
}

/// Publications that are kept, as one message of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) sent: Sent,
    /// When it was sent, by its sender's clock.
    pub(super) at: Timestamp,
    /// Behind which message of the channel it was to stand: if another stands there, it does not count.
    pub(super) behind: u64,
    pub(super) epoch: Epoch,
    /// Of the first publication; of the next one, where there is none in here.
    pub(super) first: u64,
    pub(super) entries: Vec<Entry>,
}

/// A publication that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) key: Option<EntryKey>,
    pub(super) message: RawJson,
}

/// A publication's key, and until when it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryKey {
    pub(super) text: String,
    pub(super) end: Timestamp,
}

/// What comes to nodes.
#[derive(Debug)]
pub(super) enum ToNodes {
    Broadcast(RawJson),
    /// JSON.
    Control(Bytes),
    /// Who sent it cannot append to this channel, since others always are faster.
    MakeWay(Sent, Channel),
}

impl Batch {
    /// The last offset, once this is kept.
    pub(super) fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    pub(super) fn encode(&self) -> Bytes {
        let text: usize = self.entries.iter().map(Entry::size).sum();
        let mut bytes = BytesMut::with_capacity(AROUND_BATCH + text);
        put_sent(&mut bytes, BATCH, self.sent);
        bytes.put_u64_le(self.at.0);
        bytes.put_u64_le(self.behind);
        put_short(&mut bytes, self.epoch.as_str());
        bytes.put_u64_le(self.first);
        bytes.put_u32_le(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for entry in &self.entries {
            bytes.put_u64_le(entry.at.0);
            put_short(&mut bytes, entry.key.as_ref().map_or("", |key| &key.text));
            if let Some(key) = &entry.key {
                bytes.put_u64_le(key.end.0);
            }
            let message = entry.message.as_bytes();
            bytes.put_u32_le(u32::try_from(message.len()).unwrap_or(u32::MAX));
            bytes.put_slice(message);
        }
        bytes.freeze()
    }

    pub(super) fn decode(bytes: Bytes) -> Option<Self> {
        match Live::decode(bytes)? {
            Live::Batch(batch) => Some(batch),
            _ => None,
        }
    }
}

impl Entry {
    /// How many bytes it takes in a batch, at most.
    pub(super) fn size(&self) -> usize {
        self.message.as_bytes().len() + self.key.as_ref().map_or(0, |key| key.text.len()) + AROUND_ENTRY
    }
}

impl Live {
    pub(super) fn publication(sent: Sent, message: &RawJson) -> Bytes {
        text(PUBLICATION, sent, message)
    }

    pub(super) fn announcement(sent: Sent, announcement: &RawJson) -> Bytes {
        text(ANNOUNCEMENT, sent, announcement)
    }

    pub(super) fn decode(bytes: Bytes) -> Option<Self> {
        let mut parser = Parser(bytes);
        let kind = parser.u8()?;
        let sent = Sent { origin: parser.u64()?, number: parser.u64()? };
        match kind {
            PUBLICATION => Some(Self::Publication(sent, RawJson::from_text(parser.0).ok()?)),
            ANNOUNCEMENT => Some(Self::Announcement(sent, RawJson::from_text(parser.0).ok()?)),
            BATCH => {
                let (at, behind) = (Timestamp(parser.u64()?), parser.u64()?);
                let epoch = Epoch::new(parser.short()?).ok()?;
                let (first, count) = (parser.u64()?, parser.u32()?);
                let end = first.checked_add(u64::from(count))?;
                (behind < u64::MAX && end <= MAX_OFFSET + 1).then_some(())?;
                let entries: Option<Vec<_>> = (0..count).map(|_| parser.entry()).collect();
                (first > 0 && parser.0.is_empty()).then_some(())?;
                Some(Self::Batch(Batch { sent, at, behind, epoch, first, entries: entries? }))
            }
            _ => None,
        }
    }
}

impl ToNodes {
    pub(super) fn broadcast(message: &RawJson) -> Bytes {
        [&[BROADCAST], message.as_bytes()].concat().into()
    }

    pub(super) fn make_way(sent: Sent, channel: &Channel) -> Bytes {
        let mut bytes = BytesMut::with_capacity(17 + channel.as_str().len());
        put_sent(&mut bytes, WAY, sent);
        bytes.put_slice(channel.as_str().as_bytes());
        bytes.freeze()
    }

    pub(super) fn control(json: &[u8]) -> Bytes {
        [&[CONTROL], json].concat().into()
    }

    pub(super) fn decode(bytes: Bytes) -> Option<Self> {
        let mut parser = Parser(bytes);
        match parser.u8()? {
            BROADCAST => Some(Self::Broadcast(RawJson::from_text(parser.0).ok()?)),
            CONTROL => Some(Self::Control(parser.0)),
            WAY => {
                let sent = Sent { origin: parser.u64()?, number: parser.u64()? };
                let name = std::str::from_utf8(&parser.0).ok()?;
                Some(Self::MakeWay(sent, Channel::new(name).ok()?))
            }
            _ => None,
        }
    }
}

/// What became of the publication of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyRecord {
    /// Until when it counts; 0 takes a key back.
    pub(super) end: Timestamp,
    /// Whose attempt took it.
    pub(super) owner: u64,
    pub(super) position: Option<Position>,
}

impl KeyRecord {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(96);
        bytes.put_u8(KEY);
        bytes.put_u64_le(self.end.0);
        bytes.put_u64_le(self.owner);
        if let Some(position) = &self.position {
            put_short(&mut bytes, position.epoch.as_str());
            bytes.put_u64_le(position.offset);
        }
        bytes.freeze()
    }

    pub(super) fn decode(bytes: Bytes) -> Option<Self> {
        let mut parser = Parser(bytes);
        (parser.u8()? == KEY).then_some(())?;
        let (end, owner) = (Timestamp(parser.u64()?), parser.u64()?);
        if parser.0.is_empty() {
            return Some(Self { end, owner, position: None });
        }
        let epoch = Epoch::new(parser.short()?).ok()?;
        let position = Position::new(epoch, parser.u64()?).ok()?;
        Some(Self { end, owner, position: Some(position) })
    }
}

fn text(kind: u8, sent: Sent, text: &RawJson) -> Bytes {
    let mut bytes = BytesMut::with_capacity(17 + text.as_bytes().len());
    put_sent(&mut bytes, kind, sent);
    bytes.put_slice(text.as_bytes());
    bytes.freeze()
}

fn put_sent(bytes: &mut BytesMut, kind: u8, sent: Sent) {
    bytes.put_u8(kind);
    bytes.put_u64_le(sent.origin);
    bytes.put_u64_le(sent.number);
}

/// A text of at most 255 bytes.
fn put_short(bytes: &mut BytesMut, text: &str) {
    bytes.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.put_slice(&text.as_bytes()[..text.len().min(255)]);
}

/// Takes values off bytes. `None`: they are not what they should be.
struct Parser(Bytes);

impl Parser {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?[..].try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?[..].try_into().ok()?))
    }

    fn short(&mut self) -> Option<String> {
        let length = self.u8()?;
        String::from_utf8(self.take(usize::from(length))?.to_vec()).ok()
    }

    fn entry(&mut self) -> Option<Entry> {
        let at = Timestamp(self.u64()?);
        let text = self.short()?;
        let key = if text.is_empty() { None } else { Some(EntryKey { text, end: Timestamp(self.u64()?) }) };
        let length = usize::try_from(self.u32()?).ok()?;
        let message = RawJson::from_text(self.take(length)?).ok()?;
        Some(Entry { at, key, message })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use proptest::prelude::*;

    use super::*;

    const SENT: Sent = Sent { origin: 1, number: 2 };

    fn batch() -> Batch {
        let entry = |n: u64, key: Option<&str>| Entry {
            at: Timestamp(n),
            key: key.map(|text| EntryKey { text: text.to_owned(), end: Timestamp(n + 9) }),
            message: RawJson::new(&n).unwrap(),
        };
        let entries = vec![entry(1, None), entry(2, Some("ü")), entry(3, None)];
        Batch { sent: SENT, at: Timestamp(8), behind: 4, epoch: Epoch::from_random(7), first: 5, entries }
    }

    #[test]
    fn what_was_sent_is_read() {
        let batch = batch();
        assert_eq!((batch.last(), Batch::decode(batch.encode())), (7, Some(batch.clone())));
        let none = Batch { entries: Vec::new(), ..batch };
        assert_eq!((none.last(), Batch::decode(none.encode())), (4, Some(none)));
        let text = RawJson::new("x").unwrap();
        let live = Live::decode(Live::publication(SENT, &text));
        assert_eq!(live, Some(Live::Publication(SENT, text.clone())));
        let live = Live::decode(Live::announcement(SENT, &text));
        assert_eq!(live, Some(Live::Announcement(SENT, text)));
        let position = Position { epoch: Epoch::from_random(7), offset: 3 };
        for position in [None, Some(position)] {
            let record = KeyRecord { end: Timestamp(4), owner: 5, position };
            assert_eq!(KeyRecord::decode(record.encode()), Some(record));
        }
    }

    #[test]
    fn what_is_cut_is_nothing() {
        let whole = batch().encode();
        for length in 0..whole.len() {
            assert_eq!(Live::decode(whole.slice(..length)), None, "{length}");
        }
    }

    #[test]
    fn what_no_channel_reaches_is_nothing() {
        let last = |first| Batch { first, ..batch() }.encode();
        assert_eq!(Batch::decode(last(MAX_OFFSET - 2)).map(|batch| batch.last()), Some(MAX_OFFSET));
        for first in [0, MAX_OFFSET - 1, u64::MAX - 3, u64::MAX] {
            assert_eq!(Batch::decode(last(first)), None, "{first}");
        }
        assert_eq!(Batch::decode(Batch { behind: u64::MAX, ..batch() }.encode()), None);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0_usize..8) {
            let mut bytes = bytes;
            if let (Some(first), Some(kind)) = (bytes.first_mut(), b"PAHBCKW".get(kind)) {
                *first = *kind;
            }
            let bytes = Bytes::from(bytes);
            let _ = (Live::decode(bytes.clone()), KeyRecord::decode(bytes.clone()), ToNodes::decode(bytes).is_some());
        }
    }
}
