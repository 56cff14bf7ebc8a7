//! What a node knows of one channel's history.
//!
//! ```text
//!                 the stream's messages of one channel
//!   ───[1 2 3]───[4]───[5 6 7]───[8 9]───▶
//!                      └──── tail ────┘ head
//! ```
//!
//! The head is the last message: what comes next is appended on the condition that it still is the last. The tail is
//! what was read of the messages before it, for those who read histories. Both may be behind; whoever needs them asks
//! the stream first.
//!
//! In: messages, as they are appended, read or heard. Out: where the channel stands, what can be read. Pure.

use std::collections::VecDeque;

use tokensocket_protocol::{Epoch, Position, RawJson};

use super::frame::{Batch, EntryKey};
use crate::history::log::Log;
use crate::history::{History, HistoryPage, HistoryQuery, Kept};
use crate::timestamp::Timestamp;

/// The last message of a channel.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Its place in the stream; 0 where there is none.
    pub(super) sequence: u64,
    pub(super) position: Position,
    /// When it was sent.
    pub(super) stored: Timestamp,
    /// When the last publication was made, if it is in this message.
    published: Option<Timestamp>,
    /// Its keys, unless they are known to be recorded elsewhere, too: they are before anything comes behind it.
    pub(super) keys: Vec<(EntryKey, Position)>,
}

impl Head {
    pub(super) fn of(sequence: u64, batch: &Batch) -> Self {
        let position = |offset| Position { epoch: batch.epoch.clone(), offset };
        let keys = (batch.first..)
            .zip(&batch.entries)
            .filter_map(|(offset, entry)| Some((entry.key.clone()?, position(offset))))
            .collect();
        Self {
            sequence,
            position: position(batch.last()),
            stored: batch.at,
            published: batch.entries.last().map(|entry| entry.at),
            keys,
        }
    }

    /// Of a channel without any message behind `sequence` that counts: it begins anew.
    pub(super) fn anew(sequence: u64, epoch: Epoch, now: Timestamp) -> Self {
        Self {
            sequence,
            position: Position { epoch, offset: 0 },
            stored: now,
            published: None,
            keys: Vec::new(),
        }
    }

    /// Whether it is the same message.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.sequence == other.sequence && self.position == other.position
    }

    /// Answers one who wants nothing but the channel's place.
    pub(super) fn place(&self, history: &History, now: Timestamp) -> HistoryPage {
        let is_old = self.published.is_some_and(|at| at.until(now) > history.age);
        HistoryPage {
            position: self.position.clone(),
            publications: Vec::new(),
            gap: false,
            more: self.position.offset > 0 && history.count > 0 && !is_old,
        }
    }
}

/// What was read of the messages up to the head.
#[derive(Debug)]
pub(super) struct Tail {
    log: Log<RawJson>,
    /// The place of the last message in it.
    pub(super) sequence: u64,
}

impl Tail {
    pub(super) fn new(epoch: Epoch, history: &History, now: Timestamp) -> Self {
        Self { log: Log::new(epoch, history.clone(), now), sequence: 0 }
    }

    /// Takes on the next message. `false`: it is not the next one.
    pub(super) fn append(&mut self, sequence: u64, batch: &Batch, history: &History) -> bool {
        if sequence <= self.sequence {
            return true;
        }
        if batch.behind < self.sequence {
            // Another stands where it was to stand: it does not count.
            self.sequence = sequence;
            return true;
        }
        let place = self.log.position();
        if place.epoch != batch.epoch || place.offset + 1 != batch.first {
            return false;
        }
        self.take(sequence, batch, history);
        true
    }

    /// Takes on a message that was read behind all that is in here, by which what was before it may end.
    pub(super) fn follow(&mut self, sequence: u64, batch: &Batch, history: &History) {
        if !self.append(sequence, batch, history) {
            let (epoch, before) = (batch.epoch.clone(), batch.first - 1);
            self.log = Log::restore(epoch, history.clone(), before, [], batch.at);
            self.take(sequence, batch, history);
        }
    }

