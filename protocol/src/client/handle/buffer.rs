//! What lies between the driver and one reader of a channel.
//!
//! In: publications from the driver, which never waits. Out: what the reader polls. When the buffer is full
//! the oldest publications are dropped, and the reader is told how many. What was recovered after a reconnect comes
//! all at once and has room of its own, so that it is not dropped before the reader had a chance to read it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::error::SubscriptionError;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// A bounded buffer of publications, for one reader.
pub struct Buffer {
    inner: Mutex<Inner>,
    max_items: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Inner {
    items: VecDeque<Item>,
    bytes: usize,
    /// The room beyond the limits for what was recovered last.
    extra_items: usize,
    extra_bytes: usize,
    missed: u64,
    /// What was lost on the server's side was dropped with the rest.
    missed_gap: bool,
    end: Option<End>,
    reader: Option<Waker>,
}

enum Item {
    Publication(RawJson),
    /// The server has lost some here.
    Gap,
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Publication(data) => data.as_bytes().len(),
            Self::Gap => 0,
        }
    }
}

enum End {
    Quiet,
    Lost(Option<RpcError>),
}

impl Buffer {
    /// Keeps so many publications, and so many bytes of them.
    pub fn new(max_items: usize, max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), max_items: max_items.max(1), max_bytes })
    }

    /// Adds a publication, if need be in place of the oldest ones. The newest is always kept.
    pub fn push(&self, item: RawJson) {
        self.change(|inner| inner.push(Item::Publication(item)));
    }

    /// Adds what was missed. It has room beside the limits, until it is read or the next is recovered.
    pub fn recover(&self, items: &[RawJson]) {
        self.change(|inner| {
            inner.extra_items = items.len();
            inner.extra_bytes = items.iter().map(|item| item.as_bytes().len()).sum();
            for item in items {
                inner.push(Item::Publication(item.clone()));
            }
        });
    }

    /// The server has lost some here.
    pub fn gap(&self) {
        self.change(|inner| {
            if !matches!(inner.items.back(), Some(Item::Gap)) {
                inner.push(Item::Gap);
            }
        });
    }

    /// Changes what there is to read, keeps to the limits, and wakes the reader.
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let reader = {
            let mut inner = self.lock();
            change(&mut inner);
            while inner.items.len() > self.max_items.saturating_add(inner.extra_items)
                || (inner.bytes > self.max_bytes.saturating_add(inner.extra_bytes) && inner.items.len() > 1)
            {
                match inner.items.pop_front() {
                    Some(Item::Publication(data)) => {
                        inner.bytes -= data.as_bytes().len();
                        inner.missed += 1;
                    }
                    Some(Item::Gap) => inner.missed_gap = true,
                    None => break,
                }
            }
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Nothing follows.
    pub fn end(&self) {
        self.end_with(End::Quiet);
    }

    /// Nothing follows, since the server ended the subscription.
    pub fn lose(&self, error: Option<RpcError>) {
        self.end_with(End::Lost(error));
    }

    /// Nothing that runs under the lock can leave the buffer half changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_with(&self, end: End) {
        let reader = {
            let mut inner = self.lock();
            inner.end.get_or_insert(end);
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The next publication, or what there is to tell about those that were lost. `None` after the end.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<RawJson, SubscriptionError>>> {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.missed_gap) {
            return Poll::Ready(Some(Err(SubscriptionError::Unrecovered)));
        }
        if inner.missed > 0 {
            let missed = std::mem::take(&mut inner.missed);
            return Poll::Ready(Some(Err(SubscriptionError::Lagged(missed))));
        }
        if let Some(item) = inner.items.pop_front() {
            let bytes = item.bytes();
            inner.bytes -= bytes;
            inner.extra_items = inner.extra_items.saturating_sub(1);
            inner.extra_bytes = inner.extra_bytes.saturating_sub(bytes);
            return Poll::Ready(Some(match item {
                Item::Publication(data) => Ok(data),
                Item::Gap => Err(SubscriptionError::Unrecovered),
            }));
        }
        match inner.end.take() {
            Some(End::Lost(error)) => {
                inner.end = Some(End::Quiet);
                Poll::Ready(Some(Err(SubscriptionError::Lost(error))))
            }
            Some(End::Quiet) => {
                inner.end = Some(End::Quiet);
                Poll::Ready(None)
            }
            None => {
                inner.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Inner {
    fn push(&mut self, item: Item) {
        self.bytes += item.bytes();
        self.items.push_back(item);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("items", &self.lock().items.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;

    use super::*;

    fn next(buffer: &Buffer) -> Poll<Option<Result<String, SubscriptionError>>> {
        let item = buffer.poll(&mut Context::from_waker(&noop_waker()));
        item.map(|item| item.map(|item| item.map(|item| item.to_string())))
    }

    fn raw(value: &str) -> RawJson {
        RawJson::from_text(value.to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_full_buffer_drops_the_oldest_and_says_how_many() {
        let buffer = Buffer::new(2, 1000);
        for value in ["1", "2", "3", "4"] {
            buffer.push(raw(value));
        }
        assert_eq!(next(&buffer), Poll::Ready(Some(Err(SubscriptionError::Lagged(2)))));
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("3".to_owned()))));
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("4".to_owned()))));
        assert_eq!(next(&buffer), Poll::Pending);
    }

    #[test]
    fn bytes_count_too_but_the_newest_stays() {
        let buffer = Buffer::new(9, 4);
        buffer.push(raw("1111"));
        buffer.push(raw("222222"));
        assert_eq!(next(&buffer), Poll::Ready(Some(Err(SubscriptionError::Lagged(1)))));
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("222222".to_owned()))));
    }

    #[test]
    fn what_was_recovered_is_not_dropped_for_being_much() {
        let buffer = Buffer::new(2, 4);
        buffer.push(raw("1"));
        let recovered: Vec<RawJson> = ["22", "33", "44", "55"].map(raw).into();
        buffer.recover(&recovered);
        buffer.push(raw("6"));
        for value in ["1", "22", "33"] {
            assert_eq!(next(&buffer), Poll::Ready(Some(Ok(value.to_owned()))));
        }
        for value in ["7", "8"] {
            buffer.push(raw(value));
        }
        assert_eq!(next(&buffer), Poll::Ready(Some(Err(SubscriptionError::Lagged(2)))), "its room is gone");
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("6".to_owned()))));
        buffer.recover(&recovered);
        buffer.recover(&recovered);
        assert_eq!(
            next(&buffer),
            Poll::Ready(Some(Err(SubscriptionError::Lagged(4)))),
            "and is not added up"
        );
    }

    #[test]
    fn the_room_for_what_was_recovered_is_that_of_the_last_time() {
        let buffer = Buffer::new(2, 1000);
        let recovered: Vec<RawJson> = ["1", "2", "3"].map(raw).into();
        for _ in 0..3 {
            buffer.recover(&recovered);
        }
        assert_eq!(next(&buffer), Poll::Ready(Some(Err(SubscriptionError::Lagged(4)))));
    }

    #[test]
    fn a_gap_stands_where_it_is_and_outlives_what_is_dropped() {
        let buffer = Buffer::new(3, 100);
        buffer.push(raw("1"));
        buffer.gap();
        buffer.gap();
        buffer.push(raw("2"));
        let gap = || Poll::Ready(Some(Err(SubscriptionError::Unrecovered)));
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("1".to_owned()))));
        assert_eq!(next(&buffer), gap());
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("2".to_owned()))));
        buffer.gap();
        for value in ["3", "4", "5", "6"] {
            buffer.push(raw(value));
        }
        assert_eq!(next(&buffer), gap());
        assert_eq!(next(&buffer), Poll::Ready(Some(Err(SubscriptionError::Lagged(1)))));
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("4".to_owned()))));
    }

    #[test]
    fn what_was_there_is_read_before_the_end() {
        let buffer = Buffer::new(9, 1000);
        buffer.push(raw("1"));
        buffer.lose(None);
        buffer.end();
        assert_eq!(next(&buffer), Poll::Ready(Some(Ok("1".to_owned()))));
        assert_eq!(next(&buffer), Poll::Ready(Some(Err(SubscriptionError::Lost(None)))));
        assert_eq!(next(&buffer), Poll::Ready(None));
        assert_eq!(next(&buffer), Poll::Ready(None));
    }
}
