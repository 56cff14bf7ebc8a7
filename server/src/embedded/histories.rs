//! The histories of all channels, in memory.
//!
//! In: publications, and what was kept. Out: positions, and what has to be written. Knows neither writer nor handler.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use tokensocket_protocol::{Channel, Epoch, Position, RawJson};

use super::record::{self, ChannelRecord, Write};
use crate::broker::BrokerError;
use crate::history::History;
use crate::history::keys::{Keys, MAX_KEYS};
use crate::history::log::{Item, Log};
use crate::timestamp::Timestamp;

/// How many channels may have a history.
const MAX_CHANNELS: usize = 1_000_000;
/// How many bytes of messages all channels keep together; more make each channel keep fewer of its own.
const MAX_BYTES: usize = 1 << 30;

/// All channels that have a history, and the keys of publications.
pub(super) struct Histories {
    pub(super) channels: HashMap<Channel, Slot>,
    pub(super) next_number: u64,
    pub(super) keys: Keys,
    /// Of all messages that are kept.
    pub(super) bytes: usize,
}

/// One channel's history.
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) log: Log<RawJson>,
    /// The last job that writes of it.
    pub(super) ticket: u64,
}

impl Slot {
    pub(super) fn record(&self, channel: &Channel) -> Write {
        let Position { epoch, offset } = self.log.position();
        let history = self.log.history().clone();
        record::put_channel(&ChannelRecord {
            number: self.number,
            channel: channel.clone(),
            epoch,
            last: offset,
            history,
        })
    }

    /// What to write when publications are dropped. A log that keeps none says first how far it came.
    pub(super) fn trimmed(&self, channel: &Channel, offsets: Range<u64>, writes: &mut Vec<Write>) {
        if !offsets.is_empty() && offsets.end > self.log.position().offset {
            writes.push(self.record(channel));
        }
        writes.extend(offsets.map(|offset| record::delete_publication(self.number, offset)));
    }
}

impl Histories {
    /// None yet; the next channel gets this number.
    pub(super) fn new(next_number: u64) -> Self {
        Self { channels: HashMap::new(), next_number, keys: Keys::new(MAX_KEYS), bytes: 0 }
    }

    /// A channel's history; one that has none gets an empty one, of which `writes` tells.
    pub(super) fn slot(
        &mut self,
        channel: &Channel,
        history: &History,
        now: Timestamp,
        writes: &mut Vec<Write>,
    ) -> Result<&mut Slot, BrokerError> {
        if !self.channels.contains_key(channel) {
            if self.channels.len() >= MAX_CHANNELS {
                return Err(BrokerError::TooMany("channels with history"));
            }
            let log = Log::new(Epoch::from_random(rand::random()), history.clone(), now);
            let slot = Slot { number: self.next_number, log, ticket: 0 };
            self.next_number += 1;
            writes.push(slot.record(channel));
            self.channels.insert(channel.clone(), slot);
        }
        self.channels.get_mut(channel).ok_or(BrokerError::TooMany("channels with history"))
    }

    pub(super) fn append(
        &mut self,
        channel: &Channel,
        message: &RawJson,
        history: &History,
        at: Timestamp,
        writes: &mut Vec<Write>,
    ) -> Result<Position, BrokerError> {
        let all = self.bytes;
        let slot = self.slot(channel, history, at, writes)?;
        let before = slot.log.bytes();
        let room = MAX_BYTES.saturating_sub(all - before).min(history.bytes);
        if slot.log.history().age != history.age || slot.log.history().count != history.count {
            slot.log.touch(at, history);
            writes.push(slot.record(channel));
        }
        let bytes = message.as_bytes().len();
        let appended = slot.log.append(at, message.compact(), bytes, &history.clone().bytes(room));
        writes.push(record::put_publication(slot.number, appended.offset, at, message));
        slot.trimmed(channel, appended.trimmed, writes);
        let (position, after) = (slot.log.position(), slot.log.bytes());
        self.bytes = all - before + after;
        Ok(position)
    }

    /// Takes on one channel as it was kept. What is not whole begins a new epoch, with what is left of it.
    pub(super) fn restore(
        &mut self,
        record: ChannelRecord,
        kept: BTreeMap<u64, (Timestamp, RawJson)>,
        is_lost: bool,
        now: Timestamp,
        writes: &mut Vec<Write>,
    ) -> bool {
        let ChannelRecord { number, channel, epoch, last, history } = record;
        let top = kept.keys().next_back().copied().unwrap_or(last).max(last);
        let item = |(at, message): (Timestamp, RawJson)| {
            let bytes = message.as_bytes().len();
            Item { at, bytes, message }
        };
        let first = kept.keys().next().copied().unwrap_or(top + 1);
        let is_whole = !is_lost && first + kept.len() as u64 == top + 1;
        let slot = if is_whole {
            let items = kept.into_values().map(item);
            Slot { number, log: Log::restore(epoch, history, top, items, now), ticket: 0 }
        } else {
            let offsets: Vec<u64> = kept.keys().copied().collect();
            let items: Vec<_> = kept.into_values().map(item).collect();
            let number = self.next_number;
            self.next_number += 1;
            for (offset, item) in (1..).zip(&items) {
                writes.push(record::put_publication(number, offset, item.at, &item.message));
            }
            let epoch = Epoch::from_random(rand::random());
            let log = Log::restore(epoch, history, items.len() as u64, items, now);
            let slot = Slot { number, log, ticket: 0 };
            writes.push(slot.record(&channel));
            writes.push(record::delete_channel(record.number));
            writes
                .extend(offsets.into_iter().map(|offset| record::delete_publication(record.number, offset)));
            slot
        };
        self.bytes += slot.log.bytes();
        self.channels.insert(channel, slot);
        is_whole
    }
}
