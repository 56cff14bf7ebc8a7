//! One device's queue.
//!
//! In: entries, acknowledgements. Out: which entries are gone. Knows neither other devices nor the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::{Accepted, Change, DeviceRecord};
use crate::delivery::{Device, Resync, ResyncReason};
use crate::timestamp::Timestamp;

/// So many resyncs of single events wait for a device; one more, and it must fetch everything.
const RESYNCS: usize = 16;

#[derive(Debug)]
pub(super) struct Queue<B> {
    pub(super) number: u64,
    pub(super) device: Device,
    pub(super) epoch: u64,
    /// The last `seq` appended.
    pub(super) last: u64,
    pub(super) ttl: Duration,
    pub(super) departed: Option<Timestamp>,
    pub(super) connections: usize,
    /// When something may be past its time: where this device stands among the queues' deadlines.
    pub(super) due: Option<Timestamp>,
    noted: u64,
    pub(super) resyncs: Vec<Resync>,
    /// Each message is shared by exactly the queues that hold it.
    entries: BTreeMap<u64, Arc<Accepted<B>>>,
    bytes: usize,
}

impl<B: Clone> Queue<B> {
    /// A device as it was kept, connected by nobody.
    pub(super) fn new(record: DeviceRecord) -> Self {
        let DeviceRecord { number, device, epoch, last, ttl, departed, noted, resyncs } = record;
        Self {
            number,
            device,
            epoch,
            last,
            ttl,
            departed,
            connections: 0,
            due: None,
            noted,
            resyncs,
            entries: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn record(&self) -> DeviceRecord {
        DeviceRecord {
            number: self.number,
            device: self.device.clone(),
            epoch: self.epoch,
            last: self.last,
            ttl: self.ttl,
            departed: self.departed,
            noted: self.noted,
            resyncs: self.resyncs.clone(),
        }
    }

    /// Whether its time to live is over.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.departed.is_some_and(|departed| departed.after(self.ttl) <= now)
    }

    /// When something of it is past its time, the earliest.
    pub(super) fn deadline(&self, age: Duration) -> Option<Timestamp> {
        let over = self.departed.map(|departed| departed.after(self.ttl));
        let aged = self.head().map(|(_, head)| head.at.after(age));
        over.into_iter().chain(aged).min()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn head(&self) -> Option<(u64, &Arc<Accepted<B>>)> {
        self.entries.first_key_value().map(|(&seq, message)| (seq, message))
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Arc<Accepted<B>>> {
        self.entries.get(&seq)
    }

    pub(super) fn behind(&self, after: u64) -> impl Iterator<Item = (u64, &Arc<Accepted<B>>)> {
        let from = after.saturating_add(1);
        self.entries.range(from..).map(|(&seq, message)| (seq, message))
    }

    /// Puts a message at its place.
    pub(super) fn insert(&mut self, seq: u64, message: Arc<Accepted<B>>) {
        self.last = self.last.max(seq);
        self.bytes += message.content.bytes;
        if let Some(before) = self.entries.insert(seq, message) {
            self.bytes -= before.content.bytes;
        }
    }

    /// Whether an entry of the same event stands before this one.
    pub(super) fn is_overtaken(&self, seq: u64, event: &str) -> bool {
        // Nearly always the first is the one.
        self.entries
            .iter()
            .find(|(_, message)| &*message.content.event == event)
            .is_some_and(|(&head, _)| head < seq)
    }

    /// Notes that the device must be told.
    pub(super) fn note(&mut self, event: Option<Arc<str>>, reason: ResyncReason) -> Resync {
        self.noted += 1;
        let covered = self.resyncs.iter().any(|resync| resync.event.is_none());
        let event = event.filter(|_| !covered);
        match &event {
            None => self.resyncs.clear(),
            Some(_) => self.resyncs.retain(|resync| resync.event != event),
        }
        let event = event.filter(|_| self.resyncs.len() < RESYNCS);
        if event.is_none() {
            self.resyncs.clear();
        }
        let resync = Resync { number: self.noted, event, reason };
        self.resyncs.push(resync.clone());
        resync
    }

    /// Forgets what the device was told; `false` when that was nothing.
    pub(super) fn told(&mut self, numbers: &[u64]) -> bool {
        let before = self.resyncs.len();
        self.resyncs.retain(|resync| !numbers.contains(&resync.number));
        self.resyncs.len() < before
    }

    /// Removes entries. If the last one appended is among them, `changes` says before that how far it came,
    /// unless the caller has just put the device there.
    pub(super) fn remove(
        &mut self,
        which: impl IntoIterator<Item = u64>,
        is_put: bool,
        changes: &mut Vec<Change<B>>,
    ) {
        let mut is_put = is_put;
        for seq in which {
            let Some(message) = self.entries.remove(&seq) else { continue };
            self.bytes -= message.content.bytes;
            if seq == self.last && !is_put {
                is_put = true;
                changes.push(Change::PutDevice(self.record()));
            }
            changes.push(Change::DeleteEntry { device: self.number, seq });
            if let Some(message) = Arc::into_inner(message) {
                changes.push(Change::DeleteMessage { id: message.id });
            }
        }
    }

    /// Removes all entries. `changes` must have the device already, or its end.
    pub(super) fn clear(&mut self, changes: &mut Vec<Change<B>>) {
        let all: Vec<u64> = self.entries.keys().copied().collect();
        self.remove(all, true, changes);
    }
}
