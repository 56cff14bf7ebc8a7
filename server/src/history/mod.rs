//! What a channel keeps of its publications: how much, and how it is read.
//!
//! In: a channel's options, publications, positions. Out: pages of publications. Knows no socket.

pub mod keys;
pub mod log;

use std::time::Duration;

use tokensocket_protocol::{Position, RawJson};

use crate::timestamp::Timestamp;

/// What a publication counts for besides its message: its place and its time stand around it in an answer.
pub(crate) const AROUND: usize = 64;

/// How much of a channel is kept. Whatever limit is reached first drops the oldest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub(crate) count: usize,
    pub(crate) age: Duration,
    pub(crate) bytes: usize,
}

impl History {
    /// Keeps at most `count` publications, each at most for `age`, and of all together at most 1 MiB. A
    /// channel on which nothing is published for twice that age is forgotten, its epoch with it.
    pub fn new(count: usize, age: Duration) -> Self {
        Self { count, age, bytes: 1 << 20 }
    }

    /// How many bytes a channel keeps: of its messages, and 64 for each that stand around it in an answer. Default
    /// 1 MiB. All of it may be sent in one answer, in which quoting may double it: more than half of a socket's
    /// [`outbox`](crate::ServerBuilder::outbox) is an error of [`build`](crate::ServerBuilder::build).
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

/// A publication that is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its place: 1 for the first of its epoch, one more for each that follows.
    pub offset: u64,
    /// What was published.
    pub message: RawJson,
    /// When.
    pub at: Timestamp,
}

/// Which part of a history.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// Only what was published after this place; without one, everything that is kept. In reverse, only what was
    /// published before it, and itself.
    pub since: Option<Position>,
    /// At most so many publications. `None`: all that are kept.
    pub limit: Option<usize>,
    /// The latest first.
    pub reverse: bool,
}

/// A part of a history.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The channel's place when this was read: behind its last publication.
    pub position: Position,
    /// In order, or in reverse order.
    pub publications: Vec<Kept>,
    /// Between `since` and the first that is kept something is missing, or `since` is of another epoch or still to
    /// come: then what is kept is given from its beginning. Never in reverse, where nothing is given before a place
    /// of another epoch.
    pub gap: bool,
    /// There is more than the limit let through.
    pub more: bool,
}
