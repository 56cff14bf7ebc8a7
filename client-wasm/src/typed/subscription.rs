//! A channel's publications as a stream.
//!
//! In: a [`Buffer`] that the driver's events fill. Out: a [`Stream`] for one reader.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use serde::de::DeserializeOwned;
use tokensocket_protocol::client::handle::{Buffer, SubscriptionError};
use tokensocket_protocol::{Channel, RawJson};

use super::socket::TokenSocket;

/// A followed channel: a [`Stream`] of its publications, in order.
///
/// The buffer holds 256 publications and 8 MiB unless the builder says otherwise. When it is full, the
/// oldest are dropped and the next item is [`SubscriptionError::Lagged`] with their number. On a channel with
/// history what is published while the connection is lost comes after the reconnect, beside that buffer, or
/// [`SubscriptionError::Unrecovered`] stands in its place. On a channel without history it does not arrive; listen to
/// [`on_reconnect`](TokenSocket::on_reconnect) to notice. A server that was cut off from others for a while says so of
/// such a channel by [`SubscriptionError::Unrecovered`]: something may be missing.
///
/// The stream ends after the channel is unsubscribed or the client ended. Dropping the last subscription
/// to a channel unsubscribes; [`detach`](Self::detach) keeps following without a stream. A subscription
/// keeps its client alive, as a handle does.
#[must_use = "dropping the last subscription to a channel unsubscribes; see `detach`"]
pub struct Subscription<T = RawJson> {
    following: Following,
    payload: PhantomData<fn() -> T>,
}

/// What ends a subscription when it is dropped.
struct Following {
    socket: TokenSocket,
    channel: Channel,
    buffer: Arc<Buffer>,
    detached: bool,
}

impl<T> Subscription<T> {
    pub(crate) fn new(socket: TokenSocket, channel: Channel, buffer: Arc<Buffer>) -> Self {
        Self { following: Following { socket, channel, buffer, detached: false }, payload: PhantomData }
    }

    /// The channel's name.
    pub fn channel(&self) -> &Channel {
        &self.following.channel
    }

    /// Reads every publication as a `U`. One of another shape gives [`SubscriptionError::Decode`].
    pub fn typed<U: DeserializeOwned>(self) -> Subscription<U> {
        Subscription { following: self.following, payload: PhantomData }
    }

    /// Gives up the stream but keeps following the channel: its publications reach the listeners of
    /// [`on_message`](TokenSocket::on_message) until somebody unsubscribes.
    pub fn detach(mut self) {
        self.following.detached = true;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.socket.leave(&self.channel, &self.buffer, self.detached);
    }
}

impl<T: DeserializeOwned> Stream for Subscription<T> {
    type Item = Result<T, SubscriptionError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.following.buffer.poll(context).map(|item| {
            item.map(|item| item?.parse().map_err(|error| SubscriptionError::Decode(error.to_string())))
        })
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.following.channel).finish()
    }
}
