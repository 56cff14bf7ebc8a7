//! Channels: who follows them, what is published on them, what they kept.
//!
//! In: what sockets and the application ask for, publications of the broker. Out: the same, handed to the hub and
//! the broker. How a socket joins a channel with history is in `hub/join.rs`; here is when it reads.

#[cfg(test)]
mod tests;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_protocol::command::subscribe::Joined;
use tokensocket_protocol::command::unsubscribe;
use tokensocket_protocol::{Channel, Framed, Pattern, Position, RawJson};
use tokio::runtime::Handle;

use super::Node;
use super::patience::Asked;
use crate::broker::{BrokerError, BrokerHandler, Control, Gap, Key, Publication, Publish, Published};
use crate::error::{HistoryError, SubscribeError};
use crate::history::{History, HistoryPage, HistoryQuery};
use crate::hub::{self, Confirm, Joining, Read, corked};
use crate::socket::{Follow, Socket};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// How often history is read for one who joins, before it is told that it was not recovered.
const READINGS: usize = 4;

impl Node {
    /// Has a socket follow a channel, or the pattern that its name is. Returns what the client is to be told, unless
    /// it has been told: on a channel with history that must stand between two publications.
    pub(crate) async fn subscribe(
        &self,
        socket: &Socket,
        channel: &Channel,
        recover: Option<&Position>,
        confirm: Confirm<'_>,
    ) -> Result<Option<Framed>, SubscribeError> {
        let pattern = self.pattern(channel);
        let options = self.config.channels.of(channel).filter(|_| pattern.is_none());
        if let Some((history, recovery)) = options.and_then(|all| Some((all.history.as_ref()?, all.recovery)))
        {
            // Boxed, so that following any other channel is not larger for it.
            self.join(socket, channel, history, recover, recovery, confirm).boxed().await?;
            return Ok(None);
        }
        let is_pattern = pattern.is_some();
        let follows = {
            let _changing = socket.change_channels();
            match socket.follow(channel, self.config.max_channels_per_socket)? {
                Follow::Already => None,
                Follow::New => match pattern {
                    Some(pattern) => Some(self.hub.add_pattern(&pattern, socket, &*self.broker)),
                    None => self.hub.add(channel, socket, &self.access, &*self.broker),
                },
            }
        };
        if let Some(follows) = follows
            && let Err(error) = self.followed(follows).await
        {
            let _changing = socket.change_channels();
            if socket.unfollow(channel) {
                self.leave(channel, socket);
            }
            return Err(error.into());
        }
        if !socket.follows(channel) {
            return Err(left(socket));
        }
        let recovered = recover.map(|_| false);
        Ok(Some(confirm(&Joined { recovered, pattern: is_pattern, ..Joined::default() })))
    }

    /// Waits until the broker follows a channel.
    async fn followed(&self, mut follows: hub::Noted) -> Result<(), BrokerError> {
        let late = || BrokerError::Unavailable("the engine did not follow the channel in time".to_owned());
        self.at_once_or_in_time(Asked::AtOnce, &mut follows, late).await
    }

    /// Joins a channel with history, and tells the client.
    async fn join(
        &self,
        socket: &Socket,
        channel: &Channel,
        history: &History,
        recover: Option<&Position>,
        recovery: bool,
        confirm: Confirm<'_>,
    ) -> Result<(), SubscribeError> {
        let (mut joining, follows) = {
            let _changing = socket.change_channels();
            let follow = socket.follow(channel, self.config.max_channels_per_socket)?;
            let is_new = matches!(follow, Follow::New);
            self.hub.begin_join(channel, socket, is_new, &self.access, &*self.broker)
        };
        self.followed(follows).await?;
        for reading in 1..=READINGS {
            let read = self.read_for(&joining, channel, history, recover.filter(|_| recovery)).await?;
            let _changing = socket.change_channels();
            if !socket.follows(channel) {
                return Err(left(socket));
            }
            let is_last = reading == READINGS;
            let joined = if recovery || recover.is_none() {
                joining.join(recover, read.as_ref(), is_last, &self.access, confirm)
            } else {
                let mut refused =
                    |joined: &Joined<'_>| confirm(&Joined { recovered: Some(false), ..joined.clone() });
                joining.join(None, read.as_ref(), is_last, &self.access, &mut refused)
            };
            if joined {
                return Ok(());
            }
        }
        Err(SubscribeError::Closed)
    }

    /// Reads what somebody who joins needs: what it missed, or, where nobody knows it, the channel's place.
    async fn read_for(
        &self,
        joining: &Joining<'_>,
        channel: &Channel,
        history: &History,
        recover: Option<&Position>,
    ) -> Result<Option<Read>, BrokerError> {
        let seen = joining.seen();
        let (since, limit) = match (recover, seen) {
            (None, Some(_)) => return Ok(None),
            (None, None) => (None, Some(0)),
            // From where both it and those who are here can be served.
            (Some(recover), Some(seen)) if seen.epoch == recover.epoch && seen.offset < recover.offset => {
                (Some(seen), None)
            }
            (Some(recover), _) => (Some(recover.clone()), None),
        };
        let offset = since.as_ref().map_or(u64::MAX, |since| since.offset);
        let query = HistoryQuery { since, limit, reverse: false };
        let page = self.read(channel, history, query).await?;
        Ok(Some(Read { page, since: offset }))
    }

    /// Takes a socket off a channel and tells its client, also when it did not follow it.
    pub(crate) fn unsubscribe(&self, socket: &Socket, channel: &Channel) {
        {
            let _changing = socket.change_channels();
            if socket.unfollow(channel) {
                self.leave(channel, socket);
            }
        }
        socket.tell(|| unsubscribe::unsubscribed(channel));
    }

