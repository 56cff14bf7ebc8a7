//! The handle that users hold. Cheap to clone; what it does reaches the driver at once.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokensocket_protocol::action::{Call, FromCall, InvalidAction};
use tokensocket_protocol::client::handle::{Buffer, Error, Event, EventName, Listener, UnknownEvent};
use tokensocket_protocol::client::{CallId, ConnectionError, Session, State as ConnectionState};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::{Channel, MaybeSync, RawJson, RpcError};
use tokio::sync::oneshot;

use super::builder::Builder;
use super::ears::{Ears, Outcome, Waiter};
use super::rpc::Rpc;
use super::subscription::Subscription;
use super::transports::Transport;
use crate::driver::Driver;

/// Actions that a server may call on a client.
pub type Actions = tokensocket_protocol::action::Actions<TokenSocket>;

/// A client of a TokenSocket server, in a page or a worker.
///
/// Cloning gives another handle to the same connection. The client ends when it is told to, or when the
/// last handle, [`Subscription`] and running action is dropped.
#[derive(Clone)]
pub struct TokenSocket {
    pub(crate) shared: Rc<Shared>,
}

/// What all handles share.
pub(crate) struct Shared {
    pub(crate) driver: Driver<NativeCodec, Ears>,
    pub(crate) subscription_items: usize,
    pub(crate) subscription_bytes: usize,
    pub(crate) last_id: Cell<u64>,
}

