//! What a store holds, read back.
//!
//! In: records. Out: what the queues and the broker are restored from, and whom the loss of records concerns.

use std::collections::BTreeMap;

use tokensocket_protocol::{Position, RawJson};

use super::record::{self, ChannelRecord, Record};
use super::report::Loss;
use crate::delivery::queues::Change;
use crate::history::keys::KeyName;
use crate::timestamp::Timestamp;

/// Everything that was kept, but for the arguments of messages.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) queues: Vec<Change<()>>,
    /// Where messages stand with their only entry.
    pub(super) lone: BTreeMap<u64, (u64, u64)>,
    pub(super) channels: BTreeMap<u64, ChannelRecord>,
    /// By the channels' numbers, then by offset.
    pub(super) publications: BTreeMap<u64, BTreeMap<u64, (Timestamp, RawJson)>>,
    pub(super) keys: Vec<(KeyName, Option<Position>, Timestamp)>,
    pub(super) loss: Loss,
    /// The highest number of a write.
    pub(super) number: u64,
    /// Whom it did concern, as they are restored.
    pub(super) concerned: Concerned,
}

/// How many are told of a loss.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Concerned {
    pub(super) devices: usize,
    pub(super) channels: usize,
}

impl Contents {
    /// Takes one record in; `false` when it is not what its key says.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> bool {
        let found = record::unseal(value).and_then(|(number, body)| Some((number, record::read(body)?)));
        let Some((number, (own, record))) = found.filter(|(_, (own, _))| own == key) else {
            self.loss.add(key);
            return false;
        };
        drop(own);
        self.number = self.number.max(number);
        match record {
            Record::Queues(change) => self.queues.push(change),
            Record::LoneEntry { device, seq, message } => {
                let id = message.id;
                self.lone.insert(id, (device, seq));
                self.queues.push(Change::PutMessage(message));
                self.queues.push(Change::PutEntry { device, seq, message: id });
            }
            Record::Channel(channel) => drop(self.channels.insert(channel.number, channel)),
            Record::Publication { channel, offset, at, message } => {
                self.publications.entry(channel).or_default().insert(offset, (at, message));
            }
            Record::PublicationKey { name, position, end } => self.keys.push((name, position, end)),
        }
        true
    }
}
