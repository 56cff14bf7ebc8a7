//! Several publications, one write: what a burst publishes is held until the burst is over.
//!
//! In: channels with something pending; in a burst that is [`together`], messages for one socket alone, too. Out: each
//! flushed once, at the end of the burst that this thread is in, or at once when it is in none. A burst is one
//! synchronous stretch of a task, so it never spans an await and never moves to another thread.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::session::outbox::Overflow;
use crate::socket::Socket;

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
    /// What is for one socket alone waits for the end, too.
    is_together: bool,
    /// Those for whom something waits.
    sockets: Vec<Socket>,
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

/// The same, and what it sends to single sockets goes out behind that, in one piece for each.
pub(crate) fn together<R>(burst: impl FnOnce() -> R) -> R {
    run(true, burst)
}

fn run<R>(is_together: bool, burst: impl FnOnce() -> R) -> R {
    struct Uncork;

    impl Drop for Uncork {
        fn drop(&mut self) {
            let Burst { channels, sockets, .. } = BURST.take().unwrap_or_default();
            channels.flush();
            for socket in sockets {
                socket.outbox().uncork();
            }
        }
    }

    let is_inner = BURST.with_borrow_mut(|current| {
        let is_inner = current.is_some();
        current.get_or_insert_default().is_together |= is_together;
        is_inner
    });
    let _uncork = (!is_inner).then_some(Uncork);
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

/// Flushes what this thread's burst has published so far: before what must stand behind that.
pub(crate) fn flush_published() {
    let channels =
        BURST.with_borrow_mut(|burst| burst.as_mut().map(|burst| std::mem::take(&mut burst.channels)));
    channels.unwrap_or_default().flush();
}

/// Takes what is for a socket alone, in a burst that is [`together`]: it is sent at its end, behind what the burst has
/// published until now. `false`: it is to be sent at once. Nobody may call it who holds a channel's followers while
/// something is pending for them.
pub(crate) fn take(socket: &Socket, frame: &Bytes) -> Result<bool, Overflow> {
    let is_together = BURST.with_borrow(|burst| burst.as_ref().is_some_and(|burst| burst.is_together));
    if is_together {
        flush_published();
        if socket.outbox().push_corked(frame, 1)? {
            BURST.with_borrow_mut(|burst| {
                if let Some(burst) = burst {
                    burst.sockets.push(socket.clone());
                }
            });
        }
    }
    Ok(is_together)
}
