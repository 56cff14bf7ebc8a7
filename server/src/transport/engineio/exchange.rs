//! The requests of one session that polls: those that wait for packets, and those that bring some.
//!
//! In: polls, bodies, WebSockets that may take over; from the session's task, what a poll is answered. Out: each to
//! the other. One poll waits at a time, one WebSocket, and a bounded amount of bodies. A poll that is cut breaks the
//! session, since nobody knows what its client got; so does a second one.
//! Must not know: what packets are.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokensocket_protocol::engineio::Payload;
use tokio::sync::{Notify, oneshot};

use super::Link;

/// What a request brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) is_binary: bool,
}

/// Why a poll got no packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpolled {
    /// Another one waits: the session is ended for it.
    Busy,
    /// A WebSocket carries the session.
    Elsewhere,
    /// The session is gone.
    Gone,
}

/// Why a body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The session is gone.
    Gone,
    /// The session's task takes no more for now.
    Full,
    /// A WebSocket carries the session.
    Elsewhere,
}

/// What a session says at its end: the same packets in both forms that a poll may want.
#[derive(Debug, Clone)]
pub(crate) struct Last {
    pub(crate) text: Payload,
    pub(crate) binary: Payload,
}

impl Last {
    fn payload(self, base64: bool) -> Payload {
        if base64 { self.text } else { self.binary }
    }
}

/// One session, as its requests see it.
pub(crate) struct Exchange {
    /// How many bytes may wait for the session's task before no more is taken.
    most: usize,
    state: Mutex<State>,
    /// The session's task has taken a body, or the session is over.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The session's task.
    task: Option<Waker>,
    bodies: VecDeque<Body>,
    waiting_bytes: usize,
    link: Option<Box<dyn Link>>,
    poll: Option<Waiting>,
    is_broken: bool,
    /// A WebSocket carries the session.
    is_elsewhere: bool,
    is_closed: bool,
    /// What the first poll after the end is answered.
    last: Option<Last>,
}

/// The poll that waits.
struct Waiting {
    base64: bool,
    answer: oneshot::Sender<Payload>,
}

/// Breaks the session when its poll ends without an answer.
struct Polling<'a>(Option<&'a Exchange>);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let Some(exchange) = self.0 else { return };
        let mut state = exchange.state.lock();
        if !state.is_closed {
            state.is_broken = true;
            state.poll = None;
            state.wake();
        }
    }
}

