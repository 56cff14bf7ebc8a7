//! What a node counts of its traffic, without its threads getting in each other's way.
//!
//! In: numbers of messages, from any thread, once for each burst. Out: their sums. Each thread has a cell of its own,
//! which it shares with few others.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many cells there are: more than threads that serve, on most machines.
const CELLS: usize = 16;

/// The messages of a node since it began.
#[derive(Default)]
pub(crate) struct Traffic {
    cells: [Cell; CELLS],
}

/// What some threads counted: on cache lines that no other thread writes to.
#[derive(Default)]
#[repr(align(128))]
struct Cell {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// Clients sent so many.
    pub(crate) fn received(&self, messages: usize) {
        if messages > 0 {
            self.mine().received.fetch_add(messages as u64, Ordering::Relaxed);
        }
    }

    /// So many were put on their way to clients.
    pub(crate) fn sent(&self, messages: usize) {
        if messages > 0 {
            self.mine().sent.fetch_add(messages as u64, Ordering::Relaxed);
        }
    }

    /// All that were received, and all that were sent.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.cells.iter().fold((0, 0), |(received, sent), cell| {
            (received + cell.received.load(Ordering::Relaxed), sent + cell.sent.load(Ordering::Relaxed))
        })
    }

    fn mine(&self) -> &Cell {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % CELLS;
        }
        &self.cells[MINE.with(|mine| *mine)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_is_the_sum() {
        let traffic = Traffic::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * CELLS {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        traffic.received(1);
                        traffic.sent(2);
                    }
                });
            }
        });
        assert_eq!(traffic.counts(), (32_000, 64_000));
    }
}
