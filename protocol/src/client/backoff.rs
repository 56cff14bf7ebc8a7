//! How long to wait before the next attempt to connect.
//!
//! In: a lost connection, perhaps a hint of the server, a random number. Out: a delay.

use std::time::Duration;

/// The first delay, before jitter.
pub const MIN_DELAY: Duration = Duration::from_millis(10);
/// The longest delay, before jitter.
pub const MAX_DELAY: Duration = Duration::from_secs(5);
/// The longest delay that a server's hint can ask for.
pub const MAX_HINT: Duration = Duration::from_hours(1);
const FACTOR: u32 = 5;

/// 10 ms, times 5 each time, at most 5 s, as the original clients wait; and up to half of that more, at
/// random, so that many clients of one server do not come back at the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    hint: Option<Duration>,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: MIN_DELAY, hint: None }
    }

    /// The server says how long to wait next time. It has spread its clients itself.
    pub(super) fn hint(&mut self, after: Duration) {
        self.hint = Some(after.min(MAX_HINT));
    }

    /// Authenticated: start over.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    pub(super) fn next(&mut self, random: u64) -> Duration {
        if let Some(hint) = self.hint.take() {
            return hint;
        }
        let delay = self.next;
        self.next = (delay * FACTOR).min(MAX_DELAY);
        let micros = delay.as_secs() * 1_000_000 + u64::from(delay.subsec_micros());
        delay + Duration::from_micros(random % (micros / 2 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(random: u64) -> Vec<u128> {
        let mut backoff = Backoff::new();
        (0..6).map(|_| backoff.next(random).as_millis()).collect()
    }

    #[test]
    fn grows_fivefold_up_to_five_seconds() {
        assert_eq!(delays(0), [10, 50, 250, 1250, 5000, 5000]);
    }

    #[test]
    fn jitter_adds_at_most_half() {
        for random in [1, 7, 2_500_000, u64::MAX, u64::MAX / 3] {
            for (delay, least) in delays(random).into_iter().zip(delays(0)) {
                assert!(delay >= least && delay <= least + least / 2, "{delay} for {least}");
            }
        }
    }

    #[test]
    fn a_hint_counts_once_and_has_a_limit() {
        let mut backoff = Backoff::new();
        backoff.hint(Duration::from_millis(700));
        assert_eq!(backoff.next(9).as_millis(), 700);
        assert_eq!(backoff.next(0).as_millis(), 10);
        backoff.hint(Duration::MAX);
        assert_eq!(backoff.next(9), MAX_HINT);
    }
}
