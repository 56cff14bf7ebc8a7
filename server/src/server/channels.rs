//! What the application does with channels.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokensocket_protocol::{Channel, RawJson};

use super::Server;
use crate::broker::{Key, Published};
use crate::error::{HistoryError, PublishError, SubscribeError};
use crate::history::{HistoryPage, HistoryQuery};
use crate::socket::Socket;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// Choices for one publication.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    key: Option<Arc<str>>,
    window: Option<Duration>,
}

impl PublishOptions {
    /// No key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes it safe to publish again what may have been published: within the window, the same key on the same
    /// channel is the same publication. 1 to 128 bytes.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.key = Some(Arc::from(key.as_ref()));
        self
    }

    /// For how long the key is remembered. Default: the server's `key_window`, 5 min.
    #[must_use]
    pub fn key_window(mut self, window: Duration) -> Self {
        self.window = Some(window);
        self
    }
}

impl Server {
    /// Publishes on a channel, without asking the hooks. Resolves when the broker has taken it, on a channel with
    /// history also kept it, and says where it stands there.
    pub async fn publish(
        &self,
        channel: impl AsRef<str>,
        message: impl Serialize,
    ) -> Result<Published, PublishError> {
        self.publish_with(channel, message, PublishOptions::new()).await
    }

    /// The same with choices of its own.
    pub async fn publish_with(
        &self,
        channel: impl AsRef<str>,
        message: impl Serialize,
        options: PublishOptions,
    ) -> Result<Published, PublishError> {
        let channel = Channel::new(channel)?;
        let message = RawJson::new(&message)?;
        if options.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES) {
            return Err(PublishError::InvalidKey);
        }
        let window = options.window.unwrap_or(self.node().config.key_window);
        let key = options.key.map(|text| Key { text, window });
        Ok(self.node().publish(channel, message, key).await?)
    }

    /// Publishes to every channel of every node: a socket gets it once for each channel it follows. Channels do not
    /// keep it.
    pub async fn broadcast(&self, message: impl Serialize) -> Result<(), PublishError> {
        Ok(self.node().broadcast(RawJson::new(&message)?).await?)
    }

    /// Reads what a channel kept, without asking the hooks.
    pub async fn history(
        &self,
        channel: impl AsRef<str>,
        query: HistoryQuery,
    ) -> Result<HistoryPage, HistoryError> {
        self.node().history(&Channel::new(channel)?, query).await
    }

    /// Subscribes a socket. The same as [`Socket::subscribe`].
    pub async fn subscribe(&self, socket: &Socket, channel: impl AsRef<str>) -> Result<(), SubscribeError> {
        socket.subscribe(channel).await
    }

    /// Takes a socket off a channel. The same as [`Socket::unsubscribe`].
    pub fn unsubscribe(&self, socket: &Socket, channel: impl AsRef<str>) -> Result<(), SubscribeError> {
        socket.unsubscribe(channel)
    }

    /// Takes every socket of every node off a channel.
    pub async fn unsubscribe_all(&self, channel: impl AsRef<str>) -> Result<(), PublishError> {
        let channel = Channel::new(channel)?;
        Ok(self.node().unsubscribe_all(channel).await?)
    }

    /// The channels that sockets of this node follow, sorted. Without patterns.
    pub fn channels(&self) -> Vec<Channel> {
        let mut channels = self.node().channels();
        channels.sort_unstable();
        channels
    }

    /// The sockets of this node that follow a channel by its name.
    pub fn channel_sockets(&self, channel: &Channel) -> Vec<Socket> {
        self.node().channel_sockets(channel)
    }
}
