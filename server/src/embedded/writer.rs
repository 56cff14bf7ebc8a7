//! The one thread that writes: what came meanwhile goes to the disk in one piece, and all of it is answered at once.
//!
//! ```text
//! callers ──submit──▶ jobs, bounded ──all that wait──▶ Disk::write ──▶ each job's `done`
//!                        ▲                                │ fails
//!                        └── refused until ◀── reopen, restore ◀─┘
//! ```
//!
//! In: jobs, in an order that their callers give them. Out: each job's outcome, in that order. Knows nothing of
//! what is written. When a write fails, all that waits fails with it, and what was kept is read again: memory
//! is never ahead of the disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::contents::Contents;
use super::disk::Disk;
use super::options::EmbeddedOptions;
use super::record::Write;
use crate::store::StoreError;

/// How often a full disk is looked at, and a failed one tried.
const RETRY: Duration = Duration::from_millis(250);
/// How often a disk that is written to is asked for room.
const ROOM: Duration = Duration::from_millis(50);
/// So many bytes go to the disk at once.
const MOST_BYTES: usize = 4 << 20;

/// Called with what became of a job, on the writer's thread and without any lock.
pub(super) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A job that was handed over.
#[must_use]
pub(super) struct Submitted {
    /// Counts jobs.
    pub(super) ticket: u64,
    settled: Option<(Done, Result<(), StoreError>)>,
}

impl Submitted {
    /// Tells what was decided at once, if it was. Call it without any lock.
    pub(super) fn settle(self) {
        if let Some((done, outcome)) = self.settled {
            done(outcome);
        }
    }
}

/// Somebody whose memory follows the disk.
pub(super) trait Restore: Send + Sync {
    /// Takes on what was kept. Returns what has to be written to put right what was not whole.
    fn restore(&self, contents: &mut Contents) -> Vec<Write>;
}

struct Job {
    writes: Vec<Write>,
    bytes: usize,
    done: Done,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// How many jobs there were.
    tickets: u64,
    /// Of all that is not answered yet.
    operations: usize,
    bytes: usize,
    is_idle: bool,
    is_full: bool,
    failed: Option<StoreError>,
    is_closed: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// How many jobs have an outcome.
    settled: AtomicU64,
    max_operations: usize,
    max_bytes: usize,
}

