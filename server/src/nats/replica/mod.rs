//! A state that all nodes hold alike: each applies the same commands in the same order.
//!
//! ```text
//! call ──▶ line ──frame──▶ log (a stream) ──every node, in one order──▶ ledger ──▶ machine
//!   ▲                                                                     │
//!   └───────────────── the outcome, when the own frame comes back ◀───────┘
//!                       image (a stream) ◀── now and then; the log before it is purged
//! ```
//!
//! What comes back is stored, so what resolves is as durable as JetStream keeps it. A [`Replica`] is one *instance*: its
//! frames are numbered, and the ledger takes each once and in order, however often it is sent. So after a lost connection
//! everything that did not come back is sent again, and nothing is done twice.
//!
//! Each frame renews its instance's lease. One that was not heard of for that long is ended by whoever says so first, and
//! what it held is let go. If it lives after all, it begins as another instance, and asserts what it holds.
//!
//! In: a [`Machine`], commands. Out: their outcomes, and hints of what other instances did. Knows neither devices nor
//! channels.

mod driver;
mod feed;
mod frame;
mod ledger;
mod line;
mod machine;
mod options;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Nats;
use crate::engine::Outage;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

use driver::Driver;
use frame::Entry;
use ledger::Ledger;
use line::{Line, Read, Tell, Waiting};
use streams::Streams;

pub(super) use frame::Instance;
pub(super) use ledger::Outcome;
pub(super) use machine::{Listener, Machine};
pub use options::NatsReplicaOptions;

/// What is sent at once holds so many bytes, unless one command is larger.
const FRAME: usize = 256 << 10;
/// What a frame needs beside its entries.
const HEAD: usize = 256;

type Resolving<R> = BoxFuture<'static, Result<R, StoreError>>;

/// One node's part of it. Ends with its drop, after which the others let go what it held.
pub(super) struct Replica<M: Machine> {
    shared: Arc<Shared<M>>,
    ended: watch::Receiver<bool>,
    _end: DropGuard,
}

struct Shared<M: Machine> {
    state: Mutex<State<M>>,
    /// Something waits to be sent.
    wake: Notify,
    options: NatsReplicaOptions,
    max_pending: usize,
    max_pending_bytes: usize,
    outage: Outage,
    link: Arc<super::link::Link>,
}

struct State<M: Machine> {
    ledger: Ledger<M>,
    line: Line<M>,
    /// The ledger is as far as the log was when it was looked at last.
    is_loaded: bool,
    /// Why nothing can be done now.
    refusing: Option<StoreError>,
    /// When each instance was last heard of, by this node's clock.
    heard: std::collections::HashMap<Instance, Instant>,
}

