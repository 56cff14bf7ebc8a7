//! A client's place in one namespace: what its socket has to say becomes packets, and its events are handled.
//!
//! In: events and acknowledgements of the client, records of the outbox. Out: packets with their namespace, to the
//! connection's session.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream};
use tokensocket_protocol::Close;
use tokensocket_protocol::engineio::Version;
use tokensocket_protocol::message::Acknowledge;
use tokensocket_protocol::socketio::{self as wire};
use tokio::time::{Sleep, sleep};

use super::args::EventArgs;
use super::joining::Member;
use super::namespace::Namespace;
use crate::format::dialect::socketio::{self as dialect, Ack, Mark};
use crate::format::record::{self, Note, Record};
use crate::session::outbox::Signal;
use crate::socket::Answered;
use crate::transport::engineio::session::Session;

/// What runs for an event, and the number under which its answer is wanted.
type Running = BoxFuture<'static, (Option<u64>, Option<EventArgs>)>;

/// So many resyncs wait for a sign that the client has them.
const RESYNCS: usize = 64;

/// A resync of which it is not known that the client has it.
struct Resync {
    number: u64,
    /// Behind how many messages it was sent, itself among them.
    sent: u64,
    /// Behind which place in the device's queue.
    last: u64,
}

/// What a socket was told to do.
pub(super) enum Order {
    /// Nothing.
    Stay,
    /// Leave the namespace, for this reason.
    Leave(Close),
    /// End the whole connection, for this reason.
    End(Close),
}

pub(super) struct Joined {
    pub(super) name: Box<str>,
    namespace: Arc<Namespace>,
    member: Member,
    running: FuturesUnordered<Running>,
    /// In the numbers under which acknowledgements are wanted.
    mark: Mark,
    /// Resyncs that were sent.
    resyncs: VecDeque<Resync>,
    /// The last place in the device's queue that was sent.
    last: u64,
    /// Its node goes away: it may finish what runs until then.
    draining: Option<Pin<Box<Sleep>>>,
    /// Messages that came and are not counted yet.
    uncounted: usize,
    has_spoken: bool,
}

impl Joined {
    pub(super) fn new(name: Box<str>, namespace: Arc<Namespace>, member: Member) -> Self {
        Self {
            name,
            namespace,
            member,
            running: FuturesUnordered::new(),
            mark: Mark::random(),
            resyncs: VecDeque::new(),
            last: 0,
            draining: None,
            uncounted: 0,
            has_spoken: false,
        }
    }

    /// Sends what is for the client's device, from now on.
    pub(super) fn greet(&self) {
        self.member.node.greet(&self.member.socket);
    }

    pub(super) fn id(&self) -> String {
        self.member.socket.id().to_string()
    }

    /// Whether the client may say more: not while it does not read, or keeps as many handlers busy as it may.
    pub(super) fn listens(&self) -> bool {
        self.running.len() < self.member.node.config.max_calls_per_socket
            && !self.member.socket.outbox().is_half_full()
    }

