//! What came and was not handed on yet.
//!
//! The client holds messages by their number, however large they are; so all that came is taken from it at once, and
//! held here by its bytes.
//!
//! In: messages and their sizes. Out: the same, in their order, and that some are missing. Pure.

use std::collections::VecDeque;

/// So many bytes are held; what comes beyond is dropped, and that is told.
const MOST: usize = 64 << 20;
/// What a message costs beside its text, about.
const AROUND: usize = 256;

/// What came.
#[derive(Debug)]
pub(super) struct Backlog<T> {
    messages: VecDeque<(usize, T)>,
    bytes: usize,
    is_missing: bool,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, is_missing: false }
    }
}

impl<T> Backlog<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Takes a message if there is room for it. What `must` be taken has as much room again.
    pub(super) fn push(&mut self, bytes: usize, message: T, must: bool) {
        let bytes = bytes + AROUND;
        if self.bytes + bytes > if must { 2 * MOST } else { MOST } {
            self.is_missing = true;
            return;
        }
        self.bytes += bytes;
        self.messages.push_back((bytes, message));
    }

    /// The next message, and how many bytes it holds.
    pub(super) fn pop(&mut self) -> Option<(usize, T)> {
        let (bytes, message) = self.messages.pop_front()?;
        self.bytes -= bytes;
        Some((bytes, message))
    }

    /// Whether some were dropped since this was asked last.
    pub(super) fn is_missing(&mut self) -> bool {
        std::mem::take(&mut self.is_missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_so_many_bytes_and_says_when_some_are_missing() {
        let mut backlog = Backlog::default();
        let quarter = MOST / 4 - AROUND;
        (0..4).for_each(|n| backlog.push(quarter, n, false));
        assert!(!backlog.is_missing());
        backlog.push(0, 4, false);
        backlog.push(0, 5, true);
        assert!(backlog.is_missing() && !backlog.is_missing(), "said once");
        assert_eq!(backlog.pop(), Some((MOST / 4, 0)));
        backlog.push(0, 6, false);
        assert!(!backlog.is_missing(), "there is room again");
        let rest: Vec<_> = std::iter::from_fn(|| backlog.pop()).map(|(_, n)| n).collect();
        assert_eq!(rest, [1, 2, 3, 5, 6]);
        assert!(backlog.is_empty() && backlog.bytes == 0);
    }
}
