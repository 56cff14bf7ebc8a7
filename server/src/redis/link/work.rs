//! What a server is asked to do.
//!
//! In: a command, and whether it may be sent twice. Out: what it answers, or what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::{Cmd, Value};
use tokio::sync::oneshot;

use super::facts::Facts;
use crate::redis::error::LinkError;

/// Whether a command may be sent again when it is not known whether it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Again {
    /// Doing it twice is doing it once.
    Safe,
    /// Then its outcome is [`LinkError::Unknown`].
    Never,
}

/// Something that a server is asked.
pub(in crate::redis) trait Work: Send {
    /// The command. Asked for right before it is sent, and once more if it is sent again.
    fn command(&mut self, facts: &Facts) -> Cmd;

    /// About how large it is.
    fn bytes(&self) -> usize;

    fn again(&self) -> Again;

    /// Whether it waits for a server that is away, if that is what publications do.
    fn waits(&self) -> bool;

    /// Whether what it carries was [admitted](super::Link::admit) already, so that it counts for nothing.
    fn is_admitted(&self) -> bool {
        false
    }

    /// For how long doing it twice is doing it once; `None`: always.
    fn remembered(&self) -> Option<Duration> {
        None
    }

    /// It was sent, and there is no answer; it may be sent again.
    fn doubted(&mut self) {}

    /// What became of it.
    fn done(self: Box<Self>, outcome: Result<Value, LinkError>);
}

/// A command that somebody waits for.
pub(super) struct Call {
    pub(super) command: Cmd,
    pub(super) bytes: usize,
    pub(super) again: Again,
    pub(super) waits: bool,
    pub(super) told: oneshot::Sender<Result<Value, LinkError>>,
}

impl Work for Call {
    fn command(&mut self, _: &Facts) -> Cmd {
        self.command.clone()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn again(&self) -> Again {
        self.again
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn done(self: Box<Self>, outcome: Result<Value, LinkError>) {
        let _ = self.told.send(outcome);
    }
}

/// A command that changes nothing.
pub(super) struct Reading {
    pub(super) command: Box<dyn Fn(&Facts) -> Cmd + Send>,
    pub(super) told: oneshot::Sender<Result<Value, LinkError>>,
}

impl Work for Reading {
    fn command(&mut self, facts: &Facts) -> Cmd {
        (self.command)(facts)
    }

    fn bytes(&self) -> usize {
        super::AROUND
    }

    fn again(&self) -> Again {
        Again::Safe
    }

    fn waits(&self) -> bool {
        false
    }

    fn done(self: Box<Self>, outcome: Result<Value, LinkError>) {
        let _ = self.told.send(outcome);
    }
}

/// How much waits, and how much may.
pub(in crate::redis) struct Budget {
    operations: AtomicUsize,
    bytes: AtomicUsize,
    most_operations: usize,
    most_bytes: usize,
}

/// A part of a budget; given back when it is dropped.
pub(in crate::redis) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(in crate::redis) fn new(most_operations: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            operations: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            most_operations,
            most_bytes,
        })
    }

    pub(in crate::redis) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let operations = self.operations.fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let share = Share { budget: Arc::clone(self), bytes };
        (operations <= self.most_operations && all <= self.most_bytes).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.operations.fetch_sub(1, Ordering::Relaxed);
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_given_back() {
        let budget = Budget::new(2, 100);
        let first = budget.take(60);
        assert!(first.is_some());
        assert!(budget.take(41).is_none(), "too many bytes");
        let second = budget.take(40);
        assert!(second.is_some());
        assert!(budget.take(0).is_none(), "too many operations");
        drop(first);
        assert!(budget.take(60).is_some());
    }
}
