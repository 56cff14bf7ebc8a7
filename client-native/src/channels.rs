//! What a handle offers on channels.

use std::sync::Arc;

use serde::Serialize;
use tokensocket_protocol::client::handle::{Buffer, Error, HistoryPage, Members, Published};
use tokensocket_protocol::client::{PublishOptions, SubscribeOptions};
use tokensocket_protocol::message::{HistoryQuery, PresenceQuery};
use tokensocket_protocol::{Channel, RawJson};
use tokio::sync::oneshot;

use crate::command::{Command, Request};
use crate::socket::TokenSocket;
use crate::subscription::Subscription;

impl TokenSocket {
    /// Follows a channel, also after every reconnect. Resolves when the server has confirmed it; no
    /// publication after that is missed.
    pub async fn subscribe(&self, channel: impl AsRef<str>) -> Result<Subscription, Error> {
        self.subscribe_with(channel, SubscribeOptions::new()).await
    }

    /// Follows a channel as [`subscribe`](Self::subscribe) does: from a place in its history, or with its presence.
    pub async fn subscribe_with(
        &self,
        channel: impl AsRef<str>,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        let channel = Channel::new(channel)?;
        let buffer = Buffer::new(self.shared.subscription_items, self.shared.subscription_bytes);
        // Made now, so that giving up this future ends what the driver has begun.
        let subscription = Subscription::new(self.clone(), channel.clone(), Arc::clone(&buffer));
        self.request(None, |_| Request::Subscribe { channel, options, buffer }).await?;
        Ok(subscription)
    }

    /// Follows a channel no longer. All its subscriptions end.
    pub async fn unsubscribe(&self, channel: impl AsRef<str>) -> Result<(), Error> {
        let channel = Channel::new(channel)?;
        self.request(None, |_| Request::Unsubscribe(channel)).await.map(drop)
    }

    /// Publishes on a channel. A publisher that follows the channel gets its own publication.
    ///
    /// The original Node servers answer nothing when this succeeds; with them it resolves as soon as it
    /// is handed to the connection, and a refusal is not seen.
    pub async fn publish(
        &self,
        channel: impl AsRef<str>,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        self.publish_with(channel, data, PublishOptions::new()).await.map(drop)
    }

    /// Publishes on a channel as [`publish`](Self::publish) does, and tells where the publication stands. With a key
    /// it may be published again when no answer came, and is one publication all the same.
    pub async fn publish_with(
        &self,
        channel: impl AsRef<str>,
        data: &(impl Serialize + ?Sized),
        options: PublishOptions,
    ) -> Result<Published, Error> {
        let channel = Channel::new(channel)?;
        let data = RawJson::new(data).map_err(Error::Encode)?;
        let answer = self.request(None, |_| Request::Publish { channel, data, options }).await?;
        Ok(Published::read(&answer))
    }

    /// Publishes on every channel. Resolves as [`publish`](Self::publish) does.
    pub async fn broadcast(&self, data: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let data = RawJson::new(data).map_err(Error::Encode)?;
        self.request(None, |_| Request::Broadcast(data)).await.map(drop)
    }

    /// What a channel with history kept. Servers allow it to followers of the channel, unless they say otherwise.
    pub async fn history(&self, channel: impl AsRef<str>, query: HistoryQuery) -> Result<HistoryPage, Error> {
        let channel = Channel::new(channel)?;
        let answer = self.request(None, |_| Request::History(channel, query)).await?;
        answer.parse().map_err(Error::Decode)
    }

    /// Who is on a channel with presence. Servers allow it to followers of the channel, unless they say otherwise.
    pub async fn presence(&self, channel: impl AsRef<str>, query: PresenceQuery) -> Result<Members, Error> {
        let channel = Channel::new(channel)?;
        let answer = self.request(None, |_| Request::Presence(channel, query)).await?;
        answer.parse().map_err(Error::Decode)
    }

    /// The channels that are followed now and will be again after a reconnect. Empty once ended.
    pub async fn channels(&self) -> Vec<Channel> {
        let (reply, channels) = oneshot::channel();
        if self.shared.commands.send(Command::Channels(reply)).await.is_err() {
            return Vec::new();
        }
        channels.await.unwrap_or_default()
    }
}
