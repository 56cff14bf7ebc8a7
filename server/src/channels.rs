//! What channels do beyond carrying publications, by pattern.
//!
//! In: patterns with their options, in the builder's order. Out: the options of a channel. Knows nothing of who
//! follows it. A server without patterns looks nothing up.

use tokensocket_protocol::{Channel, Pattern};

use crate::history::History;
use crate::presence::Presence;

/// What the channels of a pattern do beyond carrying publications. By default nothing.
#[derive(Debug, Clone)]
pub struct ChannelOptions {
    pub(crate) history: Option<History>,
    pub(crate) recovery: bool,
    pub(crate) presence: Option<Presence>,
}

impl ChannelOptions {
    /// No history, no presence.
    pub fn new() -> Self {
        Self { history: None, recovery: true, presence: None }
    }

    /// Keeps publications, so that each has an offset, clients that were away recover, and `history` can be read.
    #[must_use]
    pub fn history(mut self, history: History) -> Self {
        self.history = Some(history);
        self
    }

    /// Whether a client that comes back gets what it missed, where there is a history. Yes by default. Without it
    /// the client is told that it was not recovered.
    #[must_use]
    pub fn recovery(mut self, recovery: bool) -> Self {
        self.recovery = recovery;
        self
    }

    /// Keeps who is there.
    #[must_use]
    pub fn presence(mut self, presence: Presence) -> Self {
        self.presence = Some(presence);
        self
    }
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The options of all channels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Channels(Vec<(Pattern, ChannelOptions)>);

impl Channels {
    /// Adds options for the channels that `pattern` covers and no pattern before it does.
    pub(crate) fn push(&mut self, pattern: Pattern, options: ChannelOptions) {
        self.0.push((pattern, options));
    }

    /// A channel's options: those of the first pattern that covers it.
    pub(crate) fn of(&self, channel: &Channel) -> Option<&ChannelOptions> {
        self.0.iter().find(|(pattern, _)| pattern.covers(channel.as_str())).map(|(_, options)| options)
    }

    /// How much a channel keeps; `None`: nothing.
    pub(crate) fn history(&self, channel: &Channel) -> Option<&History> {
        self.of(channel)?.history.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_first_pattern_that_covers_a_channel_counts() -> Result<(), tokensocket_protocol::InvalidChannel> {
        let mut channels = Channels::default();
        let keeping = |count| ChannelOptions::new().history(History::new(count, Duration::from_secs(1)));
        channels.push(Pattern::new("news.sport")?, keeping(1));
        channels.push(Pattern::new("news.quiet")?, ChannelOptions::new());
        channels.push(Pattern::new("news.>")?, keeping(2));
        let count =
            |name| Channel::new(name).map(|channel| channels.history(&channel).map(|kept| kept.count));
        assert_eq!(count("news.sport")?, Some(1));
        assert_eq!(count("news.quiet")?, None);
        assert_eq!(count("news.a.b")?, Some(2));
        assert_eq!(count("other")?, None);
        Ok(())
    }
}
