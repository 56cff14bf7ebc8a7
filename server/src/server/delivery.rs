//! What a server's handle does by identity: deliveries to devices, and live messages to users.

use std::sync::Arc;

use serde::Serialize;
use tokensocket_protocol::{Channel, Close, RawJson};

use super::Server;
use crate::broker::Control;
use crate::delivery::{DeliverOptions, Delivered, Message, To};
use crate::error::{DeliverError, PublishError};
use crate::socket::emit::arguments;

/// The longest name of an event and the longest key, in bytes.
const MAX_NAME_BYTES: usize = 128;

impl Server {
    /// Keeps a message for every device of those it is for, then sends it to the devices that are connected.
    ///
    /// Returns once the entry of each is as durable as the store says; from then on the message comes to each device at
    /// least once, and with this project's clients effectively once, as long as the device comes back within
    /// the [`device_ttl`](crate::ServerBuilder::device_ttl) and its queue does not overflow, of which it is told by a
    /// `resync`. A device is for this what a connection named in its hello, of an identity with a user; one that
    /// never came has no queue, and neither has one whose client does not take deliveries.
    ///
    /// `args` are the event's arguments: a tuple or a list has several, `()` none, anything else is one. An event
    /// has 1 to 128 bytes.
    ///
    /// A refusal ([`Overloaded`](crate::StoreError::Overloaded), [`TooLarge`](crate::StoreError::TooLarge),
    /// [`TooMany`](crate::StoreError::TooMany)) means that nothing was kept. After any other error of the store, such as
    /// [`Timeout`](crate::StoreError::Timeout) or one of the disk, it may have been: a [key](DeliverOptions::key) makes
    /// it safe to deliver again. Dropping the future does not take back what it has begun.
    pub async fn deliver(
        &self,
        to: To,
        event: impl AsRef<str>,
        args: impl Serialize,
        options: DeliverOptions,
    ) -> Result<Delivered, DeliverError> {
        let event = name(event.as_ref()).ok_or(DeliverError::InvalidEvent)?;
        if options.key.as_deref().is_some_and(|key| name(key).is_none()) {
            return Err(DeliverError::InvalidKey);
        }
        let args = arguments(RawJson::new(&args)?);
        let message = Message { event, args, resync: options.resync, key: options.key };
        let appended = self.http.shared.node.deliver(to, message, options.request).await?;
        Ok(Delivered { devices: appended.queued.len(), duplicate: appended.duplicate })
    }

    /// Sends one message on `channel` to every socket of these users, on all nodes, whether it follows the channel or
    /// not. Nothing is kept: who is away misses it. Resolves when the broker has taken it.
    pub async fn emit_to_users<U: Into<Arc<str>>>(
        &self,
        users: impl IntoIterator<Item = U>,
        channel: impl AsRef<str>,
        data: impl Serialize,
    ) -> Result<(), PublishError> {
        self.emit(Some(users.into_iter().map(Into::into).collect()), channel.as_ref(), &data).await
    }

    /// The same for every socket that has authenticated.
    pub async fn emit_to_everyone(
        &self,
        channel: impl AsRef<str>,
        data: impl Serialize,
    ) -> Result<(), PublishError> {
        self.emit(None, channel.as_ref(), &data).await
    }

    async fn emit(
        &self,
        users: Option<Vec<Arc<str>>>,
        channel: &str,
        data: &impl Serialize,
    ) -> Result<(), PublishError> {
        let (channel, message) = (Channel::new(channel)?, RawJson::new(data)?);
        Ok(self.node().control(Control::Emit { users, channel, message }).await?)
    }

    /// Closes every socket of these users, on all nodes, normally (1000), after what is queued was sent. What is
    /// kept for their devices stays.
    pub async fn disconnect_users<U: Into<Arc<str>>>(
        &self,
        users: impl IntoIterator<Item = U>,
    ) -> Result<(), PublishError> {
        self.disconnect_users_with(users, Close::NORMAL).await
    }

    /// The same with a code and a reason. A client comes back unless the code says otherwise; see
    /// [`Close::reconnect`].
    pub async fn disconnect_users_with<U: Into<Arc<str>>>(
        &self,
        users: impl IntoIterator<Item = U>,
        close: Close,
    ) -> Result<(), PublishError> {
        let users = users.into_iter().map(Into::into).collect();
        Ok(self.node().control(Control::Disconnect { users, close }).await?)
    }
}

fn name(text: &str) -> Option<Arc<str>> {
    (1..=MAX_NAME_BYTES).contains(&text.len()).then(|| Arc::from(text))
}
