//! What opening a store found.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::record::{self, Place};

/// What was found when a store was opened. Damage is logged, too.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenReport {
    /// How many devices are known.
    pub devices: usize,
    /// How many entries wait for them.
    pub entries: usize,
    /// How many channels have a history.
    pub channels: usize,
    /// How many publications are kept for them.
    pub publications: usize,
    /// How long it took.
    pub took: Duration,
    /// What was damaged; nothing, as a rule.
    pub damage: Vec<Damage>,
    /// What was lost by it.
    pub lost: Lost,
}

impl OpenReport {
    /// Whether everything was as it had been left.
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.lost == Lost::default()
    }
}

/// A damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Which, as it was called.
    pub file: PathBuf,
    /// What was wrong with it.
    pub what: String,
    /// Where it lies now, as it was.
    pub kept_as: Option<PathBuf>,
}

/// What was lost by damage. Whoever it concerns is told: devices must resync in a new epoch, channels begin a new
/// epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// Records that are known to be lost.
    pub records: usize,
    /// More may be lost, and it is not known what: all devices and channels are told.
    pub unknown: bool,
    /// How many devices must resync.
    pub devices: usize,
    /// How many channels begin a new epoch.
    pub channels: usize,
}

/// Whom the loss of records concerns.
#[derive(Debug, Clone, Default)]
pub(super) struct Loss {
    pub(super) records: usize,
    /// Everybody.
    pub(super) unknown: bool,
    devices: Vec<RangeInclusive<u64>>,
    channels: Vec<RangeInclusive<u64>>,
}

impl Loss {
    /// Whether entries of this device may be lost.
    pub(super) fn concerns_device(&self, number: u64) -> bool {
        self.unknown || self.devices.iter().any(|range| range.contains(&number))
    }

    /// Whether publications of this channel may be lost.
    pub(super) fn concerns_channel(&self, number: u64) -> bool {
        self.unknown || self.channels.iter().any(|range| range.contains(&number))
    }

    /// What another part of the store lost.
    pub(super) fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.unknown |= other.unknown;
        self.devices.extend(other.devices);
        self.channels.extend(other.channels);
    }

    /// The record at this key.
    pub(super) fn add(&mut self, key: &[u8]) {
        self.records += 1;
        match Place::of(key) {
            Some(Place::Device(number) | Place::Entry(number) | Place::LoneEntry(number)) => {
                self.devices.push(number..=number);
            }
            Some(Place::Channel(number) | Place::Publication(number)) => self.channels.push(number..=number),
            // Whoever restores the queues sees which entries have no message, and which users no rooms. Without
            // a key, something may be accepted twice; nothing is missing.
            Some(Place::Message | Place::User | Place::Key | Place::PublicationKey) => {}
            None => self.unknown = true,
        }
    }

    /// All records behind one key and before another, which were both read; without one, to that end.
    pub(super) fn add_between(&mut self, from: Option<&[u8]>, to: Option<&[u8]>) {
        self.records += 1;
        let lies_in =
            |kind: u8| from.is_none_or(|from| *from < [kind + 1][..]) && to.is_none_or(|to| *to > [kind][..]);
        let number = |key: Option<&[u8]>, kind: u8, otherwise: u64| match key.and_then(Place::of) {
            Some(Place::Entry(number)) if kind == record::ENTRY => number,
            Some(Place::Publication(number)) if kind == record::PUBLICATION => number,
            _ => otherwise,
        };
        for (kind, ranges) in [(record::ENTRY, &mut self.devices), (record::PUBLICATION, &mut self.channels)]
        {
            if lies_in(kind) {
                ranges.push(number(from, kind, 0)..=number(to, kind, u64::MAX));
            }
        }
        // Neighbours among them are of any devices.
        if lies_in(record::LONE_ENTRY) {
            self.devices.push(0..=u64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record;
    use super::*;
    use crate::delivery::queues::Change;

    fn entry(device: u64) -> Vec<u8> {
        record::change(&Change::DeleteEntry { device, seq: 7 }, "").key
    }

    #[test]
    fn a_gap_concerns_those_on_both_sides_and_between() {
        let mut loss = Loss::default();
        loss.add_between(Some(&entry(3)), Some(&entry(5)));
        assert!([3, 4, 5].into_iter().all(|number| loss.concerns_device(number)));
        assert!(!loss.concerns_device(2) && !loss.concerns_device(6) && !loss.concerns_channel(4));
    }

    #[test]
    fn a_gap_among_lone_entries_concerns_every_device() {
        let mut loss = Loss::default();
        let key = |message| record::lone_entry_key(message, 7);
        loss.add_between(Some(&key(1)), Some(&key(3)));
        assert!(loss.concerns_device(1) && loss.concerns_device(8) && !loss.concerns_channel(7));
    }

    #[test]
    fn a_gap_ends_where_a_kind_does() {
        let mut loss = Loss::default();
        loss.add_between(Some(&record::delete_publication(9, 1).key), Some(&[record::LONE_ENTRY]));
        assert!(loss.concerns_channel(10) && !loss.concerns_device(1));
        loss.add_between(Some(&[record::LONE_ENTRY]), None);
        assert!(loss.concerns_device(1) && !loss.concerns_channel(8));
    }

    #[test]
    fn a_gap_at_an_end_concerns_all_up_to_there() {
        let mut loss = Loss::default();
        loss.add_between(None, Some(&entry(5)));
        assert!(loss.concerns_device(1) && loss.concerns_device(5) && !loss.concerns_device(6));
        loss.add_between(Some(&record::delete_publication(9, 1).key), None);
        assert!(loss.concerns_channel(9) && loss.concerns_channel(10) && !loss.concerns_channel(8));
    }
}
