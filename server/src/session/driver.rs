//! The task of one connection: the only place where its transport, its session and its outbox meet.
//!
//! ```text
//! Transport ──▶ Session ──Event──▶ command/… ──▶ node, rpc
//!     ▲                                │
//!     └────────── Outbox ◀─────────────┘  (and from the hub, and from everybody else)
//! ```
//!
//! In: a transport that is open. Out: nothing; when the task ends, the socket is gone from its node and
//! everything that ran for it is dropped. One wake-up reads a burst, answers it, and writes the
//! answers in one piece.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_protocol::Close;
use tokensocket_protocol::command::reconnect;
use tokensocket_protocol::server::{Command, Event, Session};

use super::answers::Answers;
use super::burst::Burst;
use super::clock::Tick;
use super::outbox::Signal;
use super::running::Running;
use super::serial::Serial;
use crate::command;
use crate::command::auth::Redeemed;
use crate::hub;
use crate::node::{Admission, Node};
use crate::rpc::router::{Found, Router};
use crate::socket::Socket;
use crate::transport::received::Received;
use crate::transport::{Incoming, Transport};

/// How many reads are made before others get their turn.
const READS: usize = 4;
/// What every connection of a server shares.
pub(crate) struct Shared {
    pub(crate) node: Arc<Node>,
    pub(crate) router: Router,
}

