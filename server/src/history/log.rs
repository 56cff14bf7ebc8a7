//! What one channel keeps: its epoch, its last offset, and the newest of its publications.
//!
//! In: publications, queries, the time. Out: offsets, what was trimmed, which offsets answer a query. Knows
//! neither where the messages are (they are its parameter) nor who reads them. Brokers are built on it.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokensocket_protocol::{Epoch, Position};

use super::{AROUND, History, HistoryQuery};
use crate::timestamp::Timestamp;

/// After how long, at most, a log on which nothing was published is forgotten.
const EMPTY: Duration = Duration::from_mins(5);

/// One channel's log. Offsets of what is kept are contiguous, and the last of them is the log's last.
#[derive(Debug, Clone)]
pub struct Log<M> {
    epoch: Epoch,
    history: History,
    last: u64,
    kept: VecDeque<Item<M>>,
    /// What all that is kept counts for.
    bytes: usize,
    /// When something was last published or read.
    touched: Timestamp,
}

/// A publication that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<M> {
    /// When it was published.
    pub at: Timestamp,
    /// How many bytes its message has.
    pub bytes: usize,
    /// The message, or where it is.
    pub message: M,
}

/// What an append did.
#[derive(Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where the publication stands.
    pub offset: u64,
    /// What is no longer kept; often nothing. The new publication is among it where nothing may be kept.
    pub trimmed: Range<u64>,
}

/// Which publications answer a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The log's place now.
    pub position: Position,
    /// Their offsets.
    offsets: Range<u64>,
    reverse: bool,
    /// Something that was published after `since` is no longer kept.
    pub gap: bool,
    /// The limit left some out.
    pub more: bool,
}

impl Selection {
    /// Their offsets, in the order that was asked for.
    pub fn offsets(&self) -> impl Iterator<Item = u64> + use<> {
        let (mut range, reverse) = (self.offsets.clone(), self.reverse);
        std::iter::from_fn(move || if reverse { range.next_back() } else { range.next() })
    }
}

impl<M> Item<M> {
    /// How many bytes of its channel's it takes.
    fn counts_for(&self) -> usize {
        self.bytes.saturating_add(AROUND)
    }
}

impl<M> Log<M> {
    /// An empty log. The epoch must be one that nobody had before.
    pub fn new(epoch: Epoch, history: History, now: Timestamp) -> Self {
        Self { epoch, history, last: 0, kept: VecDeque::new(), bytes: 0, touched: now }
    }

    /// The log that a store kept: its last offset, and the items that end with it.
    pub fn restore(
        epoch: Epoch,
        history: History,
        last: u64,
        items: impl IntoIterator<Item = Item<M>>,
        touched: Timestamp,
    ) -> Self {
        let kept: VecDeque<_> = items.into_iter().collect();
        let bytes = kept.iter().map(Item::counts_for).sum();
        Self { epoch, history, last, kept, bytes, touched }
    }

