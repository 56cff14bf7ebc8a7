//! The task of one event client's connection.
//!
//! ```text
//! Transport ──▶ Endpoint ──▶ data sources, handlers ──▶ Outbox ──▶ frames ──▶ stream ──▶ acknowledgements
//! ```
//!
//! In: a transport that is open, of somebody who may connect. Out: nothing; when the task ends, the socket is gone from
//! its node and everything that ran for it is dropped. What is for the client waits in its socket's outbox and is framed
//! when it is written: a delivery counts as acknowledged then, since these clients say nothing of it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream};
use tokensocket_protocol::message::Hello;
use tokensocket_protocol::{Close, RpcError};

use super::endpoint::{Endpoint, Visitor};
use super::writer::Writer;
use crate::command::auth::{TIMED_OUT, welcome};
use crate::format::Format;
use crate::http::upgrade::Accept;
use crate::hub;
use crate::identity::Identity;
use crate::node::{Admission, Node};
use crate::session::clock::Tick;
use crate::session::driver::Shared;
use crate::session::outbox::Signal;
use crate::socket::Socket;
use crate::transport::received::Received;
use crate::transport::{Incoming, Transport};

/// How many reads are made before others get their turn.
const READS: usize = 4;

/// Somebody who may connect to an endpoint.
pub(crate) struct EventClient {
    pub(crate) shared: Arc<Shared>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) visitor: Visitor,
    pub(crate) remote_address: Option<SocketAddr>,
    pub(crate) admission: Admission,
}

impl Accept for EventClient {
    fn run<T: Transport>(self, transport: T) -> impl Future<Output = ()> + Send {
        Driver::new(self, transport).flatten()
    }
}

struct Driver<T> {
    node: Arc<Node>,
    endpoint: Arc<Endpoint>,
    socket: Socket,
    transport: T,
    writer: Writer,
    phase: Phase,
    /// The hooks that decide whether it may stay.
    entering: Option<BoxFuture<'static, Result<(), RpcError>>>,
    /// What its messages brought about and has not ended.
    running: FuturesUnordered<BoxFuture<'static, ()>>,
    opened: Tick,
    heard: Tick,
    awaits_heartbeat: bool,
    /// What the peer sends after our close cannot be understood, so its own close will not be either.
    broken: bool,
    /// Why it ended, for the disconnect hooks.
    close: Close,
    _admission: Admission,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// What runs may finish until then.
    Draining(Tick),
    /// The close is on its way, and the peer's is awaited, at most until then.
    Closing(Tick),
    /// Both have said that they close; what is queued is written, at most until then.
    Closed(Tick),
    Gone,
}

impl<T: Transport> Driver<T> {
    fn new(client: EventClient, mut transport: T) -> Self {
        let EventClient {
            shared,
            endpoint,
            visitor: Visitor { identity, device },
            remote_address,
            admission,
        } = client;
        let node = Arc::clone(&shared.node);
        let writer = Writer::new(transport.take_direct(), transport.greeting().as_ref());
        let socket = node.open(remote_address, Format::Event, None);
        let hello = Hello { name: String::new(), version: String::new(), features: Vec::new(), device };
        let entering = enter(Arc::clone(&node), socket.clone(), identity, hello);
        let now = node.clock.now();
        Self {
            node,
            endpoint,
            socket,
            transport,
            writer,
            phase: Phase::Open,
            entering: Some(entering.boxed()),
            running: FuturesUnordered::new(),
            opened: now,
            heard: now,
            awaits_heartbeat: false,
            broken: false,
            close: Close::new(1006, "The connection broke"),
            _admission: admission,
        }
    }

