//! The transport of a session that HTTP requests carry.
//!
//! In: an [`Exchange`]. Out: the messages that senders brought; and the session's frames, gathered into as few
//! as they can be, to whichever receiver is attached.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::{Close, sockjs};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{Instant, Sleep, sleep_until};

use super::table::Entry;
use super::{Exchange, Life, State};
use crate::format::Format;
use crate::transport::received::Received;
use crate::transport::{Incoming, Transport};

/// The most bytes of messages that are gathered into one frame.
const GATHERED: usize = 64 * 1024;

/// One session's transport. When it is dropped, the session is over.
pub(crate) struct Carrier {
    exchange: Arc<Exchange>,
    /// Its place among the endpoint's sessions.
    entry: Entry,
    /// Messages that were taken from the exchange and not handed over yet.
    received: VecDeque<String>,
    /// `a["…","…",`: messages for the receiver, until they make a frame.
    gathered: Vec<u8>,
    /// A poll was held back once for what has just come.
    held_back: bool,
    /// A write that cannot be done let what was accepted be read.
    gave_way: bool,
    /// Ends the session when no receiver comes.
    timeout: Option<Pin<Box<Sleep>>>,
}

impl Carrier {
    pub(super) fn new(exchange: Arc<Exchange>, entry: Entry) -> Self {
        Self {
            exchange,
            entry,
            received: VecDeque::new(),
            gathered: Vec::new(),
            held_back: false,
            gave_way: false,
            timeout: None,
        }
    }

    /// Whether the session is over: cut, or left alone for too long.
    fn poll_over(&mut self, state: &mut State, cx: &mut Context<'_>) -> bool {
        if state.session.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            state.session = Some(cx.waker().clone());
        }
        if matches!(state.life, Life::Gone) {
            return true;
        }
        let until = state.alone_since + self.exchange.limits.timeout;
        loop {
            if self.timeout.is_none() && state.receiver.is_none() {
                self.timeout = Some(Box::pin(sleep_until(until)));
            }
            // Receivers come and go much faster than this wakes.
            let Some(Poll::Ready(())) = self.timeout.as_mut().map(|timeout| timeout.as_mut().poll(cx)) else {
                break;
            };
            self.timeout = None;
            if state.receiver.is_none() && until <= Instant::now() {
                state.life = Life::Gone;
                return true;
            }
        }
        state.is_timed = self.timeout.is_some();
        false
    }

    /// Nothing can be written any more. Whatever was accepted and not read yet is read first, if it is at all.
    fn poll_broken(&mut self, state: &State, cx: &Context<'_>) -> Poll<io::Error> {
        if !state.received.is_empty() && !std::mem::replace(&mut self.gave_way, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(io::ErrorKind::BrokenPipe.into())
    }

    /// Makes one frame of what was gathered.
    fn give_gathered(gathered: &mut Vec<u8>, state: &mut State, limit: usize) {
        let mut frame = std::mem::take(gathered);
        if let Some(comma) = frame.last_mut() {
            *comma = b']';
            state.give(frame, limit);
        }
    }
}

impl Transport for Carrier {
    const ANSWERS_HEARTBEATS: bool = false;

    fn format(&self) -> Format {
        Format::Element
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        None
    }

    fn greeting(&self) -> Option<Bytes> {
        Some(Bytes::from_static(sockjs::OPEN.as_bytes()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        if !self.received.is_empty() {
            return Poll::Ready(Ok(Some(Received::nothing())));
        }
        let exchange = Arc::clone(&self.exchange);
        let mut state = exchange.state.lock();
        let is_over = self.poll_over(&mut state, cx);
        // What was accepted before the end is handed over before it.
        if matches!(state.life, Life::Closed(_)) || is_over && state.received.is_empty() {
            return Poll::Ready(Ok(None));
        }
        if state.received.is_empty() {
            return Poll::Pending;
        }
        self.received = std::mem::take(&mut state.received);
        state.received_bytes = 0;
        drop(state);
        self.exchange.changed.notify_waiters();
        Poll::Ready(Ok(Some(Received::nothing())))
    }

    fn decode<'a>(&mut self, _: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        let message = self.received.pop_front();
        if self.received.is_empty() {
            self.received = VecDeque::new();
        }
        Ok(message.map(|message| Incoming::Message(Cow::Owned(message))))
    }

    fn put_back(&mut self, _: Received, _: bool) {}

    fn heartbeat(&self) -> Bytes {
        Bytes::from_static(sockjs::HEARTBEAT.as_bytes())
    }

    fn closing(&self, close: &Close) -> Vec<Bytes> {
        let frame = Bytes::from(sockjs::close_frame(close));
        self.exchange.closing(frame.clone());
        vec![frame]
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let exchange = Arc::clone(&self.exchange);
        let limit = exchange.limits.response;
        let mut state = exchange.state.lock();
        if self.poll_over(&mut state, cx) {
            return self.poll_broken(&state, cx).map(Err);
        }
        let is_message = bytes.first() == Some(&b'"');
        if !is_message || self.gathered.len() >= GATHERED {
            Self::give_gathered(&mut self.gathered, &mut state, limit);
        }
        let has_room = state.receiver.as_ref().is_some_and(super::Attached::has_room);
        if !has_room {
            if bytes == sockjs::HEARTBEAT.as_bytes() {
                // Nobody waits for a sign of life.
                return Poll::Ready(Ok(bytes.len()));
            }
            state.waits_to_say = true;
            return Poll::Pending;
        }
        if is_message {
            if self.gathered.is_empty() {
                self.gathered.reserve(bytes.len() + 8);
                self.gathered.extend_from_slice(b"a[");
            }
            self.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        state.give(bytes.to_vec(), limit);
        if let Life::Closing(frame) = &state.life
            && frame == bytes
        {
            state.life = Life::Closed(frame.clone());
            if let Some(receiver) = &mut state.receiver {
                receiver.finish();
            }
            // The end of the session is what is read next.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let exchange = Arc::clone(&self.exchange);
        let mut state = exchange.state.lock();
        if self.poll_over(&mut state, cx) {
            return self.poll_broken(&state, cx).map(Err);
        }
        // Who was told that messages have come, and polls then, should get what is answered to them: most often
        // that is a moment away.
        let hurries = std::mem::take(&mut self.held_back) || state.received.is_empty();
        if hurries || self.gathered.is_empty() || !state.receiver_polls() {
            Self::give_gathered(&mut self.gathered, &mut state, exchange.limits.response);
        } else {
            self.held_back = true;
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if self.exchange.ended() {
            self.entry.linger(&self.exchange);
        } else {
            self.entry.remove(&self.exchange);
        }
    }
}