    pub(super) fn leave(&self, channel: &Channel, socket: &Socket) {
        self.exit(socket, channel);
        let told = match self.pattern(channel) {
            Some(pattern) => self.hub.remove_pattern(&pattern, socket, &*self.broker),
            None => self.hub.remove(channel, socket, &*self.broker),
        };
        if let Some(told) = told {
            hub::leave_to(channel, told);
        }
    }

    /// The pattern that a name is, on a server that has wildcard subscriptions.
    pub(crate) fn pattern(&self, channel: &Channel) -> Option<Pattern> {
        if self.access.on_subscribe_pattern.is_empty() {
            return None;
        }
        Pattern::of(channel)
    }

    pub(crate) async fn publish(
        &self,
        channel: Channel,
        message: RawJson,
        key: Option<Key>,
    ) -> Result<Published, BrokerError> {
        let history = self.config.channels.history(&channel).cloned();
        // A key is kept, too.
        let keeps = history.is_some() || key.is_some();
        let publish = Publish { channel, message, history, key, at: Timestamp::now() };
        if keeps {
            // Boxed, so that a publication that nothing is kept of is not larger for it.
            self.publish_kept(publish).boxed().await
        } else {
            self.publish_in_time(&mut self.broker.publish(publish), || StoreError::Timeout.into()).await
        }
    }

    async fn publish_kept(&self, publish: Publish) -> Result<Published, BrokerError> {
        if Handle::try_current().is_ok() {
            // What is kept grows old also while nobody is connected.
            self.begin_ticking();
        }
        // A broker may hand the publication on while it holds the channel: followers are served afterwards.
        let mut publishing = corked(|| self.broker.publish(publish));
        if let Some(published) = corked(|| (&mut publishing).now_or_never()) {
            return published;
        }
        self.in_time(Asked::of(self.broker.holds()), publishing, StoreError::Timeout.into()).await
    }

    pub(crate) async fn broadcast(&self, message: RawJson) -> Result<(), BrokerError> {
        self.publish_in_time(&mut self.broker.broadcast(message), unheard).await
    }

    pub(crate) async fn unsubscribe_all(&self, channel: Channel) -> Result<(), BrokerError> {
        self.control(Control::UnsubscribeAll(channel)).await
    }

    /// Tells all nodes.
    pub(crate) async fn control(&self, control: Control) -> Result<(), BrokerError> {
        self.publish_in_time(&mut self.broker.control(control), unheard).await
    }

    /// Waits until something is published, which a broker may put off while its engine is away.
    async fn publish_in_time<T>(
        &self,
        work: &mut BoxFuture<'_, Result<T, BrokerError>>,
        late: impl FnOnce() -> BrokerError,
    ) -> Result<T, BrokerError> {
        self.at_once_or_in_time(Asked::of(self.broker.holds()), work, late).await
    }

    pub(crate) fn channels(&self) -> Vec<Channel> {
        self.hub.channels()
    }

    pub(crate) fn channel_sockets(&self, channel: &Channel) -> Vec<Socket> {
        self.hub.sockets(channel)
    }

    /// What a channel kept.
    pub(crate) async fn history(
        &self,
        channel: &Channel,
        query: HistoryQuery,
    ) -> Result<HistoryPage, HistoryError> {
        let history = self.config.channels.history(channel).ok_or(HistoryError::NotKept)?;
        Ok(self.read(channel, history, query).await?)
    }

    pub(super) async fn read(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
    ) -> Result<HistoryPage, BrokerError> {
        let late = || BrokerError::Unavailable("the history could not be read in time".to_owned());
        let mut reading = self.broker.history(channel, history, query, Timestamp::now());
        self.at_once_or_in_time(Asked::AtOnce, &mut reading, late).await
    }

    /// Drops what is past its time.
    pub(super) fn expire_channels(&self, now: Timestamp) {
        self.broker.expire(now);
        self.hub.end_idle();
    }
}

/// Why a socket no longer follows what it was about to.
fn left(socket: &Socket) -> SubscribeError {
    if socket.is_closed() { SubscribeError::Closed } else { SubscribeError::Left }
}

/// A broker did not say in time whether it told others.
fn unheard() -> BrokerError {
    BrokerError::Unavailable(
        "the engine did not answer in time; whether others were told is not known".to_owned(),
    )
}

impl BrokerHandler for Node {
    fn handle_publication(&self, publication: &Publication) {
        if self.hub.publish(publication, &self.access) {
            self.hole(&publication.channel);
        }
    }

    fn handle_gap(&self, gap: Gap) {
        self.look_into(gap);
    }

    fn handle_publications(&self, publications: &[Publication]) {
        corked(|| publications.iter().for_each(|publication| self.handle_publication(publication)));
    }

    fn handle_broadcast(&self, message: &RawJson) {
        for channel in self.hub.channels() {
            let publication = Publication { channel, message: message.clone(), position: None };
            self.hub.publish(&publication, &self.access);
        }
    }

    fn handle_announcement(&self, channel: &Channel, announcement: &RawJson) {
        self.hear_announcement(channel, announcement);
    }

    fn handle_control(&self, control: Control) {
        match control {
            Control::UnsubscribeAll(channel) => {
                let sockets = match self.pattern(&channel) {
                    Some(pattern) => self.hub.pattern_sockets(&pattern),
                    None => self.hub.sockets(&channel),
                };
                for socket in sockets {
                    self.unsubscribe(&socket, &channel);
                }
            }
            Control::Emit { users, channel, message } => {
                self.emit(users.as_deref(), &channel, &message);
            }
            Control::Disconnect { users, close } => self.disconnect_users(&users, &close),
            Control::Node(message) => self.hear(&message),
        }
    }

    fn follows(&self, channel: &Channel) -> bool {
        self.hub.follows(channel)
    }
}
