//! What was delivered and waits for its handler: one after the other, in the order in which it came.
//!
//! In: deliveries and resyncs from the session, handlers that come and go. Out: the next one to be handled, and what
//! is given back. What has no handler yet waits aside and holds up nobody. Knows no connection and runs nothing.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handlers::{Delivery, Handlers, Handling, OnDelivery, Resync};
use crate::client::{DeliveryId, Event};
use crate::raw_json::RawJson;
use crate::threads::MaybeSend;

/// How many may wait, and how many bytes of arguments. The server keeps what is beyond that, and sends it again after
/// the next reconnect.
const MAX_WAITING: usize = 100_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug)]
enum Letter {
    Delivery { event: String, args: RawJson },
    Resync(Resync),
}

impl Letter {
    fn bytes(&self) -> usize {
        match self {
            Self::Delivery { args, .. } => args.as_bytes().len(),
            Self::Resync(_) => 0,
        }
    }

    fn has_handler(&self, handlers: &Handlers) -> bool {
        match self {
            Self::Delivery { event, .. } => handlers.of(event).is_some(),
            Self::Resync(_) => handlers.of_resync().is_some(),
        }
    }
}

/// What to do next.
#[must_use = "what is not handled is never acknowledged"]
pub enum Next {
    /// Run this to its end, then say [`Deliveries::finished`] and settle it with the session as it says.
    Handle(DeliveryId, Handling),
    /// It was handed to somebody who settles it by hand.
    HandedOver,
    /// Nothing, for now.
    Nothing,
}

/// One client's deliveries that wait.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// Those whose handler is known, in order.
    waiting: VecDeque<(DeliveryId, Letter)>,
    /// Those without one, in order.
    parked: Vec<(DeliveryId, Letter)>,
    bytes: usize,
    is_busy: bool,
}

impl Deliveries {
    /// Something happened. Gives what has to be given back to the session.
    pub fn tell(&mut self, event: &Event<RawJson>, handlers: &Handlers) -> Option<DeliveryId> {
        match event {
            Event::Delivery { id, event, args } => {
                let letter = Letter::Delivery { event: event.clone(), args: args.clone() };
                self.push(*id, letter, handlers)
            }
            Event::Resync { id, event, reason } => {
                let resync = Resync { event: event.clone(), reason: *reason };
                self.push(*id, Letter::Resync(resync), handlers)
            }
            _ => None,
        }
    }

    fn push(&mut self, id: DeliveryId, letter: Letter, handlers: &Handlers) -> Option<DeliveryId> {
        let is_full = self.waiting.len() + self.parked.len() >= MAX_WAITING
            || self.bytes.saturating_add(letter.bytes()) > MAX_BYTES;
        if is_full {
            tracing::warn!("too many deliveries wait for their handlers: the server keeps them");
            return Some(id);
        }
        self.bytes += letter.bytes();
        if letter.has_handler(handlers) {
            self.waiting.push_back((id, letter));
        } else {
            self.parked.push((id, letter));
        }
        None
    }

    /// A handler came or went: those that waited for it have their turn, in order.
    pub fn handlers_changed(&mut self, handlers: &Handlers) {
        let mut all: Vec<_> = self.waiting.drain(..).chain(self.parked.drain(..)).collect();
        all.sort_by_key(|(id, _)| *id);
        let (waiting, parked): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, letter)| letter.has_handler(handlers));
        self.waiting = waiting.into();
        self.parked = parked;
    }

    /// The next one, unless one is being handled. `settle` is for what is acknowledged by hand.
    pub fn next<S: FnOnce(bool) + MaybeSend + 'static>(
        &mut self,
        handlers: &Handlers,
        settle: impl FnOnce(DeliveryId) -> S,
    ) -> Next {
        if self.is_busy {
            return Next::Nothing;
        }
        let Some((id, letter)) = self.waiting.pop_front() else { return Next::Nothing };
        let bytes = letter.bytes();
        let handling = match letter {
            Letter::Delivery { event, args } => match handlers.of(&event) {
                Some(OnDelivery::ByResult(handler)) => guarded(&event, || handler(&args)),
                Some(OnDelivery::ByHand(handler)) => {
                    self.bytes -= bytes;
                    let name = event.clone();
                    let delivery = Delivery::new(event, args, settle(id));
                    // One that panics drops the delivery, which gives it back.
                    guarded(&name, || handler(delivery));
                    return Next::HandedOver;
                }
                None => return self.park(id, Letter::Delivery { event, args }),
            },
            Letter::Resync(resync) => match handlers.of_resync() {
                Some(handler) => guarded("resync", || handler(resync)),
                None => return self.park(id, Letter::Resync(resync)),
            },
        };
        self.bytes -= bytes;
        self.is_busy = true;
        Next::Handle(id, handling.unwrap_or_else(|| Box::pin(std::future::ready(false))))
    }

    /// Its handler was removed a moment ago, of which [`handlers_changed`](Self::handlers_changed) will tell.
    fn park(&mut self, id: DeliveryId, letter: Letter) -> Next {
        self.parked.push((id, letter));
        Next::HandedOver
    }

    /// What was being handled is done, well or not.
    pub fn finished(&mut self) {
        self.is_busy = false;
    }
}

/// Calls a handler. One that panics is logged and hurts nobody.
fn guarded<R>(event: &str, call: impl FnOnce() -> R) -> Option<R> {
    let outcome = catch_unwind(AssertUnwindSafe(call));
    if outcome.is_err() {
        tracing::error!(event, "a handler panicked");
    }
    outcome.ok()
}
