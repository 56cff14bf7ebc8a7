//! A disk: it takes records in order, syncs them in groups, and may end between any two.
//!
//! In: records, each with who waits for it. Out: the same records for the next process, as far as they were synced, and
//! perhaps some more. Knows nothing of what they mean.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokensocket_server::StoreError;
use tokio::time::sleep;

use super::broker;
use super::devices;
use crate::node::Life;
use crate::trace::Trace;

/// What a store writes.
#[derive(Clone)]
pub(crate) enum Record {
    Channel(broker::Kept),
    Device(devices::Kept),
}

/// Told when what was written is synced.
type Done = Box<dyn FnOnce() + Send>;

/// How the disk breaks its own promise, so that it is seen whether somebody notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// A crash takes the last record away, though it was synced.
    ForgetSynced,
    /// Writes are told to be synced before they are.
    SyncEarly,
}

/// How a disk fares.
#[derive(Debug, Clone)]
pub(crate) struct Care {
    /// The longest a sync takes, in milliseconds.
    pub(crate) sync: u64,
    /// The chance that a sync takes many seconds.
    pub(crate) hangs: f64,
}

/// A disk.
pub(crate) struct Disk {
    state: Mutex<State>,
    trace: Arc<Trace>,
}

struct State {
    random: fastrand::Rng,
    care: Care,
    sabotage: Option<Sabotage>,
    synced: Vec<Record>,
    waiting: Vec<(Vec<Record>, Done)>,
    syncing: bool,
    full: bool,
}

/// A disk as one process has it. When the process ends, nothing of it reaches the disk any more.
#[derive(Clone)]
pub(crate) struct Mount {
    disk: Arc<Disk>,
    life: Life,
}

impl Disk {
    pub(crate) fn new(
        random: fastrand::Rng,
        care: Care,
        sabotage: Option<Sabotage>,
        trace: Arc<Trace>,
    ) -> Arc<Self> {
        let (synced, waiting) = (Vec::new(), Vec::new());
        let state = State { random, care, sabotage, synced, waiting, syncing: false, full: false };
        Arc::new(Self { state: Mutex::new(state), trace })
    }

    /// Gives the disk to a process.
    pub(crate) fn mount(self: &Arc<Self>, life: &Life) -> Mount {
        Mount { disk: Arc::clone(self), life: life.clone() }
    }

    /// From now on there is room, or none.
    pub(crate) fn fill(&self, full: bool) {
        self.trace.note(format_args!("the disk is {}", if full { "full" } else { "empty enough" }));
        self.state.lock().full = full;
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        let state = &mut *self.state.lock();
        (state.full, state.care) = (false, Care { sync: 5, hangs: 0.0 });
    }

    /// Whether something waits to be synced.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.lock().syncing
    }

    /// The process has ended well: all that it wrote is synced.
    pub(crate) fn close(&self) {
        let state = &mut *self.state.lock();
        let waiting = std::mem::take(&mut state.waiting);
        state.synced.extend(waiting.into_iter().flat_map(|(records, _)| records));
        state.syncing = false;
    }

    /// The process is gone. Of what it had written and not synced, some may have come through.
    pub(crate) fn crash(&self) {
        let state = &mut *self.state.lock();
        let waiting = std::mem::take(&mut state.waiting);
        let unsynced: Vec<_> = waiting.into_iter().flat_map(|(records, _)| records).collect();
        let through = state.random.usize(0..=unsynced.len());
        self.trace.note(format_args!("{through} of {} unsynced records come through", unsynced.len()));
        state.synced.extend(unsynced.into_iter().take(through));
        if state.sabotage == Some(Sabotage::ForgetSynced) && through == 0 {
            state.synced.pop();
        }
        state.syncing = false;
    }
}

impl Mount {
    /// Everything that is there.
    pub(super) fn records(&self) -> Vec<Record> {
        self.disk.state.lock().synced.clone()
    }

    /// Whether anything can be written.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.disk.state.lock().full { Err(StoreError::DiskFull) } else { Ok(()) }
    }

    /// Writes records, which may be none; `done` is called when they and all before them are synced, in the order of
    /// the writes. Never, when the process ends before.
    pub(super) fn write(&self, records: Vec<Record>, done: impl FnOnce() + Send + 'static) {
        if self.life.is_over() {
            return;
        }
        let state = &mut *self.disk.state.lock();
        if state.sabotage == Some(Sabotage::SyncEarly) {
            state.waiting.push((records, Box::new(|| {})));
            tokio::spawn(async move { done() });
        } else {
            state.waiting.push((records, Box::new(done)));
        }
        if !state.syncing {
            state.syncing = true;
            tokio::spawn(self.clone().sync());
        }
    }

    /// Syncs in groups until nothing waits.
    async fn sync(self) {
        loop {
            let time = {
                let state = &mut *self.disk.state.lock();
                if state.waiting.iter().all(|(records, _)| records.is_empty()) {
                    Duration::ZERO
                } else if state.random.f64() < state.care.hangs {
                    Duration::from_millis(state.random.u64(1_000..12_000))
                } else {
                    Duration::from_millis(state.random.u64(0..=state.care.sync))
                }
            };
            let group = self.disk.state.lock().waiting.len();
            sleep(time).await;
            if self.life.is_over() {
                return;
            }
            let synced: Vec<Done> = {
                let state = &mut *self.disk.state.lock();
                let group: Vec<_> = state.waiting.drain(..group.min(state.waiting.len())).collect();
                let synced = group.into_iter().map(|(records, done)| {
                    state.synced.extend(records);
                    done
                });
                synced.collect()
            };
            // Without the lock: who is told may write again.
            for done in synced {
                done();
            }
            let state = &mut *self.disk.state.lock();
            if state.waiting.is_empty() {
                state.syncing = false;
                return;
            }
        }
    }
}
