//! What is known of something that others may change, for as long as that counts.
//!
//! In: what was seen. Out: the same, until it has to be looked at again: soon when it was just seen for the first time,
//! since others may be changing it by what they saw before, and then less and less often. Knows nothing of NATS.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// After what time it is looked at again, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

#[derive(Debug)]
struct Seen<T> {
    what: T,
    until: Instant,
    pause: Duration,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Fresh<T>(Mutex<Option<Seen<T>>>);

impl<T: Copy> Fresh<T> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// What was seen, if that counts still.
    pub(super) fn get(&self) -> Option<T> {
        let seen = self.0.lock();
        seen.as_ref().filter(|seen| Instant::now() < seen.until).map(|seen| seen.what)
    }

    /// What was seen last, however long ago.
    pub(super) fn last(&self) -> Option<T> {
        self.0.lock().as_ref().map(|seen| seen.what)
    }

    /// It was seen to be so, as it was before or for the first time.
    pub(super) fn is_seen(&self, what: T) {
        let mut seen = self.0.lock();
        let pause = seen.as_ref().map_or(LOOK.0, |seen| (seen.pause * 2).min(LOOK.1));
        *seen = Some(Seen { what, until: Instant::now() + pause, pause });
    }

    /// Nothing is known any more: it may be gone, or has just been changed.
    pub(super) fn forget(&self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_for_a_short_while_and_then_for_longer() {
        let fresh = Fresh::new();
        assert_eq!(fresh.get(), None);
        for pause in [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map(Duration::from_millis) {
            fresh.is_seen(7);
            assert_eq!(fresh.get(), Some(7));
            let mut seen = fresh.0.lock();
            assert_eq!(seen.as_ref().map(|seen| seen.pause), Some(pause));
            let over = Instant::now();
            seen.as_mut().into_iter().for_each(|seen| seen.until = over);
        }
        assert_eq!((fresh.get(), fresh.last()), (None, Some(7)));
        fresh.forget();
        assert_eq!(fresh.last(), None);
    }
}
