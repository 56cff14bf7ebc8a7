//! The requests that are not done: which exist, when they run out of time, which message each waits for.
//!
//! In: a request with its deadline; the uuid it was sent under. Out: each request once, by its id, by its
//! uuid or when its time is over. Removing it here is what makes an answer count exactly once.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::event::CallId;
use crate::channel::Channel;

/// Where a request is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// Waits to be sent.
    Queued,
    /// Sent under this uuid.
    Sent(Arc<str>),
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
}

#[derive(Debug)]
struct Call {
    deadline: Option<Duration>,
    place: Place,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    open: BTreeMap<CallId, Call>,
    deadlines: BTreeSet<(Duration, CallId)>,
    sent: HashMap<Arc<str>, Sent>,
    /// The subscribe messages among those that were sent, oldest first.
    subscribes: HashMap<Channel, VecDeque<Arc<str>>>,
    in_flight: usize,
    last: u64,
}

impl Calls {
    /// A new request, which waits in the queue.
    pub(super) fn open(&mut self, deadline: Option<Duration>) -> CallId {
        self.last += 1;
        let call = CallId(self.last);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, call));
        }
        self.open.insert(call, Call { deadline, place: Place::Queued });
        call
    }

    /// Takes a request out, with the place where it was; `None` when it is done already.
    pub(super) fn close(&mut self, call: CallId) -> Option<Place> {
        let Call { deadline, place } = self.open.remove(&call)?;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, call));
        }
        if matches!(place, Place::Sent(_)) {
            self.in_flight -= 1;
        }
        Some(place)
    }

    /// The requests were sent as the message `uuid`.
    pub(super) fn send(&mut self, uuid: &Arc<str>, sent: Sent) {
        let calls = match &sent {
            Sent::Call(call) | Sent::Unsubscribe(call) => std::slice::from_ref(call),
            Sent::Subscribe { calls, .. } => calls,
        };
        for call in calls {
            if let Some(call) = self.open.get_mut(call) {
                if !matches!(call.place, Place::Sent(_)) {
                    self.in_flight += 1;
                }
                call.place = Place::Sent(Arc::clone(uuid));
            }
        }
        if let Sent::Subscribe { channel, .. } = &sent {
            self.subscribes.entry(channel.clone()).or_default().push_back(Arc::clone(uuid));
        }
        self.sent.insert(Arc::clone(uuid), sent);
    }

    /// A subscribe was sent, but its connection was lost: the renewal of its channel will resolve it.
    pub(super) fn renew(&mut self, call: CallId, channel: &Channel) {
        if let Some(call) = self.open.get_mut(&call) {
            if matches!(call.place, Place::Sent(_)) {
                self.in_flight -= 1;
            }
            call.place = Place::Renewal(channel.clone());
        }
    }

    /// What the message waits for, which now came.
    pub(super) fn take_sent(&mut self, uuid: &str) -> Option<Sent> {
        let sent = self.sent.remove(uuid)?;
        if let Sent::Subscribe { channel, .. } = &sent
            && let Some(uuids) = self.subscribes.get_mut(channel)
        {
            uuids.retain(|other| **other != *uuid);
            if uuids.is_empty() {
                self.subscribes.remove(channel);
            }
        }
        Some(sent)
    }

    /// The oldest subscribe message for this channel that waits for its answer.
    pub(super) fn take_subscribe(&mut self, channel: &str) -> Option<Sent> {
        let uuid = Arc::clone(self.subscribes.get(channel)?.front()?);
        self.take_sent(&uuid)
    }

    /// What the message waits for.
    pub(super) fn sent_mut(&mut self, uuid: &str) -> Option<&mut Sent> {
        self.sent.get_mut(uuid)
    }

    /// Whether a request waits for the answer to a subscribe message of that time.
    pub(super) fn asks_for(&self, channel: &Channel, time: u64) -> bool {
        let mut uuids = self.subscribes.get(channel).into_iter().flatten();
        uuids.any(|uuid| match self.sent.get(uuid) {
            Some(Sent::Subscribe { since, calls, .. }) => *since == time && !calls.is_empty(),
            _ => false,
        })
    }

    /// Everything that waits for an answer, which will not come: the connection is gone. In the order
    /// in which the requests were made.
    pub(super) fn take_all_sent(&mut self) -> Vec<Sent> {
        self.subscribes.clear();
        let mut sent: Vec<Sent> = self.sent.drain().map(|(_, sent)| sent).collect();
        sent.sort_by_key(|sent| match sent {
            Sent::Call(call) | Sent::Unsubscribe(call) => Some(*call),
            Sent::Subscribe { calls, .. } => calls.first().copied(),
        });
        sent
    }

    /// How many requests wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn deadline(&self, call: CallId) -> Option<Duration> {
        self.open.get(&call)?.deadline
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A request whose time is over.
    pub(super) fn expired(&self, now: Duration) -> Option<CallId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, call)| *call)
    }

    /// Every request that is not done, in order.
    pub(super) fn all(&self) -> Vec<CallId> {
        self.open.keys().copied().collect()
    }
}
