//! Several publications, one write: what a burst publishes is held until the burst is over.
//!
//! In: channels with something pending. Out: each flushed once, at the end of the burst that this thread is in, or at once
//! when it is in none. A burst is one synchronous stretch of a task, so it never spans an await and never moves to another
//! thread. Must not know what is sent to one socket alone, but that it comes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// The most that may be pending for one channel before it is flushed within a burst, in bytes.
const MOST: usize = 64 * 1024;

/// Beyond so many channels, one is looked up by a hash: a broadcast is for all that are followed.
const FEW: usize = 16;

thread_local! {
    /// This thread's burst, while there is one.
    static BURST: RefCell<Option<Burst>> = const { RefCell::new(None) };
}

/// What is to be written at the end of a burst.
#[derive(Default)]
struct Burst {
    channels: Channels,
    /// What is sent to one socket alone stands behind what was published before.
    is_ordered: bool,
}

/// Channels, each once, in the order in which they came.
#[derive(Default)]
struct Channels {
    all: Vec<Arc<dyn Corked>>,
    /// Where they are, when they are more than a few.
    known: HashSet<usize>,
}

impl Channels {
    fn insert<T: Corked + 'static>(&mut self, entry: &Arc<T>) {
        let place = Arc::as_ptr(entry).addr();
        let is_new = match self.all.len() {
            0..FEW => self.places().all(|known| known != place),
            FEW => {
                self.known = self.places().collect();
                self.known.insert(place)
            }
            _ => self.known.insert(place),
        };
        if is_new {
            self.all.push(Arc::clone(entry) as Arc<dyn Corked>);
        }
    }

    fn places(&self) -> impl Iterator<Item = usize> {
        self.all.iter().map(|entry| Arc::as_ptr(entry).addr())
    }

    fn flush(self) {
        for channel in self.all {
            channel.flush();
        }
    }
}

/// What may have something pending.
pub(super) trait Corked: Send + Sync {
    fn pending_bytes(&self) -> usize;
    fn flush(&self);
}

/// Runs `burst`, then flushes what it published, also when it panics.
pub(crate) fn corked<R>(burst: impl FnOnce() -> R) -> R {
    run(false, burst)
}

/// The same, and before it sends something to one socket alone, what it has published is flushed.
pub(crate) fn together<R>(burst: impl FnOnce() -> R) -> R {
    run(true, burst)
}

fn run<R>(is_ordered: bool, burst: impl FnOnce() -> R) -> R {
    /// Ends the burst, or what was begun within one.
    struct Uncork {
        outer: Option<bool>,
    }

    impl Drop for Uncork {
        fn drop(&mut self) {
            let Some(was_ordered) = self.outer else {
                BURST.take().unwrap_or_default().channels.flush();
                return;
            };
            BURST.with_borrow_mut(|burst| {
                if let Some(burst) = burst {
                    burst.is_ordered = was_ordered;
                }
            });
        }
    }

    let outer = BURST.with_borrow_mut(|current| {
        let outer = current.as_ref().map(|burst| burst.is_ordered);
        current.get_or_insert_default().is_ordered |= is_ordered;
        outer
    });
    let _uncork = Uncork { outer };
    burst()
}

/// Flushes a channel at the end of this thread's burst, or at once.
pub(super) fn flush_soon<T: Corked + 'static>(entry: &Arc<T>) {
    let now = BURST.with_borrow_mut(|burst| match burst {
        Some(Burst { channels, .. }) if entry.pending_bytes() < MOST => {
            channels.insert(entry);
            false
        }
        _ => true,
    });
    if now {
        entry.flush();
    }
}

/// Flushes what this thread's burst has published so far. What is served by another thread may still be on its way.
pub(crate) fn flush_published() {
    // It comes from what is dropped, too, perhaps when the thread ends.
    let channels = BURST.try_with(|burst| {
        let burst = &mut *burst.borrow_mut();
        burst.as_mut().map(|burst| std::mem::take(&mut burst.channels))
    });
    channels.ok().flatten().unwrap_or_default().flush();
}

/// The same in a burst that is [`together`], before something is sent to one socket alone. Nobody may call it who holds a
/// channel's followers while something is pending for them.
pub(crate) fn before_others() {
    let is_ordered = BURST.try_with(|burst| burst.borrow().as_ref().is_some_and(|burst| burst.is_ordered));
    if is_ordered == Ok(true) {
        flush_published();
    }
}
