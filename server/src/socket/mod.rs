//! One connection, as the application sees it.
//!
//! In: what the application wants of the socket. Out: messages in its outbox. The task that reads and
//! writes the connection is elsewhere; a [`Socket`] is a cheap handle that outlives it harmlessly.

pub(crate) mod emit;
mod id;
mod info;
pub(crate) mod outgoing;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokensocket_protocol::action::{Call, FromCall};
use tokensocket_protocol::command::call;
use tokensocket_protocol::server::Calls;
use tokensocket_protocol::{Channel, Close, Framed, Pattern, RawJson, RpcError};
use tokio::sync::oneshot;

use crate::delivery::live::Cursor;
use crate::error::{CallError, PublishError, SubscribeError};
use crate::format::Format;
use crate::format::dialect::{Dialect, Said};
use crate::hub;
use crate::identity::Identity;
use crate::metrics::Traffic;
use crate::node_id::NodeId;
use crate::session::clock::{Clock, Tick};
use crate::session::outbox::{Outbox, Signal};
use outgoing::Outgoing;

pub use id::SocketId;
pub(crate) use id::SocketIds;
pub use info::SocketInfo;

/// What waits to be written to a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Messages.
    pub messages: usize,
    /// Bytes of them, as they are framed.
    pub bytes: usize,
}

/// A connected client. Cloning gives another handle to the same socket.
#[derive(Clone)]
pub struct Socket(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    id: SocketId,
    remote_address: Option<SocketAddr>,
    created: SystemTime,
    format: Format,
    identity: OnceLock<Identity>,
    /// How far it was sent what is for its device, if it takes that.
    cursor: OnceLock<Box<Cursor>>,
    ready: AtomicBool,
    understands_cancel: AtomicBool,
    understands_gaps: AtomicBool,
    /// Its connection's task can write more at once; only dialects that hold packets back ever say no.
    writable: AtomicBool,
    channels: Mutex<Channels>,
    changing_channels: Mutex<()>,
    calls: Mutex<Calls<Waiter>>,
    outbox: Outbox,
    /// When the connection's task next has something to check, and when the clock will ask.
    due: AtomicU64,
    asked: AtomicU64,
    pub(crate) home: Arc<dyn Home>,
}

/// What a socket asks of the node it lives on.
pub(crate) trait Home: Send + Sync {
    fn node(&self) -> NodeId;
    fn rpc_timeout(&self) -> std::time::Duration;
    fn max_calls(&self) -> usize;
    /// Where messages are counted.
    fn traffic(&self) -> &Traffic;
    /// Subscribes the socket, and tells its client.
    fn subscribe(&self, socket: &Socket, channel: Channel) -> BoxFuture<'_, Result<(), SubscribeError>>;
    /// Takes the socket off the channel, and tells its client.
    fn unsubscribe(&self, socket: &Socket, channel: &Channel);
}

/// Who waits for a client's answer.
pub(crate) type Waiter = oneshot::Sender<Result<Answered, CallError>>;

/// What a client answered.
#[derive(Debug)]
pub(crate) struct Answered {
    /// On the TokenSocket wire the result, of a Socket.IO client the list of its arguments.
    pub(crate) json: RawJson,
    /// The bytes among them.
    #[cfg_attr(not(feature = "socketio"), allow(dead_code, reason = "Socket.IO alone has bytes"))]
    pub(crate) attachments: Vec<Bytes>,
}

impl From<RawJson> for Answered {
    fn from(json: RawJson) -> Self {
        Self { json, attachments: Vec::new() }
    }
}

#[derive(Default)]
struct Channels {
    /// Sorted.
    followed: Vec<Channel>,
    closed: bool,
}

/// What [`Socket::follow`] found.
pub(crate) enum Follow {
    New,
    Already,
}