impl TokenSocket {
    /// Describes a client of the server at `address`: `https://host:port`, or with `http`, `ws`, `wss`;
    /// empty for where the page came from.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder::new(address.into())
    }

    /// Waits for the outcome of the first attempt to connect. Afterwards it answers at once, and always
    /// the same.
    ///
    /// After an error the client keeps trying, unless the refusal is final or reconnecting is switched
    /// off; then [`state`](Self::state) is [`ConnectionState::Ended`].
    pub async fn ready(&self) -> Result<(), ConnectionError> {
        let mut status = self.ears().status.subscribe();
        match status.wait_for(|status| status.ready.is_some() || status.closed).await {
            Ok(status) => status.ready.clone().unwrap_or(Err(ConnectionError::Ended)),
            Err(_) => Err(ConnectionError::Ended),
        }
    }

    /// Where the connection stands.
    pub fn state(&self) -> ConnectionState {
        self.ears().status.borrow().state
    }

    /// By what it is connected; `None` unless the state is [`ConnectionState::Ready`].
    pub fn transport(&self) -> Option<Transport> {
        let name = self.shared.driver.transport().filter(|_| self.state() == ConnectionState::Ready)?;
        Transport::named(&name)
    }

    /// Calls the server's action `path` with `data`; its answer is read as a `T`.
    ///
    /// While there is no connection, calls wait in the queue and are sent in the order in which they
    /// were awaited. See [`Rpc`] for deadlines and cancellation.
    pub fn rpc<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> Rpc<T> {
        Rpc::new(self.clone(), path.into(), RawJson::new(data))
    }

    /// Follows a channel, also after every reconnect. Resolves when the server has confirmed it; no
    /// publication after that is missed.
    pub async fn subscribe(&self, channel: impl AsRef<str>) -> Result<Subscription, Error> {
        let channel = Channel::new(channel)?;
        let buffer = Buffer::new(self.shared.subscription_items, self.shared.subscription_bytes);
        // Made now, so that giving up this future ends what has begun.
        let subscription = Subscription::new(self.clone(), channel.clone(), Arc::clone(&buffer));
        self.ears().subscribers.borrow_mut().join(channel.as_str(), Arc::clone(&buffer));
        let wanted = Some((channel.clone(), buffer));
        self.request_for(wanted, |session, now| session.handle_subscribe(now, channel)).await?;
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
        let channel = Channel::new(channel)?;
        let data = RawJson::new(data).map_err(Error::Encode)?;
        self.request(|session, now| session.handle_publish(now, channel, data)).await.map(drop)
    }

    /// Publishes on every channel: a socket gets it once for each channel that it follows. Answered as
    /// [`publish`](Self::publish) is.
    pub async fn broadcast(&self, data: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        let data = RawJson::new(data).map_err(Error::Encode)?;
        self.request(|session, now| session.handle_broadcast(now, data)).await.map(drop)
    }

    /// Replaces the actions that the server may call. Calls that run go on.
    pub fn register(&self, actions: Actions) -> Result<(), InvalidAction> {
        actions.check(&self.ears().state)?;
        self.ears().actions.replace(Rc::new(actions));
        Ok(())
    }

    /// The channels that are followed now and will be again after a reconnect. Empty once ended.
    #[allow(clippy::unused_async, reason = "the native client has to ask its task")]
    pub async fn channels(&self) -> Vec<Channel> {
        self.shared.driver.ask(Session::channels).unwrap_or_default()
    }

    /// Calls `listener` with the outcome of the first attempt to connect: once, and at once when that is
    /// over already.
    ///
    /// Listeners run one after the other, where the page's events are handled: they should be quick.
    pub fn on_ready(
        &self,
        listener: impl Fn(&Result<(), ConnectionError>) + MaybeSync + 'static,
    ) -> Listener {
        self.ears().listeners.add(EventName::Ready, move |event| {
            if let Event::Ready(outcome) = event {
                listener(outcome);
            }
        })
    }

    /// Calls `listener` with the outcome of every later attempt to connect.
    pub fn on_reconnect(
        &self,
        listener: impl Fn(&Result<(), ConnectionError>) + MaybeSync + 'static,
    ) -> Listener {
        self.ears().listeners.add(EventName::Reconnect, move |event| {
            if let Event::Reconnect(outcome) = event {
                listener(outcome);
            }
        })
    }

    /// Calls `listener` whenever a connection that was ready is lost.
    pub fn on_disconnect(&self, listener: impl Fn(&ConnectionError) + MaybeSync + 'static) -> Listener {
        self.ears().listeners.add(EventName::Disconnect, move |event| {
            if let Event::Disconnect(error) = event {
                listener(error);
            }
        })
    }

    /// Calls `listener` with the channel and the data of every publication.
    pub fn on_message(&self, listener: impl Fn(&str, &RawJson) + MaybeSync + 'static) -> Listener {
        self.ears().listeners.add(EventName::Message, move |event| {
            if let Event::Message { channel, data } = event {
                listener(channel, data);
            }
        })
    }

    /// Calls `listener` for the event `name`: `ready`, `reconnect`, `disconnect` or `message`.
    pub fn on(
        &self,
        name: &str,
        listener: impl Fn(&Event) + MaybeSync + 'static,
    ) -> Result<Listener, UnknownEvent> {
        Ok(self.ears().listeners.add(EventName::parse(name)?, listener))
    }

    /// Ends the client: what was sent before still goes out, requests that are not done fail with
    /// [`Error::Ended`], running actions are dropped. Resolves when the connection is closed, at the latest
    /// after 2 s.
    pub async fn end(&self) {
        self.shared.driver.advance(Session::handle_end);
        let mut status = self.ears().status.subscribe();
        // The sender lives as long as this handle.
        let _ = status.wait_for(|status| status.closed).await;
    }

    pub(crate) fn ears(&self) -> &Ears {
        self.shared.driver.face()
    }

    pub(crate) fn answer(&self, fid: &str, outcome: Result<RawJson, RpcError>) {
        let outcome = outcome.map_err(Into::into);
        self.shared.driver.advance(|session, now| session.handle_answer(now, fid, outcome));
    }

    /// A subscription's stream is dropped; `detached` when its channel is still wanted.
    pub(crate) fn leave(&self, channel: &Channel, buffer: &Arc<Buffer>, detached: bool) {
        let unwanted = self.ears().subscribers.borrow_mut().leave(channel.as_str(), buffer, detached);
        if unwanted {
            self.shared.driver.advance(|session, now| {
                session.handle_unsubscribe(now, channel.clone());
            });
        }
    }

    pub(crate) async fn request(
        &self,
        make: impl FnOnce(&mut Session<NativeCodec>, Duration) -> CallId,
    ) -> Result<RawJson, Error> {
        self.request_for(None, make).await
    }

    /// Makes a request and waits for its outcome. The session keeps the time.
    async fn request_for(
        &self,
        subscription: Option<(Channel, Arc<Buffer>)>,
        make: impl FnOnce(&mut Session<NativeCodec>, Duration) -> CallId,
    ) -> Result<RawJson, Error> {
        let (reply, outcome) = oneshot::channel();
        let id = self.shared.last_id.get() + 1;
        self.shared.last_id.set(id);
        self.shared.driver.request(Waiter { id, reply, subscription }, make);
        Waiting { socket: self, id, done: false }.outcome(outcome).await
    }
}

/// Cancels the request when nobody waits for it any more.
struct Waiting<'a> {
    socket: &'a TokenSocket,
    id: u64,
    done: bool,
}

impl Waiting<'_> {
    async fn outcome(mut self, outcome: oneshot::Receiver<Outcome>) -> Result<RawJson, Error> {
        let outcome = outcome.await;
        self.done = true;
        outcome.map_err(|_| Error::Ended)?.map_err(Error::from)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.socket.shared.driver.cancel(|waiter| waiter.id == self.id);
        }
    }
}

/// Extracts the handle, for calling the server back.
impl FromCall<TokenSocket> for TokenSocket {
    fn from_call(call: &Call<'_, TokenSocket>) -> Result<Self, RpcError> {
        Ok(call.context.clone())
    }
}

impl std::fmt::Debug for TokenSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSocket").field("state", &self.state()).finish_non_exhaustive()
    }
}