    /// Ends the socket. What is left to do is to tell the hooks.
    fn end(&mut self) -> BoxFuture<'static, ()> {
        let node = Arc::clone(&self.node);
        node.close(&self.socket);
        if node.access.on_disconnect.is_empty() || !self.socket.is_authenticated() {
            return std::future::ready(()).boxed();
        }
        let (socket, close) = (self.socket.clone(), self.close.clone());
        async move {
            let told = node.access.disconnected(socket, close);
            if tokio::time::timeout(node.config.shutdown_timeout, told).await.is_err() {
                tracing::warn!("a disconnect hook took longer than the shutdown timeout and was dropped");
            }
        }
        .boxed()
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Wake => {}
            Signal::Close(close) => self.begin_close(close),
            Signal::Kill => self.phase = Phase::Gone,
            Signal::Drain { within, .. } => {
                if self.phase == Phase::Open {
                    self.phase = Phase::Draining(self.node.clock.after(within));
                }
            }
        }
    }

    /// Closes after what is queued.
    fn begin_close(&mut self, close: Close) {
        if matches!(self.phase, Phase::Open | Phase::Draining(_)) {
            self.socket.outbox().push_last(Vec::new());
            self.writer.push_last(self.transport.closing(&close));
            tracing::debug!(socket = %self.socket.id(), %close, "closing");
            self.close = close;
            self.phase = Phase::Closing(self.close_until());
            self.entering = None;
            self.running.clear();
        }
    }

    /// The peer closes: answers it, unless this is its answer.
    fn peer_closes(&mut self, close: Close, answer: bytes::Bytes) {
        match self.phase {
            Phase::Closing(until) => self.phase = Phase::Closed(until),
            Phase::Open | Phase::Draining(_) => {
                self.socket.outbox().push_last(Vec::new());
                self.writer.push_last(vec![answer]);
                self.close = close;
                self.phase = Phase::Closed(self.close_until());
                self.running.clear();
            }
            Phase::Closed(_) | Phase::Gone => {}
        }
    }

    fn close_until(&self) -> Tick {
        self.node.clock.after(self.node.config.close_timeout)
    }

    /// Asks the hooks, then has the socket take part in the node's life.
    fn poll_entering(&mut self, cx: &mut Context<'_>) {
        let Some(entering) = &mut self.entering else { return };
        let Poll::Ready(allowed) = entering.poll_unpin(cx) else { return };
        self.entering = None;
        if let Err(error) = allowed {
            tracing::debug!(socket = %self.socket.id(), %error, "an event client was refused");
            return self.begin_close(Close::FORBIDDEN);
        }
        self.node.greet(&self.socket);
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
    }

    /// Whether the peer may say more: not while the hooks are asked, nor while too much of what it said still runs.
    fn may_decode(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining(_) | Phase::Closing(_))
            && self.entering.is_none()
            && self.running.len() < self.node.config.max_calls_per_socket
    }

    /// Whether the peer is listened to: not while it does not read what it was told.
    fn listens(&self) -> bool {
        self.may_decode() && !self.writer.is_full() && !self.socket.outbox().is_half_full()
    }

    /// Reads what came. Whether it stopped before all was read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..READS {
            if !self.listens() {
                return true;
            }
            match self.transport.poll_receive(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(Some(received))) => {
                    self.heard = self.node.clock.now();
                    self.awaits_heartbeat = false;
                    self.handle_received(received, cx);
                }
                Poll::Ready(Ok(None) | Err(_)) => {
                    self.phase = Phase::Gone;
                    return false;
                }
            }
        }
        cx.waker().wake_by_ref();
        false
    }

    fn handle_received(&mut self, received: Received, cx: &mut Context<'_>) {
        let messages = self.handle_messages(received, cx);
        self.node.traffic.received(messages);
    }

    /// Handles what came, and says how many messages there were.
    fn handle_messages(&mut self, mut received: Received, cx: &mut Context<'_>) -> usize {
        let mut messages = 0;
        if self.broken {
            received.clear();
        }
        while self.listens() {
            match self.transport.decode(&mut received) {
                Ok(None) => {
                    self.transport.put_back(received, false);
                    return messages;
                }
                Ok(Some(Incoming::Message(text))) => {
                    messages += 1;
                    self.handle_message(&text, cx);
                }
                // The original read bytes as the text they are.
                Ok(Some(Incoming::Binary(bytes))) => {
                    messages += 1;
                    if let Ok(text) = std::str::from_utf8(&bytes) {
                        self.handle_message(text, cx);
                    }
                }
                Ok(Some(Incoming::Alive)) => {}
                Ok(Some(Incoming::Answer(frame))) => self.writer.push(&frame),
                Ok(Some(Incoming::Closing(close, answer))) => self.peer_closes(close, answer),
                Err(close) => {
                    // The rest is read all the same: to end on unread bytes would reset the connection, and the peer
                    // might never see why (RFC 6455, section 7.1.1).
                    self.broken = matches!(self.phase, Phase::Closing(_));
                    self.begin_close(close);
                    received.clear();
                }
            }
        }
        self.transport.put_back(received, true);
        messages
    }

    fn handle_message(&mut self, text: &str, cx: &mut Context<'_>) {
        if self.phase == Phase::Open
            && let Some(mut work) = self.endpoint.handle(text, &self.socket)
            && work.poll_unpin(cx).is_pending()
        {
            self.running.push(work);
        }
    }

    /// Does what is due and says when to look again; `None` when the connection is at its end.
    fn check_times(&mut self, now: Tick) -> Option<Tick> {
        let clock = &self.node.clock;
        let heartbeat = self.node.config.heartbeat;
        match self.phase {
            Phase::Gone => return None,
            Phase::Closing(until) | Phase::Closed(until) => return (now < until).then_some(until),
            Phase::Draining(until) => {
                if self.running.is_empty() || now >= until {
                    self.begin_close(Close::RESTART);
                    return Some(self.close_until());
                }
                return Some(until);
            }
            Phase::Open => {}
        }
        if self.entering.is_some()
            && let Some(timeout) = self.node.auth_timeout()
        {
            let until = clock.later(self.opened, timeout);
            if now < until {
                return Some(until);
            }
            self.begin_close(TIMED_OUT);
            return Some(self.close_until());
        }
        if self.running.len() >= self.node.config.max_calls_per_socket {
            // It is not listened to, so its silence says nothing.
            self.heard = now;
        }
        let silent_until = clock.later(self.heard, heartbeat);
        let dead_at = clock.later(silent_until, heartbeat);
        if now < silent_until {
            return Some(silent_until);
        }
        if !self.awaits_heartbeat {
            self.writer.push(&self.transport.heartbeat());
            self.awaits_heartbeat = true;
        } else if now >= dead_at {
            self.begin_close(Close::PEER_SILENT);
            return Some(self.close_until());
        }
        Some(dead_at)
    }

    /// Writes what waits. Ready when nothing does.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let written = self.writer.poll_write(cx, self.socket.outbox(), &mut self.transport);
        for acknowledge in self.writer.take_written() {
            self.node.settle(&self.socket, acknowledge);
        }
        written
    }
}

