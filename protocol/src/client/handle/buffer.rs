//! What lies between the driver and one reader of a channel.
//!
//! In: publications from the driver, which never waits. Out: what the reader polls. When the buffer is full
//! the oldest publications are dropped, and the reader is told how many.

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
    items: VecDeque<RawJson>,
    bytes: usize,
    missed: u64,
    end: Option<End>,
    reader: Option<Waker>,
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
        let reader = {
            let mut inner = self.lock();
            inner.bytes += item.as_bytes().len();
            inner.items.push_back(item);
            while inner.items.len() > self.max_items
                || (inner.bytes > self.max_bytes && inner.items.len() > 1)
            {
                let Some(dropped) = inner.items.pop_front() else { break };
                inner.bytes -= dropped.as_bytes().len();
                inner.missed += 1;
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
        if inner.missed > 0 {
            let missed = std::mem::take(&mut inner.missed);
            return Poll::Ready(Some(Err(SubscriptionError::Lagged(missed))));
        }
        if let Some(item) = inner.items.pop_front() {
            inner.bytes -= item.as_bytes().len();
            return Poll::Ready(Some(Ok(item)));
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
