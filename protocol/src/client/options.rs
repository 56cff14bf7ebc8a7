//! What the user may ask for with one request.

use crate::position::Position;

/// How to follow a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeOptions {
    pub(super) presence: bool,
    pub(super) since: Option<Position>,
}

impl SubscribeOptions {
    /// Nothing but publications, from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells also who comes and goes, on a channel whose server announces it. Default: not. Once one reader of a
    /// channel asked for it, it is told until the channel is unsubscribed.
    #[must_use]
    pub fn presence(mut self) -> Self {
        self.presence = true;
        self
    }

    /// Goes on from this place: what was published since comes first, or the application is told that it was not
    /// recovered. Of no effect on a channel that is followed already. Default: from now on.
    #[must_use]
    pub fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }
}

/// How to publish.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishOptions {
    pub(super) key: Option<String>,
}

impl PublishOptions {
    /// Without a key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the publication, in 1 to 128 bytes: within the server's window the same key on the same channel is the
    /// same publication, so that it does no harm to publish it again when no answer came. Default: no key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}