impl<T: Transport> Future for Driver<T> {
    type Output = BoxFuture<'static, ()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if let Some(signal) = this.socket.outbox().take_signal() {
                this.handle_signal(signal);
            }
            let stopped = hub::corked(|| {
                this.poll_entering(cx);
                let stopped = this.poll_read(cx);
                // After reading: what just began has to say by whom it is woken.
                this.poll_running(cx);
                stopped
            });
            let Some(due) = this.check_times(this.node.clock.now()) else {
                return Poll::Ready(this.end());
            };
            let written = match this.poll_write(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(this.end()),
                Poll::Pending => false,
            };
            if stopped && this.listens() {
                // What ended or was written made room. No wake-up is arranged yet for what waits to be read.
                continue;
            }
            if written && matches!(this.phase, Phase::Closed(_)) {
                return Poll::Ready(this.end());
            }
            if written && this.broken {
                // The end of the stream tells the peer that we are through.
                this.writer.finish();
            }
            this.socket.set_due(due, &this.node.clock);
            if this.socket.outbox().park(cx.waker(), !written) {
                return Poll::Pending;
            }
        }
    }
}

/// Has a socket take part in the node's life, unless a hook objects.
async fn enter(node: Arc<Node>, socket: Socket, identity: Identity, hello: Hello) -> Result<(), RpcError> {
    welcome(&node, &socket, identity, Some(&hello), false).await
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.node.close(&self.socket);
    }
}
