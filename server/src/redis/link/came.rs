//! What came from a server, on its way to those who follow.
//!
//! In: messages and gaps, each for a follower, in their order. Out: the same to the followers, each as many together as
//! there are. Bounded: with more, whoever reads them hands them on himself and reads nothing meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::book::{Handed, Ticket};

/// So many messages, and bytes of them, wait to be handed on; with more, whoever reads hands them on himself.
const MOST_MESSAGES: usize = 8192;
const MOST_BYTES: usize = 8 << 20;

/// What came and was not handed on yet.
#[derive(Default)]
pub(super) struct Came {
    waiting: Mutex<Waiting>,
    pub(super) wake: Notify,
    /// Held by whoever hands on, so that it stays in order.
    handing: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<(Ticket, Handed)>,
    bytes: usize,
}

impl Came {
    /// Puts messages of so many bytes behind those that are there.
    pub(super) fn add(&self, messages: impl IntoIterator<Item = (Ticket, Handed)>, bytes: usize) {
        let is_full = {
            let mut waiting = self.waiting.lock();
            waiting.messages.extend(messages);
            waiting.bytes += bytes;
            waiting.messages.len() > MOST_MESSAGES || waiting.bytes > MOST_BYTES
        };
        if is_full {
            // Nothing is read until this is done, so that nothing grows without end.
            self.hand_on();
        } else {
            self.wake.notify_one();
        }
    }

    /// Hands on all that is there. Each follower gets what is for it together.
    pub(super) fn hand_on(&self) {
        let _handing = self.handing.lock();
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            if waiting.messages.is_empty() {
                return;
            }
            let mut together: Option<Together> = None;
            for (ticket, handed) in waiting.messages {
                if together.as_ref().is_some_and(|(other, _)| other.number != ticket.number)
                    || matches!(handed, Handed::Gap(_))
                {
                    give(together.take());
                }
                match handed {
                    Handed::Message(topic, payload) => {
                        together.get_or_insert_with(|| (ticket, Vec::new())).1.push((topic, payload));
                    }
                    Handed::Gap(topics) => {
                        if let Some(follower) = ticket.follower.upgrade() {
                            follower.gap(topics);
                        }
                    }
                }
            }
            give(together);
        }
    }
}

/// Messages for one follower, with their topics.
type Together = (Ticket, Vec<(Arc<str>, Bytes)>);

fn give(together: Option<Together>) {
    if let Some((ticket, mut messages)) = together
        && let Some(follower) = ticket.follower.upgrade()
    {
        follower.receive(&mut messages);
    }
}
