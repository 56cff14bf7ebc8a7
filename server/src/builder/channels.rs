//! What a builder says about channels: what they keep, who may read it, who may follow many at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::{Channel, Pattern, RpcError};

use super::{ServerBuilder, boxed};
use crate::channels::{ChannelOptions, Channels};
use crate::error::BuildError;
use crate::socket::Socket;

impl ServerBuilder {
    /// Says what channels do beyond carrying publications: those that `pattern` covers, and no pattern that was
    /// given before it. A pattern's segments are divided by dots; `*` covers any one segment, and `>`, as the last
    /// one, one or more.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tokensocket_server::{ChannelOptions, History, Server};
    ///
    /// # fn main() -> Result<(), tokensocket_server::BuildError> {
    /// let an_hour = History::new(1000, Duration::from_secs(3600));
    /// let server = Server::builder()
    ///     .authenticate_anyone()
    ///     .channels("news.>", ChannelOptions::new().history(an_hour))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn channels(mut self, pattern: &str, options: ChannelOptions) -> Self {
        self.channels.push((pattern.to_owned(), options));
        self
    }

    /// Asked before a client follows a pattern such as `news.*`. Several hooks: all must allow.
    ///
    /// Without such a hook there are no wildcard subscriptions, and `news.*` is a channel like any other. Who follows
    /// a pattern gets each publication of the channels that it covers once, however many of its patterns cover it;
    /// there is no recovery, and no broadcast but on channels that somebody follows by name. `on_subscribe` is not
    /// asked.
    pub fn on_subscribe_pattern<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, Pattern) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_subscribe_pattern.push(boxed(move |(socket, pattern)| hook(socket, pattern)));
        self
    }

    /// Asked before a client reads what a channel kept. Several hooks: all must allow. Without one, a client may
    /// read the channels that it follows.
    pub fn on_history<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, Channel) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_history.push(boxed(move |(socket, channel)| hook(socket, channel)));
        self
    }

    /// How many publications a client may read of a history at a time. A request for more is answered with as many,
    /// and told that there are more. Default 1,000.
    pub fn max_history(mut self, publications: usize) -> Self {
        self.config.max_history = publications;
        self
    }

    /// For how long the key of a client's publication is remembered: within that time the same key on the same
    /// channel is the same publication. Default 5 min.
    pub fn key_window(mut self, window: Duration) -> Self {
        self.config.key_window = window;
        self
    }

    /// How long a store may take for one thing, before whoever waits for it is told that it failed. Default 5 s. Not for what
    /// waits for an engine by [`Outage::Buffer`](crate::Outage::Buffer).
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }

    /// Checks the patterns, and whether what their channels keep can be sent.
    pub(super) fn take_channels(&mut self) -> Result<(), BuildError> {
        let mut channels = Channels::default();
        let outbox = self.config.outbox_bytes;
        for (pattern, options) in std::mem::take(&mut self.channels) {
            let history = options.history.as_ref().map_or(0, |history| history.bytes);
            if history > outbox / 2 {
                return Err(BuildError::HistoryTooLarge { pattern, history, outbox });
            }
            match Pattern::new(&pattern) {
                Ok(pattern) => channels.push(pattern, options),
                Err(invalid) => return Err(BuildError::InvalidPattern(pattern, invalid)),
            }
        }
        self.config.channels = Arc::new(channels);
        Ok(())
    }
}
