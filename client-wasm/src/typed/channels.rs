//! What a handle offers on channels.

use std::sync::Arc;

use serde::Serialize;
use tokensocket_protocol::client::handle::{Buffer, Error, HistoryPage, Members, Published};
use tokensocket_protocol::client::{PublishOptions, Session, SubscribeOptions};
use tokensocket_protocol::message::{HistoryQuery, PresenceQuery};
use tokensocket_protocol::{Channel, Position, RawJson};

use super::socket::TokenSocket;
use super::subscription::Subscription;

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
        // Made now, so that giving up this future ends what has begun.
        let subscription = Subscription::new(self.clone(), channel.clone(), Arc::clone(&buffer));
        self.ears().subscribers.borrow_mut().join(channel.as_str(), Arc::clone(&buffer));
        let wanted = Some((channel.clone(), buffer));
        let subscribe = |session: &mut Session<_>, now| session.handle_subscribe_with(now, channel, options);
        self.request_for(wanted, subscribe).await?;
        Ok(subscription)
    }

    /// Follows a channel no longer. All its subscriptions end.
    pub async fn unsubscribe(&self, channel: impl AsRef<str>) -> Result<(), Error> {
        let channel = Channel::new(channel)?;
        self.ears().subscribers.borrow_mut().end(channel.as_str());
        self.request(|session, now| session.handle_unsubscribe(now, channel)).await.map(drop)
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
        let publish =
            |session: &mut Session<_>, now| session.handle_publish_with(now, channel, data, options);
        Ok(Published::read(&self.request(publish).await?))
    }

    /// Publishes on every channel: a socket gets it once for each channel that it follows. Answered as
    /// [`publish`](Self::publish) is.
    pub async fn broadcast(&self, data: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let data = RawJson::new(data).map_err(Error::Encode)?;
        self.request(|session, now| session.handle_broadcast(now, data)).await.map(drop)
    }

    /// What a channel with history kept. Servers allow it to followers of the channel, unless they say otherwise.
    pub async fn history(&self, channel: impl AsRef<str>, query: HistoryQuery) -> Result<HistoryPage, Error> {
        let channel = Channel::new(channel)?;
        let answer = self.request(|session, now| session.handle_history(now, channel, query)).await?;
        answer.parse().map_err(Error::Decode)
    }

    /// Who is on a channel with presence. Servers allow it to followers of the channel, unless they say otherwise.
    pub async fn presence(&self, channel: impl AsRef<str>, query: PresenceQuery) -> Result<Members, Error> {
        let channel = Channel::new(channel)?;
        let answer = self.request(|session, now| session.handle_presence(now, channel, query)).await?;
        answer.parse().map_err(Error::Decode)
    }

    /// The place behind the last publication of a followed channel that the listeners of
    /// [`on_message`](Self::on_message) were told; `None` on a channel without history. What is kept of it when the
    /// page is left is where [`SubscribeOptions::since`] goes on after a reload.
    pub fn position(&self, channel: impl AsRef<str>) -> Option<Position> {
        let channel = Channel::new(channel).ok()?;
        self.shared.driver.ask(|session| session.position(&channel).cloned())?
    }

    /// The channels that are followed now and will be again after a reconnect. Empty once ended.
    #[allow(clippy::unused_async, reason = "the native client has to ask its task")]
    pub async fn channels(&self) -> Vec<Channel> {
        self.shared.driver.ask(Session::channels).unwrap_or_default()
    }
}
