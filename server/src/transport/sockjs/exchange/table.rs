//! The sessions of one endpoint that HTTP requests carry, by their names.
//!
//! In: names that clients chose. Out: exchanges. Bounded: a request can make a session and leave, and nobody
//! else would count those.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::carrier::Carrier;
use super::{Exchange, Limits};

/// The sessions of one endpoint.
pub(crate) struct Table {
    limits: Limits,
    /// How many there may be.
    most: usize,
    sessions: Mutex<HashMap<Box<str>, Arc<Exchange>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// There are as many sessions as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Table {
    /// Runs what outlives a session in `tasks`, until `stop`.
    pub(crate) fn new(limits: Limits, most: usize, tasks: TaskTracker, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { limits, most, sessions: Mutex::default(), tasks, stop })
    }

    /// The session called `name`.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Exchange>> {
        self.sessions.lock().get(name).cloned()
    }

    /// The session called `name`; a new one, whose transport is to be run, when there is none.
    pub(crate) fn find_or_open(
        self: &Arc<Self>,
        name: &str,
    ) -> Result<(Arc<Exchange>, Option<Carrier>), Full> {
        let mut sessions = self.sessions.lock();
        if let Some(known) = sessions.get(name).filter(|known| !known.is_gone()) {
            return Ok((Arc::clone(known), None));
        }
        if sessions.len() >= self.most {
            return Err(Full);
        }
        let exchange = Arc::new(Exchange::new(self.limits));
        sessions.insert(name.into(), Arc::clone(&exchange));
        let entry = Entry { table: Arc::downgrade(self), name: name.into() };
        Ok((Arc::clone(&exchange), Some(Carrier::new(exchange, entry))))
    }
}

/// A session's place in its table.
pub(super) struct Entry {
    table: Weak<Table>,
    name: Box<str>,
}

impl Entry {
    /// Removes it now.
    pub(super) fn remove(&self, exchange: &Arc<Exchange>) {
        let Some(table) = self.table.upgrade() else { return };
        let mut sessions = table.sessions.lock();
        if sessions.get(&self.name).is_some_and(|known| Arc::ptr_eq(known, exchange)) {
            sessions.remove(&self.name);
        }
    }

    /// Keeps it for as long as a client may take to come and be told of the close.
    pub(super) fn linger(&mut self, exchange: &Arc<Exchange>) {
        let Some(table) = self.table.upgrade() else { return };
        let entry = Self { table: Weak::clone(&self.table), name: std::mem::take(&mut self.name) };
        let exchange = Arc::clone(exchange);
        let (stop, timeout) = (table.stop.clone(), table.limits.timeout);
        let lingering = async move {
            stop.run_until_cancelled(tokio::time::sleep(timeout)).await;
            exchange.forget();
            entry.remove(&exchange);
        };
        if tokio::runtime::Handle::try_current().is_ok() {
            table.tasks.spawn(lingering);
        }
    }
}
