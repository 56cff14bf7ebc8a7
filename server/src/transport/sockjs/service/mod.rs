//! A SockJS endpoint by itself, without tokens or the wire: messages in, messages out.
//!
//! In: a transport. Out: a [`SockJsSocket`] for the application's handler. Both directions are bounded
//! and wait for each other: a handler that does not read slows its client down, and the other way round.

mod mailbox;
mod pump;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Fuse, FusedFuture};
use parking_lot::Mutex;
use tokensocket_protocol::Close;
use tokio::time::MissedTickBehavior;

use crate::guarded::Guarded;
use crate::http::upgrade::Accept;
use crate::node::Guest;
use crate::transport::Transport;
use mailbox::{Closed, Mailbox};
use pump::{Ended, Pump};

/// How many bytes may wait for the handler.
const AHEAD: usize = 64 * 1024;

pub(crate) type Handler = Arc<dyn Fn(SockJsSocket) -> BoxFuture<'static, ()> + Send + Sync>;

/// One SockJS session, in the hands of its handler. The session closes when the handler returns.
pub struct SockJsSocket {
    received: Arc<Mailbox>,
    outgoing: Arc<Mailbox>,
    close: Arc<Mutex<Close>>,
}

impl SockJsSocket {
    /// The next message; `None` when the session has ended. A handler that goes on for longer than the
    /// server's `close_timeout` after that is dropped.
    pub async fn recv(&mut self) -> Option<String> {
        poll_fn(|cx| self.received.poll_take(cx)).await
    }

    /// Sends a message. Waits while the client does not read and as many bytes wait for it as the server's
    /// [outbox](crate::ServerBuilder::outbox) may hold; fails when the session has ended.
    pub async fn send(&self, message: impl Into<String>) -> Result<(), SessionEnded> {
        let mut message = Some(message.into());
        poll_fn(|cx| self.outgoing.poll_put(&mut message, cx)).await.map_err(|Closed| SessionEnded)
    }

    /// Closes the session with a code and reason, after what was sent, as soon as the handler returns.
    pub fn close(self, code: u16, reason: impl Into<String>) {
        *self.close.lock() = Close::new(code, reason.into());
    }
}

impl Drop for SockJsSocket {
    fn drop(&mut self) {
        self.received.abandon();
    }
}

impl std::fmt::Debug for SockJsSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SockJsSocket")
    }
}

/// The session has ended: nothing can be sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SockJS session has ended")]
pub struct SessionEnded;

/// Runs a handler on a transport.
pub(crate) struct Service {
    pub(crate) handler: Handler,
    pub(crate) heartbeat: Duration,
    pub(crate) close_timeout: Duration,
    /// How much may wait for the client, in bytes.
    pub(crate) outbox_bytes: usize,
    /// Says when it is to go, since the server ends.
    pub(crate) guest: Guest,
}

impl Accept for Service {
    async fn run<T: Transport>(self, transport: T) {
        let received = Arc::new(Mailbox::new(AHEAD));
        let outgoing = Arc::new(Mailbox::new(self.outbox_bytes));
        let close = Arc::new(Mutex::new(Close::NORMAL));
        let socket = SockJsSocket {
            received: Arc::clone(&received),
            outgoing: Arc::clone(&outgoing),
            close: Arc::clone(&close),
        };
        let mut handler = pin!(handle(Arc::clone(&self.handler), socket).fuse());
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        // After a pause of the whole process a peer still gets its time to answer.
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut pump = Pump::new(transport, received, outgoing);
        let ended = poll_fn(|cx| {
            while heartbeat.poll_tick(cx).is_ready() {
                pump.beat()?;
            }
            pump.poll(cx, |cx| poll_once(handler.as_mut(), cx))
        });
        let ended = tokio::select! {
            biased;
            () = self.guest.dismissed() => None,
            ended = ended => Some(ended),
        };
        let close = match ended {
            Some(Ok(())) => close.lock().clone(),
            Some(Err(Ended::Rule(close))) => close,
            Some(Err(Ended::Gone)) => {
                drop(pump);
                return self.leave(handler).await;
            }
            None => Close::RESTART,
        };
        pump.begin_close(&close);
        // A peer that does not answer the close in time is gone either way.
        let _ =
            tokio::time::timeout(self.close_timeout, poll_fn(|cx| pump.poll(cx, |_| Poll::Pending))).await;
        drop(pump);
        self.leave(handler).await;
    }
}

impl Service {
    /// Lets the handler come to its end: there is nothing left to receive.
    async fn leave(self, mut handler: Pin<&mut Fuse<impl Future<Output = ()>>>) {
        if !handler.is_terminated()
            && tokio::time::timeout(self.close_timeout, handler.as_mut()).await.is_err()
        {
            tracing::warn!("the handler of a SockJS session went on after its end and was dropped");
        }
    }
}

/// Ready when the handler is at its end, also if it was before.
fn poll_once(handler: Pin<&mut Fuse<impl Future<Output = ()>>>, cx: &mut Context<'_>) -> Poll<()> {
    if handler.is_terminated() { Poll::Ready(()) } else { handler.poll(cx) }
}

async fn handle(handler: Handler, socket: SockJsSocket) {
    if Guarded::begin(|| handler(socket)).await.is_err() {
        tracing::error!("the handler of a SockJS session panicked");
    }
}
