//! Who waits for which request.
//!
//! In: a waiter with its request, in the order in which requests are made. Out: the same, once, when the
//! request is done. The session bounds how many there are.

use tokensocket_protocol::client::CallId;

pub(super) struct Waiters<W> {
    /// Looked through from the front: most requests end in about the order of their beginning.
    waiting: Vec<(CallId, W)>,
}

impl<W> Waiters<W> {
    pub(super) fn new() -> Self {
        Self { waiting: Vec::new() }
    }

    pub(super) fn add(&mut self, call: CallId, waiter: W) {
        self.waiting.push((call, waiter));
    }

    pub(super) fn take(&mut self, call: CallId) -> Option<W> {
        let index = self.waiting.iter().position(|(other, _)| *other == call)?;
        Some(self.waiting.swap_remove(index).1)
    }

    /// The request of a waiter.
    pub(super) fn find(&self, is_it: impl Fn(&W) -> bool) -> Option<CallId> {
        self.waiting.iter().find(|(_, waiter)| is_it(waiter)).map(|(call, _)| *call)
    }
}
