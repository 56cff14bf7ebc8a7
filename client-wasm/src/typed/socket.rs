//! The handle that users hold. Cheap to clone; what it does reaches the driver at once.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokensocket_protocol::action::{Call, FromCall, InvalidAction};
use tokensocket_protocol::client::handle::{Buffer, Error};
use tokensocket_protocol::client::{CallId, ConnectionError, DeliveryId, Session, State as ConnectionState};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::{Channel, RawJson, RpcError};
use tokio::sync::oneshot;

use super::builder::Builder;
use super::ears::{Ears, Outcome, Waiter};
use super::rpc::Rpc;
use super::transports::Transport;
use crate::driver::Driver;

/// Actions that a server may call on a client.
pub type Actions = tokensocket_protocol::action::Actions<TokenSocket>;

/// A client of a TokenSocket server, in a page or a worker.
///
/// Cloning gives another handle to the same connection. The client ends when it is told to, or when the
/// last handle, [`Subscription`](crate::Subscription) and running action and handler is dropped.
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

    /// Replaces the actions that the server may call. Calls that run go on.
    pub fn register(&self, actions: Actions) -> Result<(), InvalidAction> {
        actions.check(&self.ears().state)?;
        self.ears().actions.replace(Rc::new(actions));
        Ok(())
    }

    /// Ends the client: what was sent before still goes out, requests that are not done fail with
    /// [`Error::Ended`], running actions are dropped. Resolves when the connection is closed, at the latest
    /// after 2 s.
    pub async fn end(&self) {
        self.ears().mail.settle_by_hand(self);
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

    /// A delivery or a resync is handled, or given back.
    pub(crate) fn settle(&self, id: DeliveryId, is_done: bool) {
        self.shared.driver.advance(|session, now| {
            if is_done {
                session.handle_acknowledge(now, id);
            } else {
                session.handle_give_back(now, id);
            }
        });
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
    pub(crate) async fn request_for(
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
