//! A SockJS session that HTTP requests carry, one after the other (SockJS protocol 0.3.3, "Protocol and
//! framing").
//!
//! ```text
//! xhr_send ──▶ Exchange ──▶ Carrier (the session's transport) ──▶ the session's task
//! xhr, … ◀── Receiver ◀── Exchange ◀── Carrier ◀── its outbox
//! ```
//!
//! In: messages that senders bring, and receivers that come and go. Out: frames, to the one receiver that is
//! attached. What the session says while there is none waits in its outbox, whose limits hold. A receiver
//! that the exchange ended leaves the session alive; one that is cut ends it, since nobody knows what it got.
//! Must not know: paths, headers, the wire's messages.

pub(crate) mod carrier;
pub(crate) mod receiver;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokensocket_protocol::Close;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::receiving::Receiving;
use receiver::Receiver;

/// How much may wait in a receiver's response before the session's outbox has to keep it, in bytes.
const AHEAD: usize = 64 * 1024;

/// What the sessions of one endpoint have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// After how many bytes a streaming response is ended, so that the client's memory of it goes.
    pub(crate) response: usize,
    /// How long a session lives without a receiver.
    pub(crate) timeout: Duration,
    /// The largest message, in bytes. About as much may wait for the session's task.
    pub(crate) message: usize,
}

/// One session, as its requests see it.
pub(crate) struct Exchange {
    limits: Limits,
    state: Mutex<State>,
    /// A receiver is gone, or the session's task has taken what senders brought.
    changed: Notify,
}

struct State {
    life: Life,
    /// What senders brought and the session's task has not taken.
    received: VecDeque<String>,
    received_bytes: usize,
    receiver: Option<Attached>,
    /// How many receivers there have been.
    attached: u64,
    /// Since when there is none.
    alone_since: Instant,
    /// The session's task.
    session: Option<Waker>,
    /// The task has something to say and waits for a receiver that takes it.
    waits_to_say: bool,
    /// The task wakes by itself to see whether there is a receiver.
    is_timed: bool,
}

enum Life {
    Open,
    /// The session says that it closes; this is its close frame.
    Closing(Bytes),
    /// It has said so. Each receiver that still comes is told the same.
    Closed(Bytes),
    Gone,
}

/// The receiver that is here now.
struct Attached {
    number: u64,
    framing: Box<dyn Receiving>,
    /// What its response has not taken yet.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// How many bytes of frames it was given.
    given: usize,
    /// Its response ends after what waits.
    finished: bool,
    response: Option<Waker>,
}

/// Why no receiver was attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unattached {
    /// Another one is.
    Busy,
    /// The session is gone.
    Gone,
}

/// Why messages were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The session is gone.
    Gone,
    /// One is larger than a message may be.
    TooLarge,
    /// The session's task takes no more for now.
    Full,
}