impl Exchange {
    /// `most`: how many bytes may wait for the session's task; the last body may exceed it.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, state: Mutex::default(), changed: Notify::new() }
    }

    // What requests do.

    /// Waits for packets. `base64`: the client takes texts only. Dropped before it is answered, it ends the session.
    pub(crate) async fn poll(&self, base64: bool) -> Result<Payload, Unpolled> {
        let answered = {
            let mut state = self.state.lock();
            if state.is_closed {
                let last = state.last.take().ok_or(Unpolled::Gone)?;
                drop(state);
                self.changed.notify_waiters();
                return Ok(last.payload(base64));
            }
            if state.is_elsewhere {
                return Err(Unpolled::Elsewhere);
            }
            if state.poll.is_some() {
                state.is_broken = true;
                state.wake();
                return Err(Unpolled::Busy);
            }
            let (answer, answered) = oneshot::channel();
            state.poll = Some(Waiting { base64, answer });
            state.wake();
            answered
        };
        let mut polling = Polling(Some(self));
        let payload = answered.await;
        polling.0 = None;
        payload.map_err(|_| Unpolled::Gone)
    }

    /// Hands a body over, waits at most `patience` for room.
    pub(crate) async fn send(&self, body: Body, patience: Duration) -> Result<(), Unsent> {
        let mut body = Some(body);
        let sent = async {
            loop {
                let changed = self.changed.notified();
                if let Some(outcome) = self.try_send(&mut body) {
                    return outcome;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, sent).await.unwrap_or(Err(Unsent::Full))
    }

    fn try_send(&self, body: &mut Option<Body>) -> Option<Result<(), Unsent>> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Some(Err(Unsent::Gone));
        }
        if state.is_elsewhere {
            return Some(Err(Unsent::Elsewhere));
        }
        // What is here counts, not what comes: so a large body passes too.
        if state.waiting_bytes > self.most {
            return None;
        }
        if let Some(body) = body.take() {
            state.waiting_bytes += body.cost();
            state.bodies.push_back(body);
            state.wake();
        }
        Some(Ok(()))
    }

    /// Hands a WebSocket over that may take the session over. Dropped where the session is gone, or has one.
    pub(crate) fn offer(&self, link: Box<dyn Link>) {
        let mut state = self.state.lock();
        if !state.is_closed && state.link.is_none() {
            state.link = Some(link);
            state.wake();
        }
    }

    // What the session's task does.

    /// Has the task woken by whatever comes.
    pub(crate) fn register(&self, task: &Waker) {
        let mut state = self.state.lock();
        if state.task.as_ref().is_none_or(|known| !known.will_wake(task)) {
            state.task = Some(task.clone());
        }
    }

    /// The next body that came.
    pub(crate) fn take_body(&self) -> Option<Body> {
        let mut state = self.state.lock();
        let body = state.bodies.pop_front()?;
        if state.bodies.is_empty() {
            state.bodies = VecDeque::new();
        }
        let was_full = state.waiting_bytes > self.most;
        state.waiting_bytes -= body.cost();
        drop(state);
        if was_full {
            self.changed.notify_waiters();
        }
        Some(body)
    }

    /// The WebSocket that came.
    pub(crate) fn take_link(&self) -> Option<Box<dyn Link>> {
        self.state.lock().link.take()
    }

    /// A WebSocket carries the session from now on: requests are refused, and who waits to hand a body over is, too.
    /// What was handed over is still there, and so is a poll that waits.
    pub(crate) fn leave_polling(&self) {
        self.state.lock().is_elsewhere = true;
        self.changed.notify_waiters();
    }

    /// Whether a poll waits, and whether it takes texts only.
    pub(crate) fn poll_waits(&self) -> Option<bool> {
        self.state.lock().poll.as_ref().map(|poll| poll.base64)
    }

    /// Answers the poll that waits.
    pub(crate) fn answer(&self, payload: Payload) {
        let Some(poll) = self.state.lock().poll.take() else { return };
        // A poll that has just been cut breaks the session by itself.
        let _ = poll.answer.send(payload);
    }

    /// Whether a poll was cut, or came while another one waited: the session is to end.
    pub(crate) fn is_broken(&self) -> bool {
        self.state.lock().is_broken
    }

    /// The session has ended. `last` is for a poll that waits, or, within the table's time, for one that still
    /// comes. Closed again, it stays as it was.
    pub(crate) fn close(&self, last: Option<Last>) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        let poll = state.poll.take();
        let poll = poll.filter(|poll| !poll.answer.is_closed());
        let (answer, last) = match (poll, last) {
            (Some(poll), Some(last)) => (Some((poll.answer, last.payload(poll.base64))), None),
            (_, last) => (None, last),
        };
        // Nothing that came is looked at any more.
        *state = State { is_closed: true, last, ..State::default() };
        drop(state);
        if let Some((answer, payload)) = answer {
            let _ = answer.send(payload);
        }
        self.changed.notify_waiters();
    }

    /// Waits until there is nothing left to say to a poll that still comes.
    pub(super) async fn told(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.has_last() {
                return;
            }
            changed.await;
        }
    }

    /// Whether it has ended, with something left to say.
    pub(super) fn has_last(&self) -> bool {
        self.state.lock().last.is_some()
    }

    /// Nobody is to be told any more.
    pub(super) fn forget(&self) {
        self.state.lock().last = None;
    }
}

impl Body {
    /// What it takes while it waits: an empty one takes room too.
    fn cost(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }
}

impl State {
    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests;
