//! The requests that wait to be sent: while there is no connection, and while too many are in flight.
//!
//! In: requests, in order. Out: the same, in order. Bounded in count and bytes; who has to go when it is
//! full is the session's affair.

use super::event::CallId;
use super::options::{PublishOptions, SubscribeOptions};
use super::sorted::Sorted;
use crate::channel::Channel;
use crate::message::{HistoryQuery, PresenceQuery};

/// What the user asked for.
#[derive(Debug)]
pub(super) enum Request<P> {
    Call { path: String, data: P },
    Subscribe(Channel, SubscribeOptions),
    Unsubscribe(Channel),
    Publish { channel: Channel, data: P, options: PublishOptions },
    Broadcast { data: P },
    History(Channel, HistoryQuery),
    Presence(Channel, PresenceQuery),
}

/// The requests that wait to be sent. A [`CallId`] grows with each request, so that the order is kept.
#[derive(Debug)]
pub(super) struct Offline<P> {
    waiting: Sorted<CallId, (Request<P>, usize)>,
    bytes: usize,
    max_calls: usize,
    max_bytes: usize,
}

impl<P> Offline<P> {
    pub(super) fn new(max_calls: usize, max_bytes: usize) -> Self {
        Self { waiting: Sorted::default(), bytes: 0, max_calls, max_bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.len() == 0
    }

    /// Whether a request of this size could fit if nothing else waited.
    pub(super) fn could_take(&self, bytes: usize) -> bool {
        self.max_calls > 0 && bytes <= self.max_bytes
    }

    /// Whether a request of this size fits now.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        self.waiting.len() < self.max_calls && self.bytes.saturating_add(bytes) <= self.max_bytes
    }

    pub(super) fn push(&mut self, call: CallId, request: Request<P>, bytes: usize) {
        self.bytes += bytes;
        self.waiting.push(call, (request, bytes));
    }

    pub(super) fn pop(&mut self) -> Option<(CallId, Request<P>)> {
        let (call, (request, bytes)) = self.waiting.pop_first()?;
        self.bytes -= bytes;
        Some((call, request))
    }

    pub(super) fn remove(&mut self, call: CallId) {
        if let Some((_, bytes)) = self.waiting.remove(call) {
            self.bytes -= bytes;
        }
    }

    pub(super) fn clear(&mut self) {
        self.waiting = Sorted::default();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_waits() {
        let mut offline = Offline::<()>::new(2, 10);
        let request = || Request::Broadcast { data: () };
        assert!(offline.takes(10) && !offline.takes(11) && !offline.could_take(11));
        offline.push(CallId(1), request(), 4);
        offline.push(CallId(2), request(), 4);
        assert!(!offline.takes(1));
        offline.remove(CallId(1));
        assert!(offline.takes(6) && !offline.takes(7));
        assert_eq!(offline.pop().map(|(call, _)| call), Some(CallId(2)));
        assert!(offline.is_empty() && offline.takes(10));
    }
}
