//! Calls that the server made on one client and that wait for an answer.
//!
//! In: a waiter for each call, the client's answers. Out: the waiter an answer belongs to. Keeps no
//! time: the caller removes what it no longer waits for.

use rustc_hash::FxHashMap;

use crate::command::call::Fid;

/// Waiters of the type `W` by the name of their call. An idle connection keeps no table.
#[derive(Debug)]
pub struct Calls<W> {
    next: u64,
    /// By a fast hash that could be foreseen: it is we who number calls.
    waiting: FxHashMap<Fid, W>,
}

impl<W> Calls<W> {
    /// No calls.
    pub fn new() -> Self {
        Self { next: 1, waiting: FxHashMap::default() }
    }

    /// How many calls wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no call waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Names a new call.
    pub fn start(&mut self, waiter: W) -> Fid {
        let fid = Fid::of(self.next);
        self.next += 1;
        self.waiting.insert(fid, waiter);
        fid
    }

    /// Takes the waiter of a call, once.
    pub fn finish(&mut self, fid: Fid) -> Option<W> {
        let waiter = self.waiting.remove(&fid);
        if self.waiting.is_empty() {
            self.waiting.shrink_to_fit();
        }
        waiter
    }

    /// Takes every waiter: the connection is gone.
    pub fn take_all(&mut self) -> impl Iterator<Item = W> + use<W> {
        std::mem::take(&mut self.waiting).into_values()
    }
}

impl<W> Default for Calls<W> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_waiter_once() {
        let mut calls = Calls::new();
        let first = calls.start("a");
        let second = calls.start("b");
        assert_eq!(calls.finish(second), Some("b"));
        assert_eq!(calls.finish(second), None);
        assert_eq!(calls.take_all().collect::<Vec<_>>(), ["a"]);
        assert_eq!(calls.finish(first), None);
    }
}
