//! Messages of a client's frame that waits to be handed over, one after the other.
//!
//! In: SockJS frames. Out: their messages. One frame's size is limited, and no other is read before its
//! messages are gone, so what waits is limited too.

use std::borrow::Cow;
use std::collections::VecDeque;

use tokensocket_protocol::sockjs::{BrokenFraming, Messages};
use tokensocket_protocol::{Close, sockjs};

/// The largest frame that a client may send: its messages are quoted in it.
pub(crate) fn max_frame_bytes(max_message_bytes: usize) -> usize {
    max_message_bytes.saturating_mul(2).saturating_add(1024)
}

/// The messages of one frame that were not handed over yet.
pub(super) struct Inbox {
    waiting: VecDeque<String>,
    max_message_bytes: usize,
}

impl Inbox {
    pub(super) fn new(max_message_bytes: usize) -> Self {
        Self { waiting: VecDeque::new(), max_message_bytes }
    }

    /// Whether no message waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next message that waits.
    pub(super) fn next(&mut self) -> Option<String> {
        let message = self.waiting.pop_front()?;
        if self.waiting.is_empty() {
            // An idle connection keeps no room: a small frame can have very many messages.
            self.waiting = VecDeque::new();
        }
        Some(message)
    }

    /// Reads the SockJS frame `bytes[start..]`. Gives its first message and keeps the others.
    pub(super) fn read<'a>(
        &mut self,
        bytes: &'a mut [u8],
        start: usize,
    ) -> Result<Option<Cow<'a, str>>, Close> {
        let Messages { first, others } = sockjs::messages(bytes, start).map_err(|broken| match broken {
            BrokenFraming::NoTexts => Close::BROKEN_FRAMING,
            BrokenFraming::NotUtf8 => Close::INVALID_TEXT,
        })?;
        let lengths = others.iter().map(String::len).chain(first.iter().map(|first| first.len()));
        if lengths.max().is_some_and(|longest| longest > self.max_message_bytes) {
            return Err(Close::TOO_LARGE);
        }
        if !others.is_empty() {
            self.waiting = others.into();
        }
        Ok(first)
    }

    /// How many messages there is room for without growing.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.waiting.capacity()
    }
}

/// The SockJS frame that says why a session ends. Who broke the framing is told none: clients of every kind
/// expect no frame then (SockJS protocol 0.3.3, `WebsocketHybi10.test_broken_json`).
pub(super) fn close_frame(close: &Close) -> Option<String> {
    (*close != Close::BROKEN_FRAMING).then(|| sockjs::close_frame(close))
}
