//! The one task of a client: does what the session says.
//!
//! ```text
//! handles ──commands──▶ ┌────────┐ ──▶ token request, transport
//!          ──control──▶ │ Driver │ ──▶ invocations (one task per running action)
//! network, clock ─────▶ └────────┘ ──▶ replies, subscriptions, listeners
//! ```
//!
//! It owns all that the client started, so that nothing outlives it. It never waits for a peer to read:
//! while more than 1 MiB cannot be written, it takes no commands, and whoever makes a request waits.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokensocket_protocol::action::Deadline;
use tokensocket_protocol::client::handle::{Buffer, Listeners, Subscribers};
use tokensocket_protocol::client::{
    CallId, ConnectionError, DeliveryId, Event as SessionEvent, Output, Session, State as ConnectionState,
};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::{Channel, Close, RawJson};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::command::{Command, Control, Outcome, Request};
use crate::deliveries::Deliveries;
use crate::invocations::{Invocation, Invocations};
use crate::socket::{Shared, Status, TokenSocket};
use crate::token::TokenRequest;
use crate::transport::{Opening, Transport};

/// Above so many unwritten bytes no command is taken.
const MAX_BACKLOG_BYTES: usize = 1024 * 1024;
/// How many commands are taken before what they send is flushed.
const BATCH: usize = 64;

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) struct Driver {
    session: Session<NativeCodec>,
    started: Instant,
    token: TokenRequest,
    opening: Opening,
    shared: Weak<Shared>,
    listeners: Listeners,
    status: watch::Sender<Status>,
    token_request: Option<Pending<Result<String, ConnectionError>>>,
    transport_opening: Option<Pending<Result<Transport, ConnectionError>>>,
    transport: Option<Transport>,
    transports_closing: FuturesUnordered<Pending<()>>,
    invocations: Invocations,
    deliveries: Deliveries,
    waiters: HashMap<CallId, Waiter>,
    calls: HashMap<u64, CallId>,
    subscribers: Subscribers,
}

/// Who waits for a request's outcome.
struct Waiter {
    id: u64,
    reply: oneshot::Sender<Outcome>,
    subscription: Option<(Channel, Arc<Buffer>)>,
}

