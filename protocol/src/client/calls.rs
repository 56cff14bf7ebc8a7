//! The requests that are not done: which exist, when they run out of time, which message each waits for.
//!
//! In: a request with its deadline; the number of the message it was sent as. Out: each request once, by
//! its id, by its message or when its time is over. Removing it here is what makes an answer count exactly once.

use std::time::Duration;

use super::event::CallId;
use super::random::Number;
use super::sorted::Sorted;
use crate::channel::Channel;
use crate::message::Acknowledge;

/// Where a request is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// Waits to be sent.
    Queued,
    /// Sent as this message.
    Sent(Number),
    /// A subscribe whose connection was lost, which the renewal after the reconnect will resolve.
    Renewal(Channel),
}

/// What a message that was sent waits for.
#[derive(Debug)]
pub(super) enum Sent {
    Call(CallId),
    Unsubscribe(CallId),
    /// `since` when the channel was wanted, and all requests that the confirmation resolves: none for a
    /// subscription that is merely renewed.
    Subscribe {
        channel: Channel,
        since: u64,
        calls: Vec<CallId>,
    },
    /// Nobody waits, but a server that cannot do it now is asked again.
    Acknowledge(Acknowledge),
}

#[derive(Debug)]
struct Call {
    deadline: Option<Duration>,
    place: Place,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Sorted<CallId, Call>,
    /// No request's deadline is before that. Most requests are done long before theirs, so that it is
    /// looked for when this one has come, and not each time.
    next_deadline: Option<Duration>,
    sent: Sorted<Number, Sent>,
    in_flight: usize,
    last: u64,
}

impl Calls {
    /// A new request, which waits in the queue.
    pub(super) fn open(&mut self, deadline: Option<Duration>) -> CallId {
        self.last += 1;
        let call = CallId(self.last);
        self.next_deadline = earlier(self.next_deadline, deadline);
        self.open.push(call, Call { deadline, place: Place::Queued });
        call
    }

    /// Takes a request out, with the place where it was; `None` when it is done already.
    pub(super) fn close(&mut self, call: CallId) -> Option<Place> {
        let Call { place, .. } = self.open.remove(call)?;
        if matches!(place, Place::Sent(_)) {
            self.in_flight -= 1;
        }
        if self.open.len() == 0 {
            self.next_deadline = None;
        }
        Some(place)
    }

    /// The requests were sent as this message.
    pub(super) fn send(&mut self, message: Number, sent: Sent) {
        let calls = match &sent {
            Sent::Call(call) | Sent::Unsubscribe(call) => std::slice::from_ref(call),
            Sent::Subscribe { calls, .. } => calls,
            Sent::Acknowledge(_) => &[],
        };
        for call in calls {
            if let Some(call) = self.open.get_mut(*call) {
                if !matches!(call.place, Place::Sent(_)) {
                    self.in_flight += 1;
                }
                call.place = Place::Sent(message);
            }
        }
        self.sent.push(message, sent);
    }

    /// A subscribe was sent, but its connection was lost: the renewal of its channel will resolve it.
    pub(super) fn renew(&mut self, call: CallId, channel: &Channel) {
        if let Some(call) = self.open.get_mut(call) {
            if matches!(call.place, Place::Sent(_)) {
                self.in_flight -= 1;
            }
            call.place = Place::Renewal(channel.clone());
        }
    }

    /// What the message waits for, which now came.
    pub(super) fn take_sent(&mut self, message: Number) -> Option<Sent> {
        self.sent.remove(message)
    }

    /// The oldest subscribe message for this channel that waits for its answer.
    pub(super) fn take_subscribe(&mut self, channel: &str) -> Option<Sent> {
        let message = self.sent.iter().find_map(|(message, sent)| match sent {
            Sent::Subscribe { channel: other, .. } if other.as_str() == channel => Some(*message),
            _ => None,
        })?;
        self.take_sent(message)
    }

    /// What the message waits for.
    pub(super) fn sent_mut(&mut self, message: Number) -> Option<&mut Sent> {
        self.sent.get_mut(message)
    }

    /// Whether a request waits for the answer to a subscribe message of that time.
    pub(super) fn asks_for(&self, channel: &Channel, time: u64) -> bool {
        self.sent.iter().any(|(_, sent)| match sent {
            Sent::Subscribe { channel: other, since, calls } => {
                *since == time && !calls.is_empty() && other == channel
            }
            _ => false,
        })
    }

    /// Everything that waits for an answer, which will not come: the connection is gone. In the order
    /// in which the requests were sent.
    pub(super) fn take_all_sent(&mut self) -> impl Iterator<Item = Sent> + use<> {
        std::mem::take(&mut self.sent).into_values()
    }

    /// How many requests wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn deadline(&self, call: CallId) -> Option<Duration> {
        self.open.get(call)?.deadline
    }

    /// When to look again for a request whose time is over. There may be none then.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.next_deadline
    }

    /// The requests whose time is over, oldest first.
    pub(super) fn expired(&mut self, now: Duration) -> Vec<CallId> {
        if self.next_deadline.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut expired = Vec::new();
        self.next_deadline = None;
        for (call, Call { deadline, .. }) in self.open.iter() {
            match deadline {
                Some(deadline) if *deadline <= now => expired.push(*call),
                deadline => self.next_deadline = earlier(self.next_deadline, *deadline),
            }
        }
        expired
    }

    /// Every request that is not done, in order.
    pub(super) fn all(&self) -> Vec<CallId> {
        self.open.iter().map(|(call, _)| *call).collect()
    }
}

/// Whatever comes first, if anything does.
pub(super) fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