/// A handle to the thread, which ends when this is dropped and all that waited is written.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// A writer whose jobs wait until it is started.
    pub(super) fn new(options: &EmbeddedOptions) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            settled: AtomicU64::new(0),
            max_operations: options.max_pending,
            max_bytes: options.max_pending_bytes,
        });
        Self { shared, thread: Mutex::new(None) }
    }

    /// Begins to write. After a failure the followers are restored, in their order.
    pub(super) fn start(&self, disk: impl Disk, followers: Vec<Weak<dyn Restore>>) -> std::io::Result<()> {
        self.shared.state.lock().is_full = !disk.has_room();
        let thread = thread::Builder::new().name("tokensocket-store".to_owned()).spawn({
            let shared = Arc::clone(&self.shared);
            move || run(&shared, disk, &followers)
        })?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Whether an operation may be begun. Call it, change the memory and [`submit`](Self::submit) under one lock.
    pub(super) fn admit(&self, needs_room: bool) -> Result<(), StoreError> {
        let state = self.shared.state.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        if state.is_closed {
            return Err(StoreError::Closed);
        }
        if needs_room && state.is_full {
            return Err(StoreError::DiskFull);
        }
        if state.operations >= self.shared.max_operations || state.bytes >= self.shared.max_bytes {
            return Err(StoreError::Overloaded);
        }
        Ok(())
    }

    /// Hands over what has to be kept, behind all that was handed over before. Without writes: `done` is called when
    /// all before it is kept. What is decided at once comes back, for the caller to settle without its lock.
    pub(super) fn submit(&self, writes: Vec<Write>, done: Done) -> Submitted {
        let bytes = writes.iter().map(Write::bytes).sum();
        let mut state = self.shared.state.lock();
        let outcome = if let Some(error) = &state.failed {
            Some(Err(error.clone()))
        } else if state.is_closed {
            Some(Err(StoreError::Closed))
        } else if writes.is_empty() && state.operations == 0 {
            Some(Ok(()))
        } else {
            None
        };
        if let Some(outcome) = outcome {
            return Submitted { ticket: state.tickets, settled: Some((done, outcome)) };
        }
        state.tickets += 1;
        let ticket = state.tickets;
        state.operations += 1;
        state.bytes += bytes;
        state.jobs.push_back(Job { writes, bytes, done });
        let is_idle = std::mem::take(&mut state.is_idle);
        drop(state);
        if is_idle {
            self.shared.wake.notify_one();
        }
        Submitted { ticket, settled: None }
    }

    /// Whether the job of this ticket, and all before it, have been settled.
    pub(super) fn is_settled(&self, ticket: u64) -> bool {
        self.shared.settled.load(Ordering::Acquire) >= ticket
    }

    /// Writes what waits, then ends. Blocks until then.
    pub(super) fn close(&self) {
        {
            let mut state = self.shared.state.lock();
            state.is_closed = true;
            state.is_idle = false;
        }
        self.shared.wake.notify_one();
        let thread = self.thread.lock().take();
        // The last handle may go within a `done`.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(shared: &Shared, mut disk: impl Disk, followers: &[Weak<dyn Restore>]) {
    let mut checked = Instant::now();
    let mut writes = Vec::new();
    let mut jobs: Vec<(usize, Done)> = Vec::new();
    loop {
        let mut state = shared.state.lock();
        while state.jobs.is_empty() {
            if state.is_closed {
                return;
            }
            state.is_idle = true;
            if state.failed.is_some() {
                // Nothing is taken until all is as it was.
                shared.wake.wait_for(&mut state, RETRY);
                if !state.is_closed {
                    drop(state);
                    try_again(shared, &mut disk, followers);
                    state = shared.state.lock();
                }
            } else if state.is_full {
                shared.wake.wait_for(&mut state, RETRY);
                state.is_full = !disk.has_room();
            } else {
                shared.wake.wait(&mut state);
            }
        }
        let mut bytes = 0;
        while bytes < MOST_BYTES
            && let Some(job) = state.jobs.pop_front()
        {
            bytes += job.bytes;
            writes.extend(job.writes);
            jobs.push((job.bytes, job.done));
        }
        drop(state);
        if checked.elapsed() > ROOM {
            checked = Instant::now();
            let is_full = !disk.has_room();
            shared.state.lock().is_full = is_full;
        }
        let outcome = if writes.is_empty() { Ok(()) } else { disk.write(&mut writes) };
        writes.clear();
        if let Err(error) = &outcome {
            tracing::error!(%error, "the store cannot write; it refuses until it can");
            let mut state = shared.state.lock();
            state.failed = Some(error.clone());
            let waiting = std::mem::take(&mut state.jobs);
            drop(state);
            jobs.extend(waiting.into_iter().map(|job| (job.bytes, job.done)));
        }
        {
            let mut state = shared.state.lock();
            state.operations -= jobs.len();
            state.bytes -= jobs.iter().map(|(bytes, _)| bytes).sum::<usize>();
        }
        shared.settled.fetch_add(jobs.len() as u64, Ordering::Release);
        for (_, done) in jobs.drain(..) {
            done(outcome.clone());
        }
    }
}

/// Opens the disk again, and lets everybody's memory follow it.
fn try_again(shared: &Shared, disk: &mut impl Disk, followers: &[Weak<dyn Restore>]) {
    let restored = disk.reopen().and_then(|(mut contents, damage)| {
        for damage in damage {
            tracing::error!(?damage, "the store was damaged");
        }
        let followers = followers.iter().filter_map(Weak::upgrade);
        let mut writes: Vec<Write> = followers.flat_map(|follower| follower.restore(&mut contents)).collect();
        disk.write(&mut writes)?;
        disk.restored()
    });
    let mut state = shared.state.lock();
    match restored {
        Ok(()) => {
            tracing::info!("the store can write again");
            state.failed = None;
        }
        Err(error) => state.failed = Some(error),
    }
}
