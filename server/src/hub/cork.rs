//! Several publications, one write: what a burst publishes is held until the burst has been read.
//!
//! In: channels with something pending. Out: each flushed once, at the end of the burst that this thread
//! is in, or at once when it is in none. A burst is one synchronous stretch of a connection's task, so it
//! never spans an await and never moves to another thread.

use std::cell::RefCell;
use std::sync::Arc;

/// The most that may be pending for one channel before it is flushed within a burst, in bytes.
const MOST: usize = 64 * 1024;

thread_local! {
    /// The channels of this thread's burst, while there is one.
    static CORK: RefCell<Option<Vec<Arc<dyn Corked>>>> = const { RefCell::new(None) };
}

/// What may have something pending.
pub(super) trait Corked: Send + Sync {
    fn pending_bytes(&self) -> usize;
    fn flush(&self);
}

/// Runs `burst`, then flushes what it published, also when it panics.
pub(crate) fn corked<R>(burst: impl FnOnce() -> R) -> R {
    struct Uncork;

    impl Drop for Uncork {
        fn drop(&mut self) {
            for entry in CORK.take().unwrap_or_default() {
                entry.flush();
            }
        }
    }

    if CORK.with_borrow(Option::is_some) {
        return burst();
    }
    CORK.set(Some(Vec::new()));
    let _uncork = Uncork;
    burst()
}

/// Flushes a channel at the end of this thread's burst, or at once.
pub(super) fn flush_soon<T: Corked + 'static>(entry: &Arc<T>) {
    let now = CORK.with_borrow_mut(|cork| match cork {
        Some(waiting) if entry.pending_bytes() < MOST => {
            if !waiting.iter().any(|known| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(entry))) {
                waiting.push(Arc::clone(entry) as Arc<dyn Corked>);
            }
            false
        }
        _ => true,
    });
    if now {
        entry.flush();
    }
}
