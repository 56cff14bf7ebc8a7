//! The body of a receiver's response: frames, each a piece of its own.
//!
//! In: frames from the exchange. Out: the same, as fast as the response takes them. Dropped before its end it
//! ends the session, since nobody knows what the client got.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::{Exchange, Life};

/// The response of the receiver that is attached.
pub(crate) struct Receiver {
    exchange: Arc<Exchange>,
    number: u64,
}

impl Receiver {
    pub(super) fn new(exchange: Arc<Exchange>, number: u64) -> Self {
        Self { exchange, number }
    }

    /// All there is to its end: for kinds whose response is one frame.
    pub(crate) async fn whole(mut self) -> Bytes {
        let mut whole = Vec::new();
        while let Some(bytes) = poll_fn(|cx| self.poll_bytes(cx)).await {
            whole.push(bytes);
        }
        match <[Bytes; 1]>::try_from(whole) {
            Ok([frame]) => frame,
            Err(frames) => frames.concat().into(),
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.exchange.state.lock();
        let Some(receiver) = state.receiver.as_mut().filter(|receiver| receiver.number == self.number) else {
            return Poll::Ready(None);
        };
        if let Some(bytes) = receiver.waiting.pop_front() {
            receiver.waiting_bytes -= bytes.len();
            if receiver.has_room()
                && let Some(session) = state.session_that_waits()
            {
                session.wake();
            }
            return Poll::Ready(Some(bytes));
        }
        if receiver.finished {
            return Poll::Ready(None);
        }
        if receiver.response.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            receiver.response = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Body for Receiver {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().poll_bytes(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.exchange.state.lock();
        state.receiver.as_ref().is_none_or(|receiver| receiver.number != self.number || receiver.is_over())
    }
}

impl Stream for Receiver {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_bytes(cx).map(|bytes| bytes.map(Ok))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.exchange.state.lock();
        let Some(receiver) = state.receiver.take_if(|receiver| receiver.number == self.number) else {
            return;
        };
        if !receiver.is_over() && matches!(state.life, Life::Open | Life::Closing(_)) {
            state.life = Life::Gone;
        }
        state.alone_since = Instant::now();
        let must_see = !state.is_timed || matches!(state.life, Life::Gone);
        let session = must_see.then(|| state.session.clone()).flatten();
        drop(state);
        self.exchange.changed.notify_waiters();
        if let Some(session) = session {
            session.wake();
        }
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}
