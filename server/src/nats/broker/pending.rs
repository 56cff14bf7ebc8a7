//! How much is under way to NATS, and how much may be.
//!
//! In: operations, as they begin. Out: a place for each, given back at its end, or a refusal.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::broker::BrokerError;
use crate::engine::Outage;
use crate::nats::error::LinkError;
use crate::nats::options::NatsOptions;
use crate::store::StoreError;

/// What is under way.
#[derive(Debug, Default)]
struct UnderWay {
    operations: usize,
    bytes: usize,
}

/// Counts what is under way.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    under_way: Arc<Mutex<UnderWay>>,
    most: (usize, usize),
    outage: Outage,
}

/// The place of one operation.
#[derive(Debug)]
pub(super) struct Place {
    under_way: Arc<Mutex<UnderWay>>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        under_way.operations -= 1;
        under_way.bytes -= self.bytes;
    }
}

impl Pending {
    pub(super) fn new(options: &NatsOptions) -> Self {
        let most = (options.max_pending, options.max_pending_bytes);
        Self { under_way: Arc::default(), most, outage: options.outage }
    }

    /// Whether what is asked while NATS is away waits for it.
    pub(super) fn waits(&self) -> bool {
        matches!(self.outage, Outage::Buffer { .. })
    }

    /// Takes a place for an operation of so many bytes.
    pub(super) fn begin(&self, bytes: usize, is_there: bool) -> Result<Place, BrokerError> {
        let (operations_limit, bytes_limit) = match (is_there, self.outage) {
            (true, _) => self.most,
            (false, Outage::Refuse) => return Err(LinkError::Away.into()),
            (false, Outage::Buffer { messages, bytes }) => (messages, bytes),
        };
        let mut under_way = self.under_way.lock();
        if under_way.operations >= operations_limit || under_way.bytes.saturating_add(bytes) > bytes_limit {
            return Err(StoreError::Overloaded.into());
        }
        under_way.operations += 1;
        under_way.bytes += bytes;
        drop(under_way);
        Ok(Place { under_way: Arc::clone(&self.under_way), bytes })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn holds_no_more_than_it_may() {
        let buffer = Outage::Buffer { messages: 2, bytes: 10 };
        let pending = Pending::new(&NatsOptions::new().max_pending(3, 100).outage(buffer));
        let first = pending.begin(4, false).unwrap();
        assert!(pending.begin(7, false).is_err(), "too many bytes");
        let _second = pending.begin(6, false).unwrap();
        assert!(pending.begin(0, false).is_err(), "too many");
        let _third = pending.begin(50, true).unwrap();
        assert!(pending.begin(0, true).is_err());
        drop(first);
        assert!(pending.begin(0, true).is_ok());
    }

    #[test]
    fn holds_as_much_as_was_asked_for_while_nats_is_away() {
        let buffer = Outage::Buffer { messages: 3, bytes: 300 };
        let pending = Pending::new(&NatsOptions::new().max_pending(1, 100).outage(buffer));
        let waiting: Vec<_> = (0..3).map(|_| pending.begin(100, false).unwrap()).collect();
        assert!(pending.begin(0, false).is_err());
        assert!(pending.begin(0, true).is_err(), "those that waited are under way first");
        drop(waiting);
        assert!(pending.begin(100, true).is_ok());
    }

    #[test]
    fn refuses_while_nats_is_away_unless_told_otherwise() {
        let pending = Pending::new(&NatsOptions::new());
        assert!(matches!(pending.begin(1, false), Err(BrokerError::Unavailable(_))));
        assert!(pending.begin(1, true).is_ok());
    }
}