impl Socket {
    pub(crate) fn new(
        id: SocketId,
        remote_address: Option<SocketAddr>,
        format: Format,
        outbox: Outbox,
        home: Arc<dyn Home>,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            remote_address,
            created: SystemTime::now(),
            format,
            identity: OnceLock::new(),
            cursor: OnceLock::new(),
            ready: AtomicBool::new(false),
            understands_cancel: AtomicBool::new(false),
            understands_gaps: AtomicBool::new(false),
            writable: AtomicBool::new(true),
            channels: Mutex::default(),
            changing_channels: Mutex::default(),
            calls: Mutex::default(),
            outbox,
            due: AtomicU64::new(u64::MAX),
            asked: AtomicU64::new(u64::MAX),
            home,
        }))
    }

    /// The socket's id, for logs and comparisons.
    pub fn id(&self) -> SocketId {
        self.0.id
    }

    /// Who it is. JSON `null` before the socket has authenticated.
    pub fn identity(&self) -> &Identity {
        static NOBODY: OnceLock<Identity> = OnceLock::new();
        self.0.identity.get().unwrap_or_else(|| NOBODY.get_or_init(Identity::anonymous))
    }

    /// Whether the socket has authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.0.channels.lock().closed
    }

    /// The channels it follows, sorted by name.
    pub fn channels(&self) -> Vec<Channel> {
        self.0.channels.lock().followed.clone()
    }

    /// The peer's address, when the HTTP server knows it. Behind a proxy this is the proxy's.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.0.remote_address
    }

    /// When the connection was accepted.
    pub fn created(&self) -> SystemTime {
        self.0.created
    }

    /// The name of its device, which its client gave or the server made up; `None` when it takes no deliveries.
    pub fn device(&self) -> Option<&Arc<str>> {
        self.cursor().map(|cursor| &cursor.device.id)
    }

    /// What waits for this socket's peer to read. Beyond the server's `outbox` limits it is disconnected.
    pub fn waiting(&self) -> Waiting {
        self.0.outbox.waiting()
    }

    /// Whether half of what may wait for it does, not counting what may be dropped.
    pub fn is_slow(&self) -> bool {
        self.0.outbox.is_half_full()
    }

    /// Calls an action of this client.
    ///
    /// Waits for the answer, at most the server's `rpc_timeout` (30 s by default); see
    /// [`Outgoing::timeout`] for another limit. Dropping the future cancels the call. Resolves with
    /// [`CallError::Closed`] when the socket closes first.
    pub fn rpc<T: DeserializeOwned>(&self, path: &str, data: impl Serialize) -> Outgoing<T> {
        Outgoing::new(self.clone(), path, RawJson::new(&data), self.0.home.rpc_timeout())
    }

    /// Sends one message on `channel` to this socket alone, whether it follows the channel or not.
    ///
    /// Returns once it is queued. A socket whose queue is full is disconnected, and one that is closed
    /// loses the message.
    pub fn send(&self, channel: impl AsRef<str>, message: impl Serialize) -> Result<(), PublishError> {
        let channel = Channel::new(channel)?;
        let message = RawJson::new(&message)?;
        self.reply(&self.dialect().publication(&channel, &message, None));
        Ok(())
    }

    /// Subscribes this socket to a channel, as if its client had asked, without asking the hooks.
    ///
    /// Returns once the broker follows the channel. The client is told, on a channel with history also where it
    /// stands.
    pub async fn subscribe(&self, channel: impl AsRef<str>) -> Result<(), SubscribeError> {
        let channel = Channel::new(channel)?;
        self.0.home.subscribe(self, channel).await
    }

    /// Takes this socket off a channel, without asking the hooks. The client is told.
    pub fn unsubscribe(&self, channel: impl AsRef<str>) -> Result<(), SubscribeError> {
        self.0.home.unsubscribe(self, &Channel::new(channel)?);
        Ok(())
    }

    /// Closes the connection normally (1000), after what is queued was sent.
    pub fn disconnect(&self) {
        self.disconnect_with(Close::NORMAL);
    }

    /// Closes the connection with a code and reason, after what is queued was sent. A client comes back
    /// unless the code says otherwise; see [`Close::reconnect`].
    pub fn disconnect_with(&self, close: Close) {
        // What this burst has published before is sent before.
        hub::flush_published();
        self.0.outbox.close(close);
    }

    /// Where the messages of its node are counted.
    pub(crate) fn traffic(&self) -> &Traffic {
        self.0.home.traffic()
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn format(&self) -> Format {
        self.0.format
    }

    pub(crate) fn encode(&self, message: &[u8]) -> Bytes {
        self.0.format.frame(message)
    }

    /// What its client speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.0.format.dialect()
    }

    /// Sends what its dialect says.
    pub(crate) fn say(&self, said: &Said) {
        self.post(&self.0.format.frame_noted(&said.text, said.note));
    }

    /// Sends what only the TokenSocket wire has words for; to clients of other dialects nothing.
    pub(crate) fn tell<M: Into<Framed>>(&self, message: impl FnOnce() -> M) {
        if self.dialect().is_native() {
            self.deliver(&self.0.format.frame_in(&message().into()), 1, false);
        }
    }

    /// Sends an answer or an internal message, as it stands in its dialect.
    pub(crate) fn reply(&self, message: &[u8]) {
        self.post(&self.encode(message));
    }

    /// Sends a message that is for it alone.
    pub(crate) fn post(&self, frame: &Bytes) {
        hub::flush_published();
        self.deliver(frame, 1, false);
    }

    /// Sends a frame, or several in one piece, in this socket's format.
    pub(crate) fn deliver(&self, frame: &Bytes, messages: usize, droppable: bool) {
        self.traffic().sent(messages);
        self.hand(frame, messages, droppable);
    }

    /// The same for what its sender has counted already.
    pub(crate) fn hand(&self, frame: &Bytes, messages: usize, droppable: bool) {
        if self.0.outbox.push(frame, messages, droppable).is_err() {
            tracing::debug!(socket = %self.id(), "disconnecting a slow consumer");
        }
    }

    /// Whether what is sent now would be written at once, as far as is known.
    pub(crate) fn is_writable(&self) -> bool {
        self.0.writable.load(Ordering::Relaxed) && self.0.outbox.is_empty()
    }

    #[cfg(feature = "socketio")]
    pub(crate) fn set_writable(&self, writable: bool) {
        self.0.writable.store(writable, Ordering::Relaxed);
    }

    pub(crate) fn set_identity(&self, identity: Identity) {
        // One session redeems one token, so the first identity is the only one.
        let _ = self.0.identity.set(identity);
    }

    pub(crate) fn set_cursor(&self, cursor: Cursor) {
        // Set with the identity, so once.
        let _ = self.0.cursor.set(Box::new(cursor));
    }

    pub(crate) fn cursor(&self) -> Option<&Cursor> {
        self.0.cursor.get().map(|cursor| &**cursor)
    }

    pub(crate) fn set_ready(&self, understands_cancel: bool) {
        self.0.understands_cancel.store(understands_cancel, Ordering::Release);
        self.0.ready.store(true, Ordering::Release);
    }

    /// Its client said that it knows what it is to be told that something is missing.
    pub(crate) fn set_understands_gaps(&self) {
        self.0.understands_gaps.store(true, Ordering::Release);
    }

    /// Whether its client knows what it is to be told that something is missing.
    pub(crate) fn understands_gaps(&self) -> bool {
        self.0.understands_gaps.load(Ordering::Acquire)
    }

    /// Held while a channel is entered or left, so that the socket and the hub agree about it. A lock of
    /// its own: a filter, which runs under the hub's, may read [`Socket::channels`].
    pub(crate) fn change_channels(&self) -> MutexGuard<'_, ()> {
        self.0.changing_channels.lock()
    }

    /// Notes that the socket follows `channel`.
    pub(crate) fn follow(&self, channel: &Channel, limit: usize) -> Result<Follow, SubscribeError> {
        let mut channels = self.0.channels.lock();
        if channels.closed {
            return Err(SubscribeError::Closed);
        }
        match channels.followed.binary_search(channel) {
            Ok(_) => Ok(Follow::Already),
            Err(_) if channels.followed.len() >= limit => Err(SubscribeError::TooManyChannels(limit)),
            Err(at) => {
                channels.followed.insert(at, channel.clone());
                Ok(Follow::New)
            }
        }
    }

    /// Notes that the socket no longer follows `channel`; `false` when it did not.
    pub(crate) fn unfollow(&self, channel: &Channel) -> bool {
        let mut channels = self.0.channels.lock();
        let found = channels.followed.binary_search(channel);
        if let Ok(at) = found {
            channels.followed.remove(at);
        }
        found.is_ok()
    }

    /// Whether the socket follows `channel` by its name.
    pub(crate) fn follows(&self, channel: &Channel) -> bool {
        self.0.channels.lock().followed.binary_search(channel).is_ok()
    }

    /// Whether the socket follows a pattern that covers `channel`.
    pub(crate) fn is_guest_of(&self, channel: &Channel) -> bool {
        let channels = self.0.channels.lock();
        channels.followed.iter().filter_map(Pattern::of).any(|pattern| pattern.covers(channel.as_str()))
    }

    /// Ends the socket: no channel can be followed from now on. Returns those it followed.
    pub(crate) fn end(&self) -> Vec<Channel> {
        let followed = {
            let mut channels = self.0.channels.lock();
            channels.closed = true;
            std::mem::take(&mut channels.followed)
        };
        self.0.outbox.end();
        let waiters = self.0.calls.lock().take_all();
        for waiter in waiters {
            let _ = waiter.send(Err(CallError::Closed));
        }
        followed
    }

    /// How long a call of its client may take, unless it says otherwise.
    #[cfg(feature = "socketio")]
    pub(crate) fn rpc_timeout(&self) -> std::time::Duration {
        self.0.home.rpc_timeout()
    }

    /// Notes who waits for an answer, and names what it will answer.
    pub(crate) fn note_call(&self, waiter: Waiter) -> Result<call::Fid, CallError> {
        let mut calls = self.0.calls.lock();
        if calls.len() >= self.0.home.max_calls() {
            return Err(CallError::TooManyCalls);
        }
        if self.is_closed() {
            return Err(CallError::Closed);
        }
        Ok(calls.start(waiter))
    }

    /// Sends a call down and notes who waits for its answer.
    pub(crate) fn start_call(
        &self,
        path: &str,
        args: &RawJson,
        timeout: std::time::Duration,
        waiter: Waiter,
    ) -> Result<call::Fid, CallError> {
        let understands = self.0.understands_cancel.load(Ordering::Acquire);
        let fid = self.note_call(waiter)?;
        let Some(call) = self.dialect().call(fid, path, args, understands.then_some(timeout)) else {
            // Its waiter is dropped with it.
            let _ = self.0.calls.lock().finish(fid);
            return Err(CallError::Unsupported);
        };
        self.reply(&call);
        Ok(fid)
    }

    /// Forgets a call that nobody waits for, and tells the client if it is still running there.
    pub(crate) fn forget_call(&self, fid: call::Fid) {
        let waited = self.0.calls.lock().finish(fid).is_some();
        if !waited {
            return;
        }
        if self.0.understands_cancel.load(Ordering::Acquire)
            && let Some(cancel) = self.dialect().cancel(fid)
        {
            self.reply(&cancel);
        }
        // A socket that drains may have waited for this call only.
        self.0.outbox.signal(Signal::Wake);
    }

    /// Hands a client's answer to whoever waits for it.
    pub(crate) fn finish_call(&self, fid: call::Fid, outcome: Result<Answered, CallError>) {
        if let Some(waiter) = self.0.calls.lock().finish(fid) {
            let _ = waiter.send(outcome);
        }
    }

    /// Notes when the connection's task next has something to check.
    pub(crate) fn set_due(&self, due: Tick, clock: &Clock) {
        self.0.due.store(due.0, Ordering::Relaxed);
        let asked = self.0.asked.load(Ordering::Relaxed);
        if due.0 < asked || asked <= clock.now().0 {
            self.0.asked.store(due.0, Ordering::Relaxed);
            clock.register(self.id(), due);
        }
    }

    /// The clock asks, as it was told to for the moment `asked`: wakes the connection's task if its time
    /// has come, else has the clock ask again.
    ///
    /// Who was told of another moment since then asks in vain. Else a socket that is busy whenever the clock
    /// comes round would stand in the wheel once more each time.
    pub(crate) fn check_due(&self, asked: Tick, clock: &Clock) {
        let due = Tick(self.0.due.load(Ordering::Relaxed));
        let has_come = due <= clock.now();
        let next = if has_come { u64::MAX } else { due.0 };
        let current = self.0.asked.compare_exchange(asked.0, next, Ordering::Relaxed, Ordering::Relaxed);
        match (current, has_come) {
            (Err(_), _) => {}
            (Ok(_), true) => self.0.outbox.signal(Signal::Wake),
            (Ok(_), false) => clock.register(self.id(), due),
        }
    }

    /// Whether calls wait for this client's answers.
    pub(crate) fn awaits_answers(&self) -> bool {
        !self.0.calls.lock().is_empty()
    }
}

impl FromCall<Self> for Socket {
    fn from_call(call: &Call<'_, Self>) -> Result<Self, RpcError> {
        Ok(call.context.clone())
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.0.id)
            .field("remote_address", &self.0.remote_address)
            .finish_non_exhaustive()
    }
}