pub(crate) struct Driver<T> {
    pub(super) shared: Arc<Shared>,
    pub(super) socket: Socket,
    transport: T,
    session: Session,
    pub(super) phase: Phase,
    authenticating: Option<BoxFuture<'static, Redeemed>>,
    pub(super) serial: Serial,
    pub(super) running: Running,
    opened: Tick,
    heard: Tick,
    awaits_heartbeat: bool,
    /// Whether reading had its turn before what runs.
    reads_first: bool,
    /// What the peer sends after our close cannot be understood, so its own close will not be either.
    broken: bool,
    /// Why it ended, for the disconnect hooks; `None` while it lives, and when it broke. Few ever have one.
    close: Option<Box<Close>>,
    _admission: Admission,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Calls may finish until then.
    Draining(Tick),
    /// The close is on its way, and the peer's is awaited, at most until then.
    Closing(Tick),
    /// Both have said that they close; what is queued is written, at most until then.
    Closed(Tick),
    Gone,
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut transport: T,
        remote_address: Option<std::net::SocketAddr>,
        admission: Admission,
    ) -> Self {
        let format = transport.format();
        let direct = transport.take_direct();
        let socket = shared.node.open(remote_address, format, direct);
        if let Some(greeting) = transport.greeting() {
            socket.hand(&greeting, 1, false);
        }
        let now = shared.node.clock.now();
        Self {
            socket,
            transport,
            session: Session::new().framed(format.framing()),
            phase: Phase::Open,
            authenticating: None,
            serial: Serial::default(),
            running: Running::default(),
            opened: now,
            heard: now,
            awaits_heartbeat: false,
            reads_first: false,
            broken: false,
            close: None,
            shared,
            _admission: admission,
        }
    }

    /// Runs the connection to its end, then tells the disconnect hooks.
    ///
    /// Not an `async fn`, which would keep room for the driver twice in each idle connection.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        self.flatten()
    }

    /// Ends the socket. What is left to do is to tell the hooks.
    fn end(&mut self) -> BoxFuture<'static, ()> {
        let node = Arc::clone(&self.shared.node);
        node.close(&self.socket);
        if node.access.on_disconnect.is_empty() || !self.socket.is_authenticated() {
            return std::future::ready(()).boxed();
        }
        let close =
            self.close.take().map_or_else(|| Close::new(1006, "The connection broke"), |close| *close);
        let socket = self.socket.clone();
        async move {
            let told = node.access.disconnected(socket, close);
            if tokio::time::timeout(node.config.shutdown_timeout, told).await.is_err() {
                tracing::warn!("a disconnect hook took longer than the shutdown timeout and was dropped");
            }
        }
        .boxed()
    }

    fn handle_signal(&mut self, signal: Signal, burst: &mut Burst<'_, '_>) {
        match signal {
            Signal::Wake => {}
            Signal::Close(close) => self.begin_close(close, burst),
            Signal::Kill => self.phase = Phase::Gone,
            Signal::Drain { within, reconnect_after } => {
                if self.phase == Phase::Open {
                    if self.session.said_hello() {
                        burst.answers.push(reconnect::hint(reconnect_after));
                    }
                    self.phase = Phase::Draining(self.shared.node.clock.after(within));
                }
            }
        }
    }

    /// Closes after what was published and answered so far.
    fn begin_close(&mut self, close: Close, burst: &mut Burst<'_, '_>) {
        self.send_all(burst);
        self.close_now(close);
    }

    /// Closes. Nothing is answered that has not been sent.
    fn close_now(&mut self, close: Close) {
        if matches!(self.phase, Phase::Open | Phase::Draining(_)) {
            self.socket.outbox().push_last(self.transport.closing(&close));
            tracing::debug!(socket = %self.socket.id(), %close, "closing");
            self.close = Some(Box::new(close));
            self.phase = Phase::Closing(self.close_until());
            self.running = Running::default();
            self.serial = Serial::default();
            self.authenticating = None;
        }
    }

    /// The peer closes: answers it, unless this is its answer.
    fn peer_closes(&mut self, close: Close, answer: bytes::Bytes, burst: &mut Burst<'_, '_>) {
        match self.phase {
            Phase::Closing(until) => self.phase = Phase::Closed(until),
            Phase::Open | Phase::Draining(_) => {
                self.send_all(burst);
                self.socket.outbox().push_last(vec![answer]);
                self.close = Some(Box::new(close));
                self.phase = Phase::Closed(self.close_until());
            }
            Phase::Closed(_) | Phase::Gone => {}
        }
    }

    fn close_until(&self) -> Tick {
        self.shared.node.clock.after(self.shared.node.config.close_timeout)
    }

    fn poll_authenticating(&mut self, burst: &mut Burst<'_, '_>) {
        let Some(authenticating) = &mut self.authenticating else { return };
        let Poll::Ready(redeemed) = authenticating.poll_unpin(burst.cx) else { return };
        self.authenticating = None;
        match redeemed {
            Redeemed::Welcome(text) => {
                self.session.authenticated();
                burst.answers.push(text);
                if self.socket.cursor().is_some() {
                    // What is for its device comes behind that.
                    burst.answers.send(&self.socket);
                    self.shared.node.greet(&self.socket);
                }
            }
            Redeemed::Refused(text, close) => {
                burst.answers.push(text);
                let close = self.session.refused(close);
                self.begin_close(close, burst);
            }
        }
    }

    pub(super) fn poll_running(&mut self, burst: &mut Burst<'_, '_>) {
        let most_kept = self.shared.node.outbox_limits().bytes;
        while !self.running.is_empty() {
            let has_room = self.has_room(burst);
            let next = self.running.poll_next(has_room, most_kept, burst.cx);
            let Poll::Ready((answer, outcome)) = next else { break };
            burst.answers.push(answer.outcome(&outcome));
        }
    }

    fn poll_serial(&mut self, burst: &mut Burst<'_, '_>) {
        while !self.serial.is_empty() {
            let has_room = self.has_room(burst);
            if self.serial.may_tell() {
                burst.answers.send(&self.socket);
            }
            let Poll::Ready(said) = self.serial.poll_next(has_room, burst.cx) else { return };
            if let Some(answer) = said {
                burst.answers.push(answer);
            }
        }
    }

    /// Whether the peer may say more: not while its token is being redeemed.
    fn may_decode(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining(_) | Phase::Closing(_))
            && self.authenticating.is_none()
    }

    /// Whether the peer is listened to: not while it does not read what it was told.
    fn listens(&self) -> bool {
        self.may_decode() && !self.socket.outbox().is_half_full()
    }

    /// Sends what was answered so far if it is much; `false` when the peer must read it before it is
    /// listened to again. A small request may have a large answer, and one read brings thousands.
    fn makes_room(&self, burst: &mut Burst<'_, '_>) -> bool {
        if burst.answers.is_large() {
            burst.answers.send(&self.socket);
        }
        !burst.answers.take_sent() || self.socket.outbox().has_room(burst.answers.held_back())
    }

    /// Sends what was published and answered so far, before nothing more goes out.
    fn send_all(&self, burst: &mut Burst<'_, '_>) {
        hub::flush_published();
        burst.answers.send(&self.socket);
    }

    /// What runs and waits has its turn before reading, too, every other time that there is room: a peer that says more
    /// and more would leave none behind that, and large answers none for what the peer says.
    fn poll_before_reading(&mut self, burst: &mut Burst<'_, '_>) {
        if self.running.is_empty() && self.serial.is_empty() {
            return;
        }
        if self.listens() {
            self.reads_first = !self.reads_first;
        }
        if !self.reads_first {
            self.poll_running(burst);
            self.poll_serial(burst);
        }
    }

    /// Whether there is room for an answer to what did not answer at once. Without, the peer has to read before it gets
    /// more: the task looks again when less than half of its outbox waits.
    fn has_room(&self, burst: &mut Burst<'_, '_>) -> bool {
        self.makes_room(burst) && self.socket.outbox().has_room(burst.answers.held_back())
    }

    fn poll_read(&mut self, burst: &mut Burst<'_, '_>) {
        for _ in 0..READS {
            if !self.listens() {
                return;
            }
            match self.transport.poll_receive(burst.cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(Some(received))) => {
                    if T::ANSWERS_HEARTBEATS {
                        self.heard = self.shared.node.clock.now();
                        self.awaits_heartbeat = false;
                    }
                    self.handle_received(received, burst);
                }
                Poll::Ready(Ok(None) | Err(_)) => {
                    self.phase = Phase::Gone;
                    return;
                }
            }
        }
        burst.cx.waker().wake_by_ref();
    }

    fn handle_received(&mut self, received: Received, burst: &mut Burst<'_, '_>) {
        let messages = self.handle_messages(received, burst);
        self.shared.node.traffic.received(messages);
    }

    /// Handles what came, and says how many messages there were.
    fn handle_messages(&mut self, mut received: Received, burst: &mut Burst<'_, '_>) -> usize {
        let mut messages = 0;
        if self.broken {
            received.clear();
        }
        while self.may_decode() && self.makes_room(burst) {
            match self.transport.decode(&mut received) {
                Ok(None) => {
                    self.transport.put_back(received, false);
                    return messages;
                }
                Ok(Some(Incoming::Message(text))) => {
                    messages += 1;
                    if !matches!(self.phase, Phase::Closing(_)) {
                        self.handle_message(&text, burst);
                    }
                }
                Ok(Some(Incoming::Alive)) => {}
                // No transport of this wire takes any.
                Ok(Some(Incoming::Binary(_))) => self.begin_close(Close::UNSUPPORTED, burst),
                Ok(Some(Incoming::Answer(frame))) => self.socket.hand(&frame, 1, false),
                Ok(Some(Incoming::Closing(close, answer))) => self.peer_closes(close, answer, burst),
                Err(close) => {
                    // The next read may begin with a frame, and be the peer's close. If it is not, the rest
                    // is read all the same: to end on unread bytes would reset the connection, and the peer
                    // might never see why (RFC 6455, section 7.1.1).
                    self.broken = matches!(self.phase, Phase::Closing(_));
                    self.begin_close(close, burst);
                    received.clear();
                }
            }
        }
        self.transport.put_back(received, true);
        messages
    }

    fn handle_message(&mut self, text: &str, burst: &mut Burst<'_, '_>) {
        match self.session.handle_message(text, burst.answers.room()) {
            // By far the most.
            Event::Command(Command::Call(ref request, answer)) => self.handle_call(request, answer, burst),
            Event::Ignore => {}
            Event::Send(answer) => burst.answers.push(answer),
            Event::Close(answer, close) => {
                if let Some(answer) = answer {
                    burst.answers.push(answer);
                }
                self.begin_close(close, burst);
            }
            Event::Authenticate { token, hello, answer } => {
                let redeeming = command::auth::run(
                    Arc::clone(&self.shared.node),
                    self.socket.clone(),
                    token,
                    hello.map(|hello| *hello),
                    answer,
                );
                self.authenticating = Some(redeeming.boxed());
                self.poll_authenticating(burst);
            }
            Event::Command(command) => self.handle_command(command, burst),
        }
    }

    /// Does what is due and says when to look again; `None` when the connection is at its end.
    fn check_times(&mut self, now: Tick) -> Option<Tick> {
        let clock = &self.shared.node.clock;
        let heartbeat = self.shared.node.config.heartbeat;
        match self.phase {
            Phase::Gone => return None,
            Phase::Closing(until) | Phase::Closed(until) => return (now < until).then_some(until),
            Phase::Draining(until) => {
                let idle = self.running.is_empty() && self.serial.is_empty() && !self.socket.awaits_answers();
                if idle || now >= until || !self.session.is_ready() {
                    self.close_now(Close::RESTART);
                    return Some(self.close_until());
                }
                return Some(until);
            }
            Phase::Open => {}
        }
        if !self.session.is_ready()
            && let Some(timeout) = self.shared.node.auth_timeout()
        {
            let until = clock.later(self.opened, timeout);
            if now < until {
                return Some(until);
            }
            self.close_now(command::auth::TIMED_OUT);
            return Some(self.close_until());
        }
        let silent_until = clock.later(self.heard, heartbeat);
        let dead_at = clock.later(silent_until, heartbeat);
        if now < silent_until {
            return Some(silent_until);
        }
        if !self.awaits_heartbeat {
            self.socket.deliver(&self.transport.heartbeat(), 0, false);
            self.awaits_heartbeat = T::ANSWERS_HEARTBEATS;
            if !T::ANSWERS_HEARTBEATS {
                self.heard = now;
            }
        } else if now >= dead_at {
            self.close_now(Close::PEER_SILENT);
            return Some(self.close_until());
        }
        Some(dead_at)
    }

    /// Reads a burst, sends what it published, and answers it. What must stand before something else goes out
    /// earlier: much at once, what comes before a publication or a close.
    fn poll_burst(&mut self, cx: &mut Context<'_>) {
        let answers = Answers::begin(self.socket.format(), self.shared.node.outbox_limits());
        let mut burst = Burst { cx, answers, actions: Found::default() };
        hub::corked(|| {
            if let Some(signal) = self.socket.outbox().take_signal() {
                self.handle_signal(signal, &mut burst);
            }
            self.poll_authenticating(&mut burst);
            self.poll_before_reading(&mut burst);
            self.poll_read(&mut burst);
            // A call that just began has its deadline armed here.
            self.poll_running(&mut burst);
            self.poll_serial(&mut burst);
        });
        burst.answers.send(&self.socket);
        burst.answers.end();
    }

    /// Writes what waits. Ready when nothing does.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let transport = &mut self.transport;
        match self.socket.outbox().poll_flush(cx, |bytes, cx| transport.poll_write(bytes, cx)) {
            Poll::Ready(Ok(())) => self.transport.poll_flush(cx),
            other => other,
        }
    }
}

impl<T: Transport> Future for Driver<T> {
    type Output = BoxFuture<'static, ()>;

    // A name of its own in profiles, which count from here.
    #[inline(never)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            this.poll_burst(cx);
            let deaf = !this.listens();
            let Some(due) = this.check_times(this.shared.node.clock.now()) else {
                return Poll::Ready(this.end());
            };
            let written = match this.poll_write(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(this.end()),
                Poll::Pending => false,
            };
            if deaf && this.listens() {
                // What was written made room, or a close ended the wait for the token. No wake-up is
                // arranged yet for what waits to be read.
                continue;
            }
            if written && matches!(this.phase, Phase::Closed(_)) {
                return Poll::Ready(this.end());
            }
            if written && this.broken {
                // The end of the stream tells the peer that we are through.
                this.socket.outbox().finish();
            }
            this.socket.set_due(due, &this.shared.node.clock);
            if this.socket.outbox().park(cx.waker(), !written) {
                return Poll::Pending;
            }
        }
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.shared.node.close(&self.socket);
    }
}