    fn take(&mut self, sequence: u64, batch: &Batch, history: &History) {
        for entry in &batch.entries {
            let bytes = entry.message.as_bytes().len();
            self.log.append(entry.at, entry.message.compact(), bytes, history);
        }
        self.sequence = sequence;
    }

    /// Whether it can answer for so much.
    pub(super) fn reaches(&self, history: &History) -> bool {
        let own = self.log.history();
        own.count >= history.count && own.bytes >= history.bytes && own.age >= history.age
    }

    pub(super) fn position(&self) -> Position {
        self.log.position()
    }

    pub(super) fn bytes(&self) -> usize {
        self.log.bytes()
    }

    pub(super) fn page(&mut self, history: &History, query: &HistoryQuery, now: Timestamp) -> HistoryPage {
        self.log.touch(now, history);
        self.log.trim(now.min(Timestamp::now()));
        let selection = self.log.select(query, now);
        let kept = |offset| {
            self.log.get(offset).map(|item| Kept { offset, message: item.message.clone(), at: item.at })
        };
        HistoryPage {
            publications: selection.offsets().filter_map(kept).collect(),
            position: selection.position,
            gap: selection.gap,
            more: selection.more,
        }
    }
}

/// What this node knows of one channel.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) head: Option<Head>,
    pub(super) tail: Option<Tail>,
    spare: Spare,
}

impl Known {
    /// This message is the last one now.
    pub(super) fn appended(&mut self, sequence: u64, batch: &Batch, history: &History) {
        self.advance(sequence, batch);
        self.spare.note(sequence, batch, history);
        self.keep_up(sequence, batch);
    }

    /// This message was published by the stream. It may be an earlier one than those that are known.
    pub(super) fn heard(&mut self, sequence: u64, batch: &Batch) {
        // Whether it counts is known if nothing can stand before it, or what it is to stand behind is known.
        if self.head.is_some() || batch.behind.checked_add(1) == Some(sequence) {
            self.advance(sequence, batch);
        }
        self.keep_up(sequence, batch);
    }

    fn advance(&mut self, sequence: u64, batch: &Batch) {
        match &self.head {
            Some(head) if head.sequence >= sequence => {}
            // It does not count, though it is the last.
            Some(head) if batch.behind < head.sequence => self.head = None,
            _ => self.head = Some(Head::of(sequence, batch)),
        }
    }

    fn keep_up(&mut self, sequence: u64, batch: &Batch) {
        // A tail that is behind is read on from where it ends.
        if let Some(tail) = &mut self.tail {
            let history = tail.log.history().clone();
            tail.append(sequence, batch, &history);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.tail.as_ref().map_or(0, Tail::bytes)
    }

    /// Before which place the stream may drop messages, when that is worth it.
    pub(super) fn purge(&mut self) -> Option<u64> {
        self.spare.purge()
    }
}

/// Which messages of a channel the stream need not keep: its own limits are those of all channels.
#[derive(Debug, Default)]
struct Spare {
    recent: VecDeque<(u64, usize, usize)>,
    publications: usize,
    bytes: usize,
    spared: usize,
    spared_bytes: usize,
}

/// When dropping messages is worth a question.
const WORTH: (usize, usize) = (1024, 4 << 20);

impl Spare {
    fn note(&mut self, sequence: u64, batch: &Batch, history: &History) {
        let bytes =
            batch.entries.iter().map(|entry| entry.message.as_bytes().len() + crate::history::AROUND).sum();
        self.recent.push_back((sequence, batch.entries.len(), bytes));
        self.publications += batch.entries.len();
        self.bytes += bytes;
        while let Some(&(_, publications, bytes)) = self.recent.front() {
            let is_needed =
                self.publications - publications < history.count && self.bytes - bytes < history.bytes;
            if is_needed || self.recent.len() == 1 {
                break;
            }
            self.publications -= publications;
            self.bytes -= bytes;
            self.spared += 1;
            self.spared_bytes += bytes;
            self.recent.pop_front();
        }
    }

