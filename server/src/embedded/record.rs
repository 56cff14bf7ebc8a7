//! What the database holds: one record for each thing that must come back.
//!
//! In: changes of the queues, channels and publications. Out: keys and values, and back. Each value names itself
//! and has its own checksum, so that it can be told from garbage wherever it is found:
//!
//! ```text
//! "TSr1" · length of the body, u32 · crc32c of the body, u32 · body: number of the write, u64 · kind, u8 · fields
//! ```

use std::sync::Arc;

use sha1::{Digest, Sha1};
use tokensocket_protocol::{Channel, Epoch, Position, RawJson, ResyncReason};

use super::bytes::{Builder, Parser};
use crate::delivery::queues::{Accepted, Change, Content, DeviceRecord};
use crate::delivery::{Device, Resync};
use crate::history::History;
use crate::history::keys::KeyName;
use crate::timestamp::Timestamp;

/// Begins each value.
pub(super) const MARK: &[u8; 4] = b"TSr1";
/// Mark, length, checksum.
pub(super) const HEADER: usize = 12;
/// The longest name that stands in a key as it is; of a longer one its hash does.
const PLAIN_NAME: usize = 200;

const USER: u8 = 1;
const DEVICE: u8 = 2;
const MESSAGE: u8 = 3;
pub(super) const ENTRY: u8 = 4;
const KEY: u8 = 5;
const CHANNEL: u8 = 6;
pub(super) const PUBLICATION: u8 = 7;
const PUBLICATION_KEY: u8 = 8;
/// An entry with its message, which stands in no other queue. Its key begins with the message's id, so what is
/// written goes behind all that was written, which costs an LSM tree the least.
pub(super) const LONE_ENTRY: u8 = 9;

/// One write: a value put at a key, or the key's end.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) key: Vec<u8>,
    /// To be sealed when it is written. `None` deletes.
    pub(super) value: Option<Vec<u8>>,
}

impl Write {
    pub(super) fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + 32
    }
}

/// What a channel's history is, but for its publications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChannelRecord {
    /// Names the channel in its publications' keys.
    pub(super) number: u64,
    pub(super) channel: Channel,
    pub(super) epoch: Epoch,
    /// The last offset when this was written; publications that are kept may be later.
    pub(super) last: u64,
    pub(super) history: History,
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Queues(Change<()>),
    LoneEntry { device: u64, seq: u64, message: Accepted<()> },
    Channel(ChannelRecord),
    Publication { channel: u64, offset: u64, at: Timestamp, message: RawJson },
    PublicationKey { name: KeyName, position: Option<Position>, end: Timestamp },
}

/// What a key says of a record whose value is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    User,
    Device(u64),
    Message,
    Entry(u64),
    LoneEntry(u64),
    Key,
    Channel(u64),
    Publication(u64),
    PublicationKey,
}

impl Place {
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let (&kind, rest) = key.split_first()?;
        let number = || Some(u64::from_be_bytes(rest.get(..8)?.try_into().ok()?));
        Some(match kind {
            USER => Self::User,
            DEVICE => Self::Device(number()?),
            MESSAGE => Self::Message,
            ENTRY => Self::Entry(number()?),
            LONE_ENTRY => Self::LoneEntry(u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?)),
            KEY => Self::Key,
            CHANNEL => Self::Channel(number()?),
            PUBLICATION => Self::Publication(number()?),
            PUBLICATION_KEY => Self::PublicationKey,
            _ => return None,
        })
    }
}

fn numbered(kind: u8, numbers: &[u64]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 8 * numbers.len());
    key.push(kind);
    for number in numbers {
        key.extend_from_slice(&number.to_be_bytes());
    }
    key
}

fn named(kind: u8, names: &[&str]) -> Vec<u8> {
    let mut key = vec![kind];
    for name in names {
        if name.len() <= PLAIN_NAME {
            key.push(0);
            key.extend_from_slice(name.as_bytes());
            key.push(0xff);
        } else {
            key.push(1);
            key.extend_from_slice(&Sha1::digest(name.as_bytes()));
        }
    }
    key
}

/// The key of an entry that stands together with its message.
pub(super) fn lone_entry_key(message: u64, device: u64) -> Vec<u8> {
    numbered(LONE_ENTRY, &[message, device])
}

pub(super) fn message_key(id: u64) -> Vec<u8> {
    numbered(MESSAGE, &[id])
}