impl Exchange {
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State {
            life: Life::Open,
            received: VecDeque::new(),
            received_bytes: 0,
            receiver: None,
            attached: 0,
            alone_since: Instant::now(),
            session: None,
            waits_to_say: false,
            is_timed: false,
        };
        Self { limits, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Whether the session is over, with nothing left to say.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state.lock().life, Life::Gone)
    }

    /// Attaches a receiver. Its response is what comes back, or what was to frame it.
    pub(crate) fn attach(
        self: &Arc<Self>,
        framing: Box<dyn Receiving>,
    ) -> Result<Receiver, (Unattached, Box<dyn Receiving>)> {
        let mut state = self.state.lock();
        if matches!(state.life, Life::Gone) {
            return Err((Unattached::Gone, framing));
        }
        if state.receiver.as_ref().is_some_and(|receiver| !receiver.is_over()) {
            return Err((Unattached::Busy, framing));
        }
        let mut receiver = Attached::new(state.attached, framing);
        if let Life::Closed(frame) = &state.life {
            // Whatever the limit, this is all it gets.
            receiver.give(frame.to_vec(), 0);
        }
        state.attached += 1;
        let number = receiver.number;
        state.receiver = Some(receiver);
        let session = state.session_that_waits();
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
        Ok(Receiver::new(Arc::clone(self), number))
    }

    /// Waits until the session is over, since its receiver was cut, or `patience` has passed.
    pub(crate) async fn cut(&self, patience: Duration) {
        let cut = async {
            loop {
                let changed = self.changed.notified();
                if self.is_gone() {
                    return;
                }
                changed.await;
            }
        };
        // Who asked looks again either way.
        let _ = tokio::time::timeout(patience, cut).await;
    }

    /// Hands messages to the session, all or none. Waits at most `patience` for room.
    pub(crate) async fn send(&self, messages: Vec<String>, patience: Duration) -> Result<(), Unsent> {
        if messages.iter().any(|message| message.len() > self.limits.message) {
            return Err(Unsent::TooLarge);
        }
        let mut messages = Some(messages);
        let sent = async {
            loop {
                let changed = self.changed.notified();
                if let Some(outcome) = self.try_send(&mut messages) {
                    return outcome;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, sent).await.unwrap_or(Err(Unsent::Full))
    }

    fn try_send(&self, messages: &mut Option<Vec<String>>) -> Option<Result<(), Unsent>> {
        let mut state = self.state.lock();
        match state.life {
            Life::Open => {}
            Life::Closing(_) | Life::Closed(_) => return Some(Ok(())),
            Life::Gone => return Some(Err(Unsent::Gone)),
        }
        // What is here counts, not what comes: so a large message passes too.
        if state.received_bytes > self.limits.message {
            return None;
        }
        for message in messages.take().unwrap_or_default() {
            // An empty one takes room too.
            state.received_bytes += message.len() + size_of::<String>();
            state.received.push_back(message);
        }
        if let Some(session) = &state.session {
            session.wake_by_ref();
        }
        Some(Ok(()))
    }

    /// The session begins to close and will say so.
    fn closing(&self, frame: Bytes) {
        let mut state = self.state.lock();
        if matches!(state.life, Life::Open) {
            state.life = Life::Closing(frame);
        }
    }

    /// The session's task has ended. Returns whether receivers that still come are to be told of its close.
    fn ended(&self) -> bool {
        let mut state = self.state.lock();
        state.session = None;
        state.received = VecDeque::new();
        state.received_bytes = 0;
        let life = std::mem::replace(&mut state.life, Life::Gone);
        if let Life::Closing(frame) | Life::Closed(frame) = life {
            if matches!(&state.receiver, Some(receiver) if !receiver.finished) {
                state.give(frame.to_vec(), self.limits.response);
            }
            state.life = Life::Closed(frame);
        }
        if let Some(receiver) = &mut state.receiver {
            receiver.finish();
        }
        let lingers = matches!(state.life, Life::Closed(_));
        drop(state);
        self.changed.notify_waiters();
        lingers
    }

    /// Nobody is to be told any more.
    fn forget(&self) {
        self.state.lock().life = Life::Gone;
    }
}

impl State {
    /// The session's task, if it waits for a receiver.
    fn session_that_waits(&mut self) -> Option<Waker> {
        std::mem::take(&mut self.waits_to_say).then(|| self.session.clone()).flatten()
    }

    /// Whether the response of the receiver that is here ends after one frame.
    fn receiver_polls(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.framing.ends_after_one())
    }

    /// Gives a frame to the receiver, where there is one that takes it.
    fn give(&mut self, frame: Vec<u8>, limit: usize) {
        if let Some(receiver) = &mut self.receiver {
            receiver.give(frame, limit);
        }
    }
}

impl Attached {
    fn new(number: u64, framing: Box<dyn Receiving>) -> Self {
        let waiting = VecDeque::from_iter(framing.prelude());
        let waiting_bytes = waiting.iter().map(Bytes::len).sum();
        Self { number, framing, waiting, waiting_bytes, given: 0, finished: false, response: None }
    }

    /// Whether it takes another frame.
    fn has_room(&self) -> bool {
        !self.finished && self.waiting_bytes < AHEAD
    }

    /// It is through, and its response has taken all.
    fn is_over(&self) -> bool {
        self.finished && self.waiting.is_empty()
    }

    /// Queues a frame, and ends the response when that was the last it takes.
    fn give(&mut self, frame: Vec<u8>, limit: usize) {
        let framed = self.framing.frame(frame);
        self.given += framed.len();
        self.waiting_bytes += framed.len();
        self.waiting.push_back(framed);
        if self.framing.ends_after_one() || self.given >= limit {
            self.finished = true;
        }
        self.wake();
    }

    fn finish(&mut self) {
        self.finished = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(response) = self.response.take() {
            response.wake();
        }
    }
}

/// What a receiver is told while another one is attached (SockJS protocol 0.3.3, "Handling close").
pub(crate) const BUSY: Close =
    Close { code: 2010, reason: std::borrow::Cow::Borrowed("Another connection still open") };
