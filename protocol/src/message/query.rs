//! What a client asks of a channel: which part of its history, which of its members.

use crate::position::Position;

/// Which part of a channel's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Only what was published after this place; without one, everything that is kept. In reverse, only what was
    /// published before it, and itself.
    pub since: Option<Position>,
    /// At most so many publications. The server has a limit, too.
    pub limit: Option<u64>,
    /// The latest first.
    pub reverse: bool,
}

impl HistoryQuery {
    /// Everything that is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what was published after this place; in reverse, before it, and itself.
    #[must_use]
    pub fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }

    /// At most so many publications.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The latest first.
    #[must_use]
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }
}

/// Which members of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresenceQuery {
    /// At most so many, oldest first; 0 asks for the counts alone. Default 100.
    pub limit: Option<u64>,
    /// Only those after this client.
    pub after: Option<String>,
}

impl PresenceQuery {
    /// The first hundred.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most so many; 0 asks for the counts alone.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Only those after this client.
    #[must_use]
    pub fn after(mut self, client: impl Into<String>) -> Self {
        self.after = Some(client.into());
        self
    }
}