/// What a change of the queues writes. `args` are those of a message that is put.
pub(super) fn change(change: &Change<()>, args: &str) -> Write {
    match change {
        Change::PutUser { user, rooms } => {
            let body = begin(USER, 0).text(user).size(rooms.len());
            let body = rooms.iter().fold(body, |body, room| body.text(room));
            Write { key: named(USER, &[user]), value: Some(body.0) }
        }
        Change::DeleteUser { user } => Write { key: named(USER, &[user]), value: None },
        Change::PutDevice(record) => {
            Write { key: numbered(DEVICE, &[record.number]), value: Some(device(record)) }
        }
        Change::DeleteDevice { number } => Write { key: numbered(DEVICE, &[*number]), value: None },
        Change::PutMessage(message) => Write {
            key: message_key(message.id),
            value: Some(accepted(begin(MESSAGE, 80 + args.len()), message, args)),
        },
        Change::DeleteMessage { id } => Write { key: message_key(*id), value: None },
        Change::PutEntry { device, seq, message } => {
            let body = begin(ENTRY, 0).u64(*device).u64(*seq).u64(*message);
            Write { key: numbered(ENTRY, &[*device, *seq]), value: Some(body.0) }
        }
        Change::DeleteEntry { device, seq } => Write { key: numbered(ENTRY, &[*device, *seq]), value: None },
        Change::PutKey { key, at } => {
            let body = begin(KEY, 0).text(key).u64(at.0);
            Write { key: named(KEY, &[key]), value: Some(body.0) }
        }
        Change::DeleteKey { key } => Write { key: named(KEY, &[key]), value: None },
    }
}

/// An entry with its message, which no other queue holds.
pub(super) fn put_lone_entry(device: u64, seq: u64, message: &Accepted<()>, args: &str) -> Write {
    let body = begin(LONE_ENTRY, 96 + args.len()).u64(device).u64(seq);
    Write { key: lone_entry_key(message.id, device), value: Some(accepted(body, message, args)) }
}

/// The end of both.
pub(super) fn delete_lone_entry(message: u64, device: u64) -> Write {
    Write { key: lone_entry_key(message, device), value: None }
}

fn device(record: &DeviceRecord) -> Vec<u8> {
    let body = begin(DEVICE, 0)
        .u64(record.number)
        .text(&record.device.user)
        .text(&record.device.id)
        .u64(record.epoch)
        .u64(record.last)
        .duration(record.ttl)
        .optional(record.departed, |body, at| body.u64(at.0))
        .u64(record.noted)
        .size(record.resyncs.len());
    let body = record.resyncs.iter().fold(body, |body, resync| {
        body.u64(resync.number).optional(resync.event.as_deref(), Builder::text).text(resync.reason.as_str())
    });
    body.0
}

fn accepted(body: Builder, message: &Accepted<()>, args: &str) -> Vec<u8> {
    let content = &message.content;
    let body = body
        .u64(message.id)
        .u64(message.at.0)
        .size(content.bytes)
        .u8(content.resync.into())
        .text(&content.event)
        .optional(content.key.as_deref(), Builder::text)
        .text(args);
    body.0
}

pub(super) fn put_channel(record: &ChannelRecord) -> Write {
    let body = begin(CHANNEL, 0)
        .u64(record.number)
        .text(record.channel.as_str())
        .text(record.epoch.as_str())
        .u64(record.last)
        .size(record.history.count)
        .duration(record.history.age)
        .size(record.history.bytes);
    Write { key: numbered(CHANNEL, &[record.number]), value: Some(body.0) }
}

pub(super) fn delete_channel(number: u64) -> Write {
    Write { key: numbered(CHANNEL, &[number]), value: None }
}

pub(super) fn put_publication(channel: u64, offset: u64, at: Timestamp, message: &RawJson) -> Write {
    let body = begin(PUBLICATION, 40 + message.as_bytes().len())
        .u64(channel)
        .u64(offset)
        .u64(at.0)
        .text(message.as_str());
    Write { key: numbered(PUBLICATION, &[channel, offset]), value: Some(body.0) }
}

pub(super) fn delete_publication(channel: u64, offset: u64) -> Write {
    Write { key: numbered(PUBLICATION, &[channel, offset]), value: None }
}

pub(super) fn put_publication_key(name: &KeyName, position: Option<&Position>, end: Timestamp) -> Write {
    let body = begin(PUBLICATION_KEY, 0)
        .text(name.channel.as_str())
        .text(&name.text)
        .optional(position, |body, position| body.text(position.epoch.as_str()).u64(position.offset))
        .u64(end.0);
    Write { key: publication_key(name), value: Some(body.0) }
}

pub(super) fn delete_publication_key(name: &KeyName) -> Write {
    Write { key: publication_key(name), value: None }
}

fn publication_key(name: &KeyName) -> Vec<u8> {
    named(PUBLICATION_KEY, &[name.channel.as_str(), &name.text])
}

/// A value of this kind, with room for what seals it.
fn begin(kind: u8, room: usize) -> Builder {
    let mut value = Vec::with_capacity(HEADER + 9 + room);
    value.resize(HEADER + 8, 0);
    Builder(value).u8(kind)
}

/// Gives a value its number, its length and its checksum.
pub(super) fn seal(number: u64, value: &mut [u8]) {
    let length = u32::try_from(value.len().saturating_sub(HEADER)).unwrap_or(u32::MAX);
    let Some((header, body)) = value.split_at_mut_checked(HEADER) else { return };
    if let Some(place) = body.first_chunk_mut() {
        *place = number.to_le_bytes();
    }
    let fields = [*MARK, length.to_le_bytes(), crc32c::crc32c(body).to_le_bytes()];
    header.copy_from_slice(fields.as_flattened());
}

