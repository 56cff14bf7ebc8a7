//! A channel's publications as a stream.
//!
//! In: publications from the driver, which never waits. Out: a [`Stream`] for one reader. Between them a
//! bounded buffer; when it is full the oldest publications are dropped, and the reader is told how many.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokensocket_protocol::{Channel, RawJson, RpcError};

use crate::command::Control;
use crate::error::SubscriptionError;
use crate::socket::TokenSocket;

/// A followed channel: a [`Stream`] of its publications, in order.
///
/// The buffer holds 256 publications and 8 MiB unless the builder says otherwise. When it is full, the
/// oldest are dropped and the next item is [`SubscriptionError::Lagged`] with their number. What is
/// published while the connection is lost does not arrive; listen to
/// [`on_reconnect`](TokenSocket::on_reconnect) to notice.
///
/// The stream ends after the channel is unsubscribed or the client ended. Dropping the last subscription
/// to a channel unsubscribes; [`detach`](Self::detach) keeps following without a stream. A subscription
/// keeps its client alive, as a handle does.
#[must_use = "dropping the last subscription to a channel unsubscribes; see `detach`"]
pub struct Subscription<T = RawJson> {
    following: Following,
    payload: PhantomData<fn() -> T>,
}

/// What ends a subscription when it is dropped.
struct Following {
    socket: TokenSocket,
    channel: Channel,
    buffer: Arc<Buffer>,
    detached: bool,
}

impl<T> Subscription<T> {
    pub(crate) fn new(socket: TokenSocket, channel: Channel, buffer: Arc<Buffer>) -> Self {
        Self { following: Following { socket, channel, buffer, detached: false }, payload: PhantomData }
    }

    /// The channel's name.
    pub fn channel(&self) -> &Channel {
        &self.following.channel
    }

    /// Reads every publication as a `U`. One of another shape gives [`SubscriptionError::Decode`].
    pub fn typed<U: DeserializeOwned>(self) -> Subscription<U> {
        Subscription { following: self.following, payload: PhantomData }
    }

    /// Gives up the stream but keeps following the channel: its publications reach the listeners of
    /// [`on_message`](TokenSocket::on_message) until somebody unsubscribes.
    pub fn detach(mut self) {
        self.following.detached = true;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let (channel, buffer) = (self.channel.clone(), Arc::clone(&self.buffer));
        let detached = self.detached;
        self.socket.control(Control::Leave { channel, buffer, detached });
    }
}

impl<T: DeserializeOwned> Stream for Subscription<T> {
    type Item = Result<T, SubscriptionError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.following.buffer.poll(context).map(|item| {
            item.map(|item| item?.parse().map_err(|error| SubscriptionError::Decode(error.to_string())))
        })
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.following.channel).finish()
    }
}

/// What lies between the driver and one reader.
pub(crate) struct Buffer {
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
    pub(crate) fn new(max_items: usize, max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), max_items: max_items.max(1), max_bytes })
    }

    /// Adds a publication, if need be in place of the oldest ones. The newest is always kept.
    pub(crate) fn push(&self, item: RawJson) {
        let reader = {
            let mut inner = self.inner.lock();
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

    pub(crate) fn end(&self) {
        self.end_with(End::Quiet);
    }

    pub(crate) fn lose(&self, error: Option<RpcError>) {
        self.end_with(End::Lost(error));
    }

    fn end_with(&self, end: End) {
        let reader = {
            let mut inner = self.inner.lock();
            inner.end.get_or_insert(end);
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<RawJson, SubscriptionError>>> {
        let mut inner = self.inner.lock();
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