impl<M: Machine> Replica<M> {
    /// Begins to follow the log of this name. Must be called within a tokio runtime.
    ///
    /// `opening` says what has to be done first, by what the machine is when it has been read.
    pub(super) fn start(
        nats: &Nats,
        name: &'static str,
        options: NatsReplicaOptions,
        listener: Arc<dyn Listener<M>>,
        opening: impl Fn(&M) -> Vec<M::Command> + Send + Sync + 'static,
    ) -> Self {
        let link_options = &nats.link.options;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                ledger: Ledger::new(),
                line: Line::new(rand::random()),
                is_loaded: false,
                refusing: None,
                heard: std::collections::HashMap::new(),
            }),
            wake: Notify::new(),
            max_pending: link_options.max_pending,
            max_pending_bytes: link_options.max_pending_bytes,
            outage: link_options.outage,
            options,
            link: Arc::clone(&nats.link),
        });
        let end = CancellationToken::new();
        let (tell_end, ended) = watch::channel(false);
        let streams = Streams::new(&nats.link, &nats.names, name);
        let driver = Driver::new(Arc::clone(&shared), streams, listener, Box::new(opening), end.clone());
        tokio::spawn(async move {
            driver.run().await;
            tell_end.send_replace(true);
        });
        Self { shared, ended, _end: end.drop_guard() }
    }

    /// Does something at all nodes. It is done in the order of the calls, whatever becomes of the future. While NATS is
    /// away for long it resolves to [`StoreError::Timeout`], and may be done yet; or it waits, with [`Outage::Buffer`].
    pub(super) fn call(&self, command: M::Command) -> Resolving<M::Output> {
        Self::output(self.enter(&Entry::Do(command), Waiting::Entry))
    }

    /// As [`call`](Self::call), and once it is in line it waits for what comes of it, however long that takes.
    pub(super) fn call_patiently(&self, command: M::Command) -> Resolving<M::Output> {
        Self::output(self.enter(&Entry::Do(command), Waiting::Patient))
    }

    fn output(called: Resolving<Outcome<M>>) -> Resolving<M::Output> {
        async move {
            match called.await? {
                Outcome::Done(output) => Ok(output),
                // A command is answered by nothing else.
                _ => Err(StoreError::Closed),
            }
        }
        .boxed()
    }

    /// Ends the instances that were not heard of for the time of their lease. Each that this call ended gives what came
    /// of it.
    pub(super) fn end_silent(&self, now: Timestamp) -> Resolving<Vec<M::Output>> {
        let calls: Vec<_> = self
            .silent()
            .into_iter()
            .map(|(who, heard)| {
                let end = Entry::<M::Command>::End { who, heard: Some(heard), now };
                self.enter(&end, Waiting::Entry)
            })
            .collect();
        async move {
            let mut outputs = Vec::new();
            for call in calls {
                if let Outcome::Ended(Some(output)) = call.await? {
                    outputs.push(output);
                }
            }
            Ok(outputs)
        }
        .boxed()
    }

    /// Who was not heard of for too long, and when by the log.
    fn silent(&self) -> Vec<(Instance, u64)> {
        let state = self.shared.state.lock();
        if !state.is_loaded || state.refusing.is_some() {
            return Vec::new();
        }
        let lease = self.shared.options.lease;
        let is_silent = |who: &Instance| state.heard.get(who).is_some_and(|heard| heard.elapsed() >= lease);
        let is_here = |who: &Instance| *who == state.line.here || Some(*who) == state.line.known();
        state.ledger.instances().filter(|(who, _)| !is_here(who) && is_silent(who)).collect()
    }

    /// Looks at the state as it is between the calls before this one and those behind it.
    pub(super) fn read<R: Send + 'static>(
        &self,
        read: impl FnOnce(&M) -> Result<R, StoreError> + Send + 'static,
    ) -> Resolving<R> {
        let (tell, told) = oneshot::channel();
        let read: Read<M> = Box::new(move |machine| {
            // Nobody may wait any more.
            let _ = tell.send(machine.and_then(read));
        });
        self.shared.read(read);
        async move { told.await.unwrap_or(Err(StoreError::Closed)) }.boxed()
    }

    /// Whether what is called while NATS is away waits for it.
    pub(super) fn holds(&self) -> bool {
        matches!(self.shared.outage, Outage::Buffer { .. })
    }

    /// Looks at the state as it is now, which other calls may wait to change.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.shared.state.lock().ledger.machine)
    }

    /// Resolves after the drop, when the others were told that this instance has ended, or that could not be done within
    /// a moment.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        async move {
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    fn enter(&self, entry: &Entry<M::Command>, how: fn(Tell<M>) -> Waiting<M>) -> Resolving<Outcome<M>> {
        let (tell, told) = oneshot::channel();
        let tell: Tell<M> = Box::new(move |outcome| {
            let _ = tell.send(outcome);
        });
        self.shared.enter(entry, how(tell));
        async move { told.await.unwrap_or(Err(StoreError::Closed)) }.boxed()
    }
}

impl<M: Machine> Shared<M> {
    /// Puts something in line, or says why not.
    fn enter(&self, entry: &Entry<M::Command>, waiting: Waiting<M>) {
        let text = match serde_json::to_vec(entry) {
            Ok(text) => text,
            Err(error) => return waiting.fail(&StoreError::Unavailable(error.to_string())),
        };
        let most = self.link.client().max_payload().saturating_sub(HEAD);
        if text.len() > most {
            return waiting.fail(&StoreError::TooLarge { bytes: text.len(), limit: most });
        }
        let mut state = self.state.lock();
        if let Err(error) = self.admit(&state, text.len()) {
            drop(state);
            return waiting.fail(&error);
        }
        state.line.push(&text, waiting);
        drop(state);
        self.wake.notify_one();
    }

    /// Puts something in line that other nodes wait for, however much is there, also while nothing can be done.
    fn enter_surely(&self, entry: &Entry<M::Command>) {
        match serde_json::to_vec(entry) {
            Ok(text) => {
                self.state.lock().line.push(&text, Waiting::Nobody);
                self.wake.notify_one();
            }
            Err(error) => tracing::error!(%error, "an entry cannot be written"),
        }
    }

    fn admit(&self, state: &State<M>, bytes: usize) -> Result<(), StoreError> {
        let (mut calls, mut most) = (self.max_pending, self.max_pending_bytes);
        if let Some(error) = &state.refusing {
            match self.outage {
                Outage::Buffer { messages, bytes } => (calls, most) = (messages, bytes),
                Outage::Refuse => return Err(error.clone()),
            }
        }
        if state.line.calls() >= calls || state.line.bytes() + bytes > most {
            return Err(match &state.refusing {
                Some(error) => error.clone(),
                None => StoreError::Overloaded,
            });
        }
        Ok(())
    }

    fn read(&self, read: Read<M>) {
        let mut state = self.state.lock();
        let State { ledger, line, is_loaded, refusing, .. } = &mut *state;
        if line.is_empty() && *is_loaded {
            return read(Ok(&ledger.machine));
        }
        if !*is_loaded
            && line.is_empty()
            && let Some(error) = refusing
        {
            return read(Err(error.clone()));
        }
        if line.calls() >= self.max_pending {
            return read(Err(StoreError::Overloaded));
        }
        line.push_read(read);
        drop(state);
        self.wake.notify_one();
    }
}

/// How long a store that ends tries to say so.
const LAST: Duration = Duration::from_secs(1);