/// The number of the write and the body of a value, if it is whole. What follows the value is not looked at.
pub(super) fn unseal(value: &[u8]) -> Option<(u64, &[u8])> {
    let mut parser = Parser(value);
    if parser.take(MARK.len())? != MARK {
        return None;
    }
    let (length, crc) = (parser.u32()?, parser.u32()?);
    let body = parser.take(usize::try_from(length).ok()?)?;
    if crc32c::crc32c(body) != crc {
        return None;
    }
    let mut parser = Parser(body);
    Some((parser.u64()?, parser.0))
}

/// How long a whole value is that begins here.
pub(super) fn sealed_length(value: &[u8]) -> Option<usize> {
    unseal(value).map(|(_, body)| HEADER + 8 + body.len())
}

/// What stands in a body, and its key.
pub(super) fn read(body: &[u8]) -> Option<(Vec<u8>, Record)> {
    let mut parser = Parser(body);
    let kind = parser.u8()?;
    let parser = &mut parser;
    Some(match kind {
        USER => {
            let user = parser.shared()?;
            let rooms = (0..parser.size()?).map(|_| parser.shared()).collect::<Option<_>>()?;
            (named(USER, &[&user]), Record::Queues(Change::PutUser { user, rooms }))
        }
        DEVICE => {
            let record = read_device(parser)?;
            (numbered(DEVICE, &[record.number]), Record::Queues(Change::PutDevice(record)))
        }
        MESSAGE => {
            let (message, _) = read_accepted(parser)?;
            (message_key(message.id), Record::Queues(Change::PutMessage(message)))
        }
        ENTRY => {
            let (device, seq, message) = (parser.u64()?, parser.u64()?, parser.u64()?);
            (numbered(ENTRY, &[device, seq]), Record::Queues(Change::PutEntry { device, seq, message }))
        }
        LONE_ENTRY => {
            let (device, seq) = (parser.u64()?, parser.u64()?);
            let (message, _) = read_accepted(parser)?;
            (lone_entry_key(message.id, device), Record::LoneEntry { device, seq, message })
        }
        KEY => {
            let (key, at) = (parser.shared()?, Timestamp(parser.u64()?));
            (named(KEY, &[&key]), Record::Queues(Change::PutKey { key, at }))
        }
        CHANNEL => {
            let record = ChannelRecord {
                number: parser.u64()?,
                channel: Channel::new(parser.text()?).ok()?,
                epoch: Epoch::new(parser.text()?).ok()?,
                last: parser.u64()?,
                history: History { count: parser.size()?, age: parser.duration()?, bytes: parser.size()? },
            };
            (numbered(CHANNEL, &[record.number]), Record::Channel(record))
        }
        PUBLICATION => {
            let (channel, offset, at) = (parser.u64()?, parser.u64()?, Timestamp(parser.u64()?));
            let message = RawJson::from_text(parser.text()?.to_owned()).ok()?;
            let record = Record::Publication { channel, offset, at, message };
            (numbered(PUBLICATION, &[channel, offset]), record)
        }
        PUBLICATION_KEY => {
            let name = KeyName { channel: Channel::new(parser.text()?).ok()?, text: parser.shared()? };
            let position = parser.optional(|parser| {
                Some(Position { epoch: Epoch::new(parser.text()?).ok()?, offset: parser.u64()? })
            })?;
            let end = Timestamp(parser.u64()?);
            (publication_key(&name), Record::PublicationKey { name, position, end })
        }
        _ => return None,
    })
}

/// The arguments of the message in a value.
pub(super) fn read_args(value: &[u8]) -> Option<RawJson> {
    let (_, body) = unseal(value)?;
    let mut parser = Parser(body);
    match parser.u8()? {
        MESSAGE => {}
        LONE_ENTRY => drop((parser.u64()?, parser.u64()?)),
        _ => return None,
    }
    let (_, args) = read_accepted(&mut parser)?;
    RawJson::from_text(args.to_owned()).ok()
}

fn read_accepted<'a>(parser: &mut Parser<'a>) -> Option<(Accepted<()>, &'a str)> {
    let (id, at, bytes) = (parser.u64()?, Timestamp(parser.u64()?), parser.size()?);
    let resync = parser.bool()?;
    let event = parser.shared()?;
    let key: Option<Arc<str>> = parser.optional(Parser::shared)?;
    let args = parser.text()?;
    Some((Accepted { id, at, content: Content { event, args: (), bytes, resync, key } }, args))
}

fn read_device(parser: &mut Parser<'_>) -> Option<DeviceRecord> {
    Some(DeviceRecord {
        number: parser.u64()?,
        device: Device { user: parser.shared()?, id: parser.shared()? },
        epoch: parser.u64()?,
        last: parser.u64()?,
        ttl: parser.duration()?,
        departed: parser.optional(|parser| parser.u64().map(Timestamp))?,
        noted: parser.u64()?,
        resyncs: (0..parser.size()?)
            .map(|_| {
                Some(Resync {
                    number: parser.u64()?,
                    event: parser.optional(Parser::shared)?,
                    reason: ResyncReason::parse(parser.text()?)?,
                })
            })
            .collect::<Option<_>>()?,
    })
}