    /// Its place: behind its last publication.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.last }
    }

    /// The offsets of what is kept.
    pub fn offsets(&self) -> Range<u64> {
        self.first()..self.last + 1
    }

    /// What is kept counts for so many bytes: its messages, and what stands around each in an answer.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was last said about how much is kept.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Appends a publication, whose message has so many bytes, and drops what is too much or too old.
    pub fn append(&mut self, now: Timestamp, message: M, bytes: usize, history: &History) -> Appended {
        self.touch(now, history);
        self.last += 1;
        let item = Item { at: now, bytes, message };
        self.bytes += item.counts_for();
        self.kept.push_back(item);
        Appended { offset: self.last, trimmed: self.trim(now) }
    }

    /// Notes that somebody reads, so that the log is not forgotten, and by which options.
    pub fn touch(&mut self, now: Timestamp, history: &History) {
        self.touched = self.touched.max(now);
        if self.history != *history {
            self.history = history.clone();
        }
    }

    /// Drops what is too much or too old; returns the offsets of what was dropped.
    pub fn trim(&mut self, now: Timestamp) -> Range<u64> {
        let first = self.first();
        while let Some(oldest) = self.kept.front() {
            let is_too_much = self.kept.len() > self.history.count || self.bytes > self.history.bytes;
            if !is_too_much && !self.is_old(oldest, now) {
                break;
            }
            self.bytes -= oldest.counts_for();
            self.kept.pop_front();
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        first..self.first()
    }

    /// Whether nothing was published or read for so long that the log may be forgotten. One on which nothing was ever
    /// published goes soon: a client makes one with each name that it follows.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        let age = self.history.age.saturating_mul(2);
        let age = if self.position().offset == 0 { age.min(EMPTY) } else { age };
        self.touched.until(now) > age
    }

    /// The publication at an offset.
    pub fn get(&self, offset: u64) -> Option<&Item<M>> {
        let at = offset.checked_sub(self.first())?;
        self.kept.get(usize::try_from(at).ok()?)
    }

    /// Finds what answers a query. What is too old by now is not kept, even if it was not dropped yet.
    pub fn select(&self, query: &HistoryQuery, now: Timestamp) -> Selection {
        let old = self.kept.iter().take_while(|item| self.is_old(item, now)).count();
        let first = self.first() + old as u64;
        let end = self.last + 1;
        let since = query.since.as_ref();
        // A place of another epoch, or one that is still to come, says nothing about this log.
        let known = since.filter(|since| since.epoch == self.epoch && since.offset <= self.last);
        let all = match (since, known, query.reverse) {
            (None, ..) | (Some(_), None, false) => first..end,
            (Some(_), Some(known), false) => first.max(known.offset + 1)..end,
            (Some(_), Some(known), true) => first..(known.offset + 1).max(first),
            (Some(_), None, true) => first..first,
        };
        let gap = !query.reverse && since.is_some_and(|_| known.is_none_or(|known| known.offset + 1 < first));
        let limit = query.limit.map_or(u64::MAX, |limit| limit as u64);
        let more = all.end - all.start > limit;
        let offsets = match (more, query.reverse) {
            (false, _) => all,
            (true, false) => all.start..all.start + limit,
            (true, true) => all.end - limit..all.end,
        };
        Selection { position: self.position(), offsets, reverse: query.reverse, gap, more }
    }

    /// The offset of the oldest that is kept, or the next one.
    fn first(&self) -> u64 {
        self.last + 1 - self.kept.len() as u64
    }

    fn is_old(&self, item: &Item<M>, now: Timestamp) -> bool {
        item.at.until(now) > self.history.age
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn epoch(n: u64) -> Epoch {
        Epoch::from_random(n)
    }

    fn history() -> History {
        History::new(5, Duration::from_secs(10)).bytes(5 * (10 + AROUND))
    }

    /// A log with so many publications of ten bytes, one each second from second 1 on.
    fn log(publications: u64) -> Log<u64> {
        let mut log = Log::new(epoch(1), history(), Timestamp(0));
        for n in 1..=publications {
            let appended = log.append(Timestamp(n * 1000), n, 10, &history());
            assert_eq!(appended.offset, n);
        }
        log
    }

    fn select(log: &Log<u64>, query: &HistoryQuery, now: u64) -> (Vec<u64>, bool, bool) {
        let selection = log.select(query, Timestamp(now));
        let found = selection.offsets().map(|offset| log.get(offset).map_or(0, |item| item.message));
        (found.collect(), selection.gap, selection.more)
    }

    fn since(n: u64, offset: u64) -> HistoryQuery {
        HistoryQuery { since: Some(Position { epoch: epoch(n), offset }), ..HistoryQuery::default() }
    }

    #[test]
    fn keeps_no_more_than_it_may() {
        let mut log = log(5);
        assert_eq!(log.append(Timestamp(6000), 6, 10, &history()).trimmed, 1..2, "by count");
        assert_eq!(log.append(Timestamp(7000), 7, 70, &history()).trimmed, 2..4, "by count and bytes");
        assert_eq!((log.bytes(), log.get(3), log.get(8)), (100 + 4 * AROUND, None, None));
        assert_eq!(log.trim(Timestamp(15_001)), 4..6, "by age");
        assert_eq!(
            log.append(Timestamp(15_001), 8, 5 * (10 + AROUND), &history()).trimmed,
            6..9,
            "larger than all"
        );
        assert_eq!((log.bytes(), log.position().offset), (0, 8));
        assert_eq!(log.append(Timestamp(15_001), 9, 1, &history()).offset, 9);
    }

    #[test]
    fn reads_forward_from_a_place_and_tells_what_is_missing() {
        let log = log(7);
        assert_eq!(select(&log, &HistoryQuery::default(), 7000), (vec![3, 4, 5, 6, 7], false, false));
        assert_eq!(select(&log, &since(1, 7), 7000), (vec![], false, false));
        assert_eq!(select(&log, &since(1, 4), 7000), (vec![5, 6, 7], false, false));
        assert_eq!(select(&log, &since(1, 2), 7000), (vec![3, 4, 5, 6, 7], false, false));
        assert_eq!(select(&log, &since(1, 1), 7000), (vec![3, 4, 5, 6, 7], true, false));
        assert_eq!(select(&log, &since(1, 2), 13_001), (vec![4, 5, 6, 7], true, false), "too old by now");
        assert_eq!(select(&log, &since(1, 8), 7000).0, [3, 4, 5, 6, 7], "a place still to come");
        assert!(select(&log, &since(1, 8), 7000).1);
        assert_eq!(select(&log, &since(2, 4), 7000), (vec![3, 4, 5, 6, 7], true, false), "another epoch");
        let two = HistoryQuery { limit: Some(2), ..since(1, 3) };
        assert_eq!(select(&log, &two, 7000), (vec![4, 5], false, true));
        let none = HistoryQuery { limit: Some(0), ..HistoryQuery::default() };
        assert_eq!(select(&log, &none, 7000), (vec![], false, true));
    }

    #[test]
    fn reads_backwards_page_by_page() {
        let log = log(7);
        let page = |since: Option<u64>| HistoryQuery {
            since: since.map(|offset| Position { epoch: epoch(1), offset }),
            limit: Some(2),
            reverse: true,
        };
        assert_eq!(select(&log, &page(None), 7000), (vec![7, 6], false, true));
        assert_eq!(select(&log, &page(Some(5)), 7000), (vec![5, 4], false, true));
        assert_eq!(select(&log, &page(Some(3)), 7000), (vec![3], false, false));
        assert_eq!(select(&log, &page(Some(1)), 7000), (vec![], false, false));
        let other = HistoryQuery { reverse: true, ..since(2, 5) };
        assert_eq!(select(&log, &other, 7000), (vec![], false, false), "nothing is older than another epoch");
    }

    #[test]
    fn an_empty_log_has_a_place() {
        let log = log(0);
        assert_eq!(log.position(), Position { epoch: epoch(1), offset: 0 });
        assert_eq!(select(&log, &since(1, 0), 0), (vec![], false, false));
        assert_eq!(select(&log, &since(1, 1), 0), (vec![], true, false));
    }

    #[test]
    fn is_forgotten_when_nobody_publishes_or_reads_for_twice_its_age() {
        let mut log = log(1);
        assert!(!log.is_forgotten(Timestamp(21_000)));
        assert!(log.is_forgotten(Timestamp(21_001)));
        log.touch(Timestamp(21_000), &history());
        assert!(!log.is_forgotten(Timestamp(41_000)));
    }

    #[test]
    fn one_on_which_nothing_was_published_goes_soon() {
        let day = History::new(5, Duration::from_hours(24));
        let mut log = Log::new(epoch(1), day.clone(), Timestamp(0));
        assert!(!log.is_forgotten(Timestamp(300_000)));
        assert!(log.is_forgotten(Timestamp(300_001)));
        log.append(Timestamp(1000), 1, 1, &day);
        assert!(!log.is_forgotten(Timestamp(300_001)));
    }

    #[test]
    fn a_restored_log_is_the_same() {
        let mut before = log(7);
        before.trim(Timestamp(7000));
        let items = (3..=7).filter_map(|offset| before.get(offset).cloned());
        let after = Log::restore(epoch(1), history(), 7, items, Timestamp(7000));
        assert_eq!(after.position(), before.position());
        assert_eq!(after.bytes(), before.bytes());
        for query in [since(1, 2), since(1, 5), HistoryQuery::default()] {
            assert_eq!(select(&after, &query, 8000), select(&before, &query, 8000));
        }
    }
}