    /// Whether anything came from the client here.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    fn note_message(&mut self) {
        self.uncounted += 1;
        self.has_spoken = true;
    }

    /// Handles an event of the client.
    pub(super) fn handle(&mut self, number: Option<u64>, name: &str, args: EventArgs, cx: &mut Context<'_>) {
        self.note_message();
        if self.draining.is_some() {
            return;
        }
        let Some(mut handling) = self.namespace.handlers.handle(&self.member.socket, name, args) else {
            tracing::trace!(event = name, "an event that nobody handles");
            return;
        };
        // Most are done at once.
        match handling.poll_unpin(cx) {
            Poll::Ready(ack) => self.acknowledge(number, ack),
            Poll::Pending => self.running.push(handling.map(move |ack| (number, ack)).boxed()),
        }
    }

    fn acknowledge(&self, number: Option<u64>, ack: Option<EventArgs>) {
        if let (Some(number), Some(EventArgs(ack))) = (number, ack) {
            let mut text = Vec::new();
            wire::push_ack("/", number, ack.arguments(), ack.attachments().len(), &mut text);
            let mut frame = Vec::new();
            record::push_with_parts(&mut frame, &text, Note::None, ack.attachments());
            self.member.socket.deliver(&frame.into(), 1, false);
        }
    }

    /// The client acknowledges what it was sent under this number.
    pub(super) fn acknowledged(&mut self, number: u64, args: &EventArgs) {
        self.note_message();
        let Some(number) = self.mark.of(number) else {
            tracing::debug!("an acknowledgement came that is of another connection");
            return;
        };
        match Ack::of(number) {
            Ack::Delivery(what) => {
                if let Acknowledge::One(seq) | Acknowledge::Batch(seq) = what {
                    // Whoever has this has what was sent before it.
                    self.prove(|resync| resync.last < seq);
                }
                self.has(what);
            }
            Ack::Call(fid) => {
                let answer = Answered { json: args.to_json(), attachments: args.attachments().to_vec() };
                self.member.socket.finish_call(fid, Ok(answer));
            }
        }
    }

    fn has(&self, what: Acknowledge) {
        self.member.node.settle(&self.member.socket, what);
    }

    /// Goes on with what runs, and says what there is to say, as far as the session has room.
    pub(super) fn poll(&mut self, version: Version, session: &mut Session, cx: &mut Context<'_>) -> Order {
        self.member.node.traffic.received(std::mem::take(&mut self.uncounted));
        while let Poll::Ready(Some((number, ack))) = Pin::new(&mut self.running).poll_next(cx) {
            self.acknowledge(number, ack);
        }
        let order = match self.member.socket.outbox().take_signal() {
            None | Some(Signal::Wake) => Order::Stay,
            // Who did not read would not read this either; and comes back by itself when its connection breaks.
            Some(Signal::Close(close)) if close == Close::SLOW_CONSUMER => Order::End(close),
            Some(Signal::Close(close)) => Order::Leave(close),
            Some(Signal::Kill) => Order::End(Close::RESTART),
            Some(Signal::Drain { within, .. }) => {
                self.drain_within(within);
                Order::Stay
            }
        };
        self.say(version, session, cx, matches!(order, Order::Stay));
        if let (Order::Stay, Some(draining)) = (&order, &mut self.draining) {
            let is_idle = self.running.is_empty() && !self.member.socket.awaits_answers();
            if draining.as_mut().poll(cx).is_ready() || is_idle {
                self.say(version, session, cx, false);
                return Order::Leave(Close::RESTART);
            }
        }
        let proven = session.proven();
        self.prove(|resync| resync.sent <= proven);
        order
    }

    /// Whether its node ends, and tells it when to go.
    pub(super) fn is_told_to_go(&self) -> bool {
        self.member.node.is_draining()
    }

    /// Lets what runs finish, then leaves.
    pub(super) fn drain(&mut self) {
        self.drain_within(self.member.node.config.shutdown_timeout);
    }

    fn drain_within(&mut self, within: Duration) {
        self.draining.get_or_insert_with(|| Box::pin(sleep(within)));
    }

    /// Has the task woken by the next thing to say; `false` when there is something already.
    pub(super) fn park(&self, session: &Session, cx: &Context<'_>) -> bool {
        let socket = &self.member.socket;
        socket.set_writable(session.is_writable());
        socket.outbox().park(cx.waker(), !session.has_room())
    }

    /// Hands the socket's packets to the session: as far as that has room, or all.
    fn say(&mut self, version: Version, session: &mut Session, cx: &mut Context<'_>, is_bounded: bool) {
        let Self { name, mark, resyncs, last, member, .. } = self;
        let mut unsaid = Vec::new();
        let _ = member.socket.outbox().poll_flush(cx, |piece, _| {
            if is_bounded && !session.has_room() {
                return Poll::Pending;
            }
            for record in record::records(piece) {
                if dialect::is_reserved_event(version, record.text) {
                    unsaid.push(record.note);
                    continue;
                }
                say(name, *mark, &record, session);
                match record.note {
                    Note::None => {}
                    Note::Delivery(seq) | Note::Batch(seq) => *last = (*last).max(seq),
                    Note::Resync(number) => {
                        if resyncs.len() == RESYNCS {
                            resyncs.pop_front();
                        }
                        resyncs.push_back(Resync { number, sent: session.sent(), last: *last });
                    }
                }
            }
            Poll::Ready(Ok(piece.len()))
        });
        for note in unsaid {
            tracing::warn!(
                "an event whose name is Socket.IO's own was not sent: it would end the connection"
            );
            if let Note::Delivery(seq) = note {
                self.has(Acknowledge::One(seq));
            }
        }
    }

    /// The client has the resyncs that are `known` to have come, one after the other.
    fn prove(&mut self, known: impl Fn(&Resync) -> bool) {
        let mut proven = None;
        while self.resyncs.front().is_some_and(&known) {
            proven = self.resyncs.pop_front();
        }
        if let Some(Resync { number, .. }) = proven {
            self.has(Acknowledge::Resync(number));
        }
    }

    /// Takes the socket off its node, and tells the hooks why.
    pub(super) fn end(self, close: Close) {
        let Self { member, running, .. } = self;
        drop(running);
        let (node, socket) = (Arc::clone(&member.node), member.socket.clone());
        if node.access.on_disconnect.is_empty() {
            return;
        }
        let limit: Duration = node.config.shutdown_timeout;
        let tasks = node.tasks.clone();
        // Spawned before the member is gone, so that a node that ends waits for it.
        tasks.spawn(async move {
            let told = node.access.disconnected(socket, close);
            if tokio::time::timeout(limit, told).await.is_err() {
                tracing::warn!("a disconnect hook took longer than the shutdown timeout and was dropped");
            }
        });
        drop(member);
    }
}

/// One packet, with its namespace and its attachments.
fn say(namespace: &str, mark: Mark, record: &Record<'_>, session: &mut Session) {
    session.send(dialect::in_namespace(namespace, mark, record.text));
    for part in record.parts() {
        session.send_binary(Bytes::copy_from_slice(part));
    }
}
