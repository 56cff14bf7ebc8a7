//! Several publications, one write: what a burst publishes is held until the burst is over.
//!
//! In: channels with something pending. Out: each flushed once, at the end of the burst that this thread is in, or at once
//! when it is in none; and before something is sent to one socket alone, so that it stands behind what was published before.
//! A burst is one synchronous stretch of a task, so it never spans an await and never moves to another thread. Must not know
//! what is sent to one socket alone, but that it comes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

/// The most that may be pending for one channel before it is flushed within a burst, in bytes.
const MOST: usize = 64 * 1024;

/// Beyond so many channels, one is looked up by a hash: a broadcast is for all that are followed.
const FEW: usize = 16;

thread_local! {
    /// What this thread's burst has published, while there is one.
    static BURST: RefCell<Option<Channels>> = const { RefCell::new(None) };
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

/// Runs `burst`, then flushes what it published, also when it panics. One within another is a part of that.
pub(crate) fn corked<R>(burst: impl FnOnce() -> R) -> R {
    struct Uncork;

    impl Drop for Uncork {
        fn drop(&mut self) {
            BURST.take().unwrap_or_default().flush();
        }
    }

    let begins = BURST.with_borrow_mut(|current| {
        let begins = current.is_none();
        current.get_or_insert_default();
        begins
    });
    let _uncork = begins.then_some(Uncork);
    burst()
}

/// Flushes a channel at the end of this thread's burst, or at once.
pub(super) fn flush_soon<T: Corked + 'static>(entry: &Arc<T>) {
    let now = BURST.with_borrow_mut(|burst| match burst {
        Some(channels) if entry.pending_bytes() < MOST => {
            channels.insert(entry);
            false
        }
        _ => true,
    });
    if now {
        entry.flush();
    }
}

/// Flushes what this thread's burst has published so far, before something is sent to one socket alone. What is served by
/// another thread may still be on its way. Nobody may call it who holds a channel's followers while something is pending
/// for them.
pub(crate) fn flush_published() {
    // It comes from what is dropped, too, perhaps when the thread ends.
    let channels = BURST.try_with(|burst| {
        let burst = &mut *burst.borrow_mut();
        burst.as_mut().filter(|channels| !channels.all.is_empty()).map(std::mem::take)
    });
    if let Ok(Some(channels)) = channels {
        channels.flush();
    }
}
