//! The sessions of one endpoint, by their names.
//!
//! In: requests for a session. Out: exchanges, old and new. Bounded: a request can make a session and leave, and
//! nobody else would count those.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exchange::Exchange;

/// The sessions of one endpoint.
pub(crate) struct Table {
    /// How many there may be.
    most: usize,
    /// How long a name is kept for a client that has not been told of its session's end.
    lingering: Duration,
    sessions: Mutex<HashMap<Arc<str>, Arc<Exchange>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// There are as many sessions as there may be; or no name could be made for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Table {
    /// `most` sessions. A name is kept for `lingering` after its session has ended with something to say, in one of
    /// `tasks` and until `stop`.
    pub(crate) fn new(
        most: usize,
        lingering: Duration,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { most, lingering, sessions: Mutex::default(), tasks, stop })
    }

    /// The session called `sid`.
    pub(crate) fn find(&self, sid: &str) -> Option<Arc<Exchange>> {
        self.sessions.lock().get(sid).cloned()
    }

    /// A new session, with a name that nobody can guess: 16 bytes of the system's randomness.
    pub(crate) fn open(self: &Arc<Self>, most_bytes: usize) -> Result<(Arc<Exchange>, Entry), Full> {
        let mut random = [0; 16];
        OsRng.try_fill_bytes(&mut random).map_err(|error| {
            tracing::error!(%error, "the operating system gave no randomness for a session's name");
            Full
        })?;
        let sid: Arc<str> = BASE64_URL_SAFE_NO_PAD.encode(random).into();
        let exchange = Arc::new(Exchange::new(most_bytes));
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.most {
            return Err(Full);
        }
        sessions.insert(Arc::clone(&sid), Arc::clone(&exchange));
        let entry = Entry { table: Arc::downgrade(self), exchange: Arc::clone(&exchange), sid };
        Ok((exchange, entry))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    fn remove(&self, sid: &str) {
        self.sessions.lock().remove(sid);
    }
}

/// A session's place in its table. Dropped, it closes the exchange if nobody has, and the name is forgotten; or
/// lingers when the exchange was closed with something to say.
pub(crate) struct Entry {
    table: Weak<Table>,
    exchange: Arc<Exchange>,
    sid: Arc<str>,
}

impl Entry {
    /// The session's name.
    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.exchange.close(None);
        let Some(table) = self.table.upgrade() else { return };
        if !self.exchange.has_last() || tokio::runtime::Handle::try_current().is_err() {
            return table.remove(&self.sid);
        }
        let (exchange, sid) = (Arc::clone(&self.exchange), Arc::clone(&self.sid));
        let (weak, stop, lingering) = (Weak::clone(&self.table), table.stop.clone(), table.lingering);
        table.tasks.spawn(async move {
            // Whichever comes first, there is nothing left to say then.
            let _ = stop.run_until_cancelled(tokio::time::timeout(lingering, exchange.told())).await;
            exchange.forget();
            if let Some(table) = weak.upgrade() {
                table.remove(&sid);
            }
        });
    }
}