    fn purge(&mut self) -> Option<u64> {
        if self.spared < WORTH.0 && self.spared_bytes < WORTH.1 {
            return None;
        }
        (self.spared, self.spared_bytes) = (0, 0);
        self.recent.front().map(|(sequence, ..)| *sequence)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use std::time::Duration;

    use super::super::frame::{Entry, Sent};
    use super::*;

    fn history() -> History {
        History::new(100, Duration::from_mins(1))
    }

    fn batch(epoch: u64, first: u64, count: u64) -> Batch {
        let entry = |n: u64| Entry { at: Timestamp(n), key: None, message: RawJson::new(&n).unwrap() };
        let entries = (first..first + count).map(entry).collect();
        let sent = Sent { origin: 1, number: first };
        Batch {
            sent,
            at: Timestamp(first),
            behind: u64::MAX,
            epoch: Epoch::from_random(epoch),
            first,
            entries,
        }
    }

    fn offsets(tail: &mut Tail) -> Vec<u64> {
        let page = tail.page(&history(), &HistoryQuery::default(), Timestamp(10));
        page.publications.iter().map(|kept| kept.offset).collect()
    }

    #[test]
    fn a_tail_takes_on_what_comes_next() {
        let mut tail = Tail::new(Epoch::from_random(1), &history(), Timestamp(0));
        assert!(tail.append(7, &batch(1, 1, 2), &history()));
        assert!(tail.append(9, &batch(1, 3, 1), &history()));
        assert!(tail.append(9, &batch(1, 3, 1), &history()), "what it has is passed over");
        assert!(!tail.append(11, &batch(1, 5, 1), &history()), "a hole");
        assert!(!tail.append(12, &batch(2, 4, 1), &history()), "another epoch");
        assert_eq!((offsets(&mut tail), tail.sequence), (vec![1, 2, 3], 9));
        tail.follow(11, &batch(1, 5, 1), &history());
        assert_eq!(offsets(&mut tail), [5], "what the stream has dropped leaves no hole");
        tail.follow(12, &batch(2, 1, 2), &history());
        assert_eq!(offsets(&mut tail), [1, 2]);
    }

    #[test]
    fn what_stands_elsewhere_than_it_was_to_does_not_count() {
        let mut tail = Tail::new(Epoch::from_random(1), &history(), Timestamp(0));
        assert!(tail.append(7, &batch(1, 1, 2), &history()));
        let late = Batch { behind: 6, ..batch(1, 3, 5) };
        assert!(tail.append(8, &late, &history()));
        assert!(tail.append(9, &Batch { behind: 8, ..batch(1, 3, 1) }, &history()));
        assert_eq!(offsets(&mut tail), [1, 2, 3]);
        let mut known = Known::default();
        known.appended(7, &batch(1, 1, 2), &history());
        known.heard(8, &late);
        assert!(known.head.is_none(), "whoever appends has to look");
    }

    #[test]
    fn the_head_is_never_taken_back() {
        let mut known = Known::default();
        known.heard(3, &batch(1, 1, 1));
        assert!(known.head.is_none(), "what is heard before anything is read says not enough");
        known.appended(5, &batch(1, 2, 2), &history());
        known.heard(4, &batch(1, 9, 1));
        let head = known.head.unwrap();
        assert_eq!((head.sequence, head.position.offset), (5, 3));
    }

    #[test]
    fn says_what_the_stream_may_drop() {
        let mut known = Known::default();
        let two = History::new(2, Duration::from_mins(1));
        for n in 1..=1025 {
            known.appended(n * 10, &batch(1, n, 1), &two);
            assert_eq!(known.purge(), None);
        }
        known.appended(10_260, &batch(1, 1026, 1), &two);
        assert_eq!(known.purge(), Some(10_250), "the last two are needed");
        assert_eq!(known.purge(), None);
    }
}
