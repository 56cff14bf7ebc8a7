//! What is kept comes in the order of its offsets, once.
//!
//! A stream publishes each message again once it is kept. Servers before 2.9.16 do so for several publishers at a time, so
//! that a message may overtake the one before it; and where a channel is followed by name and by a pattern, each comes
//! twice. In: messages as they come, the time. Out: the same in order. What does not come in a moment is not waited for:
//! who reads histories closes that hole. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokensocket_protocol::{Channel, Epoch};

use super::frame::Batch;

/// For how long a message waits for the one before it.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// So many wait, at most.
const MOST: usize = 256;
/// For how long it is remembered what came last on a channel.
const REMEMBERED: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct Order {
    epoch: Epoch,
    last: u64,
    /// By their first offsets.
    held: BTreeMap<u64, Batch>,
    when: Instant,
}

impl Order {
    /// Takes what is next of what is held.
    fn next(&mut self, batches: &mut Vec<Batch>) {
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() <= self.last + 1) {
            let batch = first.remove();
            if batch.first == self.last + 1 {
                self.last = batch.last();
                batches.push(batch);
            }
        }
    }

    /// Waits no longer for what is missing.
    fn release(&mut self, batches: &mut Vec<Batch>) {
        for batch in std::mem::take(&mut self.held).into_values() {
            if batch.first > self.last {
                self.last = batch.last();
                batches.push(batch);
            }
        }
    }
}

/// The order of each channel.
#[derive(Debug, Default)]
pub(super) struct Orders {
    channels: HashMap<Channel, Order>,
    /// Channels of which something is held.
    waiting: Vec<Channel>,
    pruned: Option<Instant>,
}

impl Orders {
    /// A message has come; says what is to be handed on now.
    pub(super) fn take(&mut self, channel: &Channel, batch: Batch, now: Instant) -> Vec<Batch> {
        self.prune(now);
        let mut batches = Vec::with_capacity(1);
        let Some(order) = self.channels.get_mut(channel) else {
            let order =
                Order { epoch: batch.epoch.clone(), last: batch.last(), held: BTreeMap::new(), when: now };
            self.channels.insert(channel.clone(), order);
            return vec![batch];
        };
        if order.epoch != batch.epoch {
            order.release(&mut batches);
            (order.epoch, order.last) = (batch.epoch.clone(), batch.first - 1);
        }
        if order.held.is_empty() {
            order.when = now;
        }
        if batch.first > order.last + 1 {
            if order.held.is_empty() {
                self.waiting.push(channel.clone());
            }
            order.held.insert(batch.first, batch);
            if order.held.len() > MOST {
                order.release(&mut batches);
            }
        } else if batch.first == order.last + 1 {
            order.last = batch.last();
            batches.push(batch);
            order.next(&mut batches);
        }
        batches
    }

    /// Says what was held for too long.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(Channel, Vec<Batch>)> {
        let mut overdue = Vec::new();
        let channels = &mut self.channels;
        self.waiting.retain(|channel| {
            let Some(order) = channels.get_mut(channel).filter(|order| !order.held.is_empty()) else {
                return false;
            };
            if now.saturating_duration_since(order.when) < PATIENCE {
                return true;
            }
            let mut batches = Vec::new();
            order.release(&mut batches);
            overdue.push((channel.clone(), batches));
            false
        });
        overdue
    }

    /// Whether anything is held.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn prune(&mut self, now: Instant) {
        if self.pruned.is_none_or(|pruned| now.saturating_duration_since(pruned) > REMEMBERED) {
            self.channels.retain(|_, order| {
                !order.held.is_empty() || now.saturating_duration_since(order.when) < REMEMBERED
            });
            self.pruned = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use tokensocket_protocol::RawJson;

    use super::super::frame::{Entry, Sent};
    use super::*;
    use crate::timestamp::Timestamp;

    fn batch(epoch: u64, first: u64, count: u64) -> Batch {
        let entry = |n: u64| Entry { at: Timestamp(n), key: None, message: RawJson::new(&n).unwrap() };
        let entries = (first..first + count).map(entry).collect();
        let sent = Sent { origin: 1, number: first };
        Batch { sent, at: Timestamp(0), behind: 0, epoch: Epoch::from_random(epoch), first, entries }
    }

    fn firsts(batches: &[Batch]) -> Vec<u64> {
        batches.iter().map(|batch| batch.first).collect()
    }

    #[test]
    fn what_overtook_waits() {
        let (mut orders, a, now) = (Orders::default(), Channel::new("a").unwrap(), Instant::now());
        let mut take = |first, count| firsts(&orders.take(&a, batch(1, first, count), now));
        assert_eq!(take(5, 2), [5], "the first that comes is where it begins");
        assert_eq!(take(8, 1), [0; 0]);
        assert_eq!(take(9, 1), [0; 0]);
        assert_eq!(take(7, 1), [7, 8, 9]);
        assert_eq!(take(8, 1), [0; 0], "what came before is passed over");
        assert_eq!(take(10, 1), [10]);
        assert!(orders.overdue(now).is_empty());
    }

    #[test]
    fn nobody_waits_for_what_does_not_come() {
        let (mut orders, a, now) = (Orders::default(), Channel::new("a").unwrap(), Instant::now());
        assert_eq!(orders.take(&a, batch(1, 1, 1), now).len(), 1);
        assert!(orders.take(&a, batch(1, 3, 1), now).is_empty());
        assert!(orders.overdue(now + PATIENCE / 2).is_empty() && orders.is_waiting());
        let overdue = orders.overdue(now + PATIENCE);
        assert_eq!((firsts(&overdue[0].1), orders.is_waiting()), (vec![3], false));
        assert!(orders.take(&a, batch(1, 5, 1), now).is_empty());
        assert_eq!(firsts(&orders.take(&a, batch(2, 1, 1), now)), [5, 1], "another epoch begins");
        assert_eq!(firsts(&orders.take(&a, batch(2, 2, 1), now)), [2]);
    }
}
