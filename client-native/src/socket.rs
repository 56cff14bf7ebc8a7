//! The handle that users hold. Cheap to clone; everything it does is a message to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokensocket_protocol::action::{Call, FromCall, InvalidAction, StateMap};
use tokensocket_protocol::client::handle::{Error, Handlers, Listeners};
use tokensocket_protocol::client::{ConnectionError, State as ConnectionState};
use tokensocket_protocol::{RawJson, RpcError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::builder::Builder;
use crate::command::{Command, Control, Outcome, Request};
use crate::rpc::Rpc;

/// Actions that a server may call on a client.
pub type Actions = tokensocket_protocol::action::Actions<TokenSocket>;

/// A client of a TokenSocket server.
///
/// Cloning gives another handle to the same connection. The client ends when it is told to, or when the
/// last handle, [`Subscription`](crate::Subscription) and running action is dropped.
#[derive(Clone)]
pub struct TokenSocket {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles share, and the driver only weakly.
pub(crate) struct Shared {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) control: mpsc::UnboundedSender<Control>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) listeners: Listeners,
    pub(crate) handlers: Handlers,
    pub(crate) actions: Arc<RwLock<Arc<Actions>>>,
    pub(crate) state: Arc<StateMap>,
    pub(crate) call_timeout: Option<Duration>,
    pub(crate) subscription_items: usize,
    pub(crate) subscription_bytes: usize,
    pub(crate) last_id: AtomicU64,
}

/// What the driver lets everybody see. Its sender lives exactly as long as the driver.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) state: ConnectionState,
    pub(crate) ready: Option<Result<(), ConnectionError>>,
}

impl TokenSocket {
    /// Describes a client of the server at `address`: `https://host:port`, or with `http`, `ws`, `wss`.
    pub fn builder(address: impl Into<String>) -> Builder {
        Builder::new(address.into())
    }

    /// Waits for the outcome of the first attempt to connect. Afterwards it answers at once, and always
    /// the same.
    ///
    /// After an error the client keeps trying, unless the refusal is final or reconnecting is switched
    /// off; then [`state`](Self::state) is [`ConnectionState::Ended`].
    pub async fn ready(&self) -> Result<(), ConnectionError> {
        let mut status = self.shared.status.clone();
        match status.wait_for(|status| status.ready.is_some()).await {
            Ok(status) => status.ready.clone().unwrap_or(Err(ConnectionError::Ended)),
            Err(_) => Err(ConnectionError::Ended),
        }
    }

    /// Where the connection stands.
    pub fn state(&self) -> ConnectionState {
        if self.shared.status.has_changed().is_err() {
            return ConnectionState::Ended;
        }
        self.shared.status.borrow().state
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
        actions.check(&self.shared.state)?;
        *self.shared.actions.write() = Arc::new(actions);
        Ok(())
    }

    /// Ends the client: what was sent before still goes out, requests that are not done fail with
    /// [`Error::Ended`], running actions are dropped. Resolves when the connection is closed and the last
    /// task is gone, at the latest after 2 s.
    pub async fn end(&self) {
        self.control(Control::End);
        let mut status = self.shared.status.clone();
        while status.changed().await.is_ok() {}
    }

    pub(crate) fn control(&self, control: Control) {
        // Without a driver there is nothing left to control.
        let _ = self.shared.control.send(control);
    }

    /// Hands a request to the driver and waits for its outcome. The time it takes to hand it over counts.
    pub(crate) async fn request(
        &self,
        timeout: Option<Duration>,
        request: impl FnOnce(Option<Duration>) -> Request,
    ) -> Result<RawJson, Error> {
        let deadline =
            timeout.or(self.shared.call_timeout).and_then(|timeout| Instant::now().checked_add(timeout));
        let room = self.shared.commands.reserve();
        let room = match deadline {
            Some(deadline) => timeout_at(deadline, room).await.map_err(|_| Error::Timeout)?,
            None => room.await,
        };
        let room = room.map_err(|_| Error::Ended)?;
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A time too long for the clock is as good as it stands.
        let left = left.or(timeout);
        let (reply, outcome) = oneshot::channel();
        let id = self.shared.last_id.fetch_add(1, Ordering::Relaxed);
        room.send(Command::Request { id, request: request(left), reply });
        let outcome = Waiting { socket: self, id, done: false }.outcome(outcome);
        // The session keeps the time, too; but the driver takes no request while the peer does not read.
        match deadline {
            Some(deadline) => timeout_at(deadline, outcome).await.map_err(|_| Error::Timeout)?,
            None => outcome.await,
        }
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
            self.socket.control(Control::Cancel(self.id));
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