impl Driver {
    pub(crate) fn new(
        session: Session<NativeCodec>,
        token: TokenRequest,
        opening: Opening,
        shared: &Arc<Shared>,
        status: watch::Sender<Status>,
    ) -> Self {
        Self {
            session,
            started: Instant::now(),
            token,
            opening,
            shared: Arc::downgrade(shared),
            listeners: shared.listeners.clone(),
            status,
            token_request: None,
            transport_opening: None,
            transport: None,
            transports_closing: FuturesUnordered::new(),
            invocations: Invocations::new(Arc::clone(&shared.actions)),
            deliveries: Deliveries::new(shared.handlers.clone(), shared.control.clone()),
            waiters: HashMap::new(),
            calls: HashMap::new(),
            subscribers: Subscribers::default(),
        }
    }

    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut control: mpsc::UnboundedReceiver<Control>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        self.session.handle_start(self.now());
        self.drain();
        while self.session.state() != ConnectionState::Ended {
            let backlog = self.transport.as_ref().map_or(0, Transport::backlog);
            let timer = self.session.poll_timeout().and_then(|at| self.started.checked_add(at));
            tokio::select! {
                taken = commands.recv_many(&mut batch, BATCH), if backlog < MAX_BACKLOG_BYTES => {
                    // The last handle is gone.
                    if taken == 0 {
                        self.session.handle_end(self.now());
                    }
                    for command in batch.drain(..) {
                        self.command(command);
                    }
                }
                Some(control) = control.recv() => self.control(control),
                token = pending(&mut self.token_request) => {
                    self.token_request = None;
                    self.session.handle_token(self.now(), token);
                }
                opened = pending(&mut self.transport_opening) => {
                    self.transport_opening = None;
                    self.opened(opened);
                }
                text = next_text(&mut self.transport) => self.received(text),
                (fid, outcome) = self.invocations.next() => {
                    self.session.handle_answer(self.now(), &fid, outcome.map_err(Into::into));
                }
                (delivery, is_done) = self.deliveries.next() => self.settle(delivery, is_done),
                Some(()) = self.transports_closing.next() => {}
                () = wait_until(timer) => self.session.handle_timeout(self.now()),
            }
            self.drain();
        }
        self.subscribers.end_all();
        // Nobody can ask for anything any more: whoever still waits hears that the client has ended.
        drop((commands, control));
        self.waiters.clear();
        self.invocations.shutdown().await;
        self.deliveries.shutdown().await;
        while self.transports_closing.next().await.is_some() {}
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Channels(reply) => {
                // Nobody may be waiting any more.
                let _ = reply.send(self.session.channels());
            }
            Command::Request { reply, .. } if reply.is_closed() => {}
            Command::Request { id, request, reply } => {
                let now = self.now();
                let mut subscription = None;
                let call = match request {
                    Request::Call { path, data, timeout } => {
                        self.session.handle_call(now, path, data, timeout)
                    }
                    Request::Subscribe { channel, options, buffer } => {
                        self.subscribers.join(channel.as_str(), Arc::clone(&buffer));
                        subscription = Some((channel.clone(), buffer));
                        self.session.handle_subscribe_with(now, channel, options)
                    }
                    Request::Unsubscribe(channel) => {
                        self.subscribers.end(channel.as_str());
                        self.session.handle_unsubscribe(now, channel)
                    }
                    Request::Publish { channel, data, options } => {
                        self.session.handle_publish_with(now, channel, data, options)
                    }
                    Request::Broadcast(data) => self.session.handle_broadcast(now, data),
                    Request::History(channel, query) => self.session.handle_history(now, channel, query),
                    Request::Presence(channel, query) => self.session.handle_presence(now, channel, query),
                };
                self.calls.insert(id, call);
                self.waiters.insert(call, Waiter { id, reply, subscription });
            }
        }
    }

    fn control(&mut self, control: Control) {
        let now = self.now();
        match control {
            Control::Cancel(id) => {
                if let Some(call) = self.calls.get(&id) {
                    self.session.handle_cancel(now, *call);
                }
            }
            Control::Leave { channel, buffer, detached } => {
                if self.subscribers.leave(channel.as_str(), &buffer, detached) {
                    self.session.handle_unsubscribe(now, channel);
                }
            }
            Control::Settle { id, is_done } => self.settle(id, is_done),
            Control::Handlers => self.deliveries.handlers_changed(),
            Control::End => {
                // What is handled is acknowledged before nothing more can be.
                if let Some((delivery, is_done)) = self.deliveries.try_next() {
                    self.settle(delivery, is_done);
                }
                self.session.handle_end(now);
            }
        }
    }

    fn settle(&mut self, delivery: DeliveryId, is_done: bool) {
        let now = self.now();
        if is_done {
            self.session.handle_acknowledge(now, delivery);
        } else {
            self.session.handle_give_back(now, delivery);
        }
    }

    fn opened(&mut self, opened: Result<Transport, ConnectionError>) {
        match opened {
            Ok(transport) => {
                self.transport = Some(transport);
                self.session.handle_opened(self.now());
            }
            Err(error) => self.session.handle_closed(self.now(), error),
        }
    }

    fn received(&mut self, text: Result<Bytes, ConnectionError>) {
        match text {
            Ok(text) => self.session.handle_text(self.now(), &text),
            Err(error) => {
                // What is left to write is the answer to the peer's close frame.
                self.close_transport(None);
                self.session.handle_closed(self.now(), error);
            }
        }
    }

    fn close_transport(&mut self, close: Option<Close>) {
        if let Some(transport) = self.transport.take() {
            self.transports_closing.push(Box::pin(transport.close(close)));
        }
    }

    /// Does what the session says, until it says nothing more.
    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::RequestToken => self.token_request = Some(Box::pin(self.token.clone().send())),
                Output::Open => self.transport_opening = Some(Box::pin(self.opening.clone().open())),
                Output::Send(text) => {
                    if let Some(transport) = &mut self.transport {
                        transport.send(text);
                    }
                }
                Output::Close(close) => {
                    self.token_request = None;
                    self.transport_opening = None;
                    self.close_transport(Some(close));
                }
                Output::Resolve { call, outcome } => self.resolve(call, outcome),
                Output::Invoke { fid, path, args, deadline } => self.invoke(fid, path, args, deadline),
                Output::CancelInvocation { fid } => self.invocations.cancel(&fid),
                Output::Event(event) => self.tell(event),
                _ => {}
            }
        }
        self.deliveries.start();
    }

    fn resolve(&mut self, call: CallId, outcome: Outcome) {
        let Some(waiter) = self.waiters.remove(&call) else { return };
        self.calls.remove(&waiter.id);
        if let (Err(_), Some((channel, buffer))) = (&outcome, waiter.subscription) {
            self.subscribers.fail(channel.as_str(), &buffer);
        }
        // Whoever waited may have gone in this moment; a subscription then leaves by itself.
        let _ = waiter.reply.send(outcome);
    }

    fn invoke(&mut self, fid: String, path: String, data: RawJson, deadline: Option<Duration>) {
        // Without a handle the client is about to end.
        let Some(shared) = self.shared.upgrade() else { return };
        let deadline = Deadline(deadline.and_then(|at| self.started.into_std().checked_add(at)));
        self.invocations.start(fid, path, Invocation { data, deadline, socket: TokenSocket { shared } });
    }

    fn tell(&mut self, event: SessionEvent<RawJson>) {
        match &event {
            SessionEvent::State(state) => self.status.send_modify(|status| status.state = *state),
            SessionEvent::Ready(outcome) => {
                self.status.send_modify(|status| status.ready = Some(outcome.clone()));
            }
            SessionEvent::Ignored => tracing::debug!("a message of the server was not understood"),
            _ => {}
        }
        if let Some(delivery) = self.deliveries.tell(&event) {
            self.settle(delivery, false);
        }
        self.subscribers.tell(&event);
        self.listeners.tell(event);
    }
}

async fn pending<T>(future: &mut Option<Pending<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next_text(transport: &mut Option<Transport>) -> Result<Bytes, ConnectionError> {
    match transport {
        Some(transport) => transport.next().await,
        None => std::future::pending().await,
    }
}

async fn wait_until(timer: Option<Instant>) {
    match timer {
        Some(timer) => sleep_until(timer).await,
        None => std::future::pending().await,
    }
}
