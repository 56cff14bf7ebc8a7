//! A circuit breaker: a site that fails again and again is left alone for a while.
//!
//! ```text
//! closed ── 5 failures in a row ──▶ open ── after a pause ──▶ half open: one request tries
//!   ▲                                ▲                          │ failed: a longer pause │
//!   └──────────── succeeded ─────────┼──────────────────────────┴────────────────────────┘
//! ```
//!
//! In: how requests ended. Out: whether the next may be made; while not, the refusal of the last that failed.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::site::refusal::Refused;

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// How long it stays open, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
    why: Refused,
    is_tried: bool,
}

/// A request that may be made. Dropped without a word, it counts for nothing.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Breaker {
    /// Whether a request may be made now.
    pub(super) fn admit(&self) -> Result<Attempt<'_>, Refused> {
        let mut state = self.0.lock();
        let Some(open) = &mut state.open else { return Ok(Attempt { breaker: self, is_trial: false }) };
        if open.is_tried || Instant::now() < open.until {
            return Err(open.why.clone());
        }
        open.is_tried = true;
        Ok(Attempt { breaker: self, is_trial: true })
    }
}

impl Attempt<'_> {
    /// The site answered.
    pub(super) fn succeeded(self) {
        *self.breaker.0.lock() = State::default();
    }

    /// The site did not.
    pub(super) fn failed(self, why: &Refused) {
        let mut state = self.breaker.0.lock();
        state.failures = state.failures.saturating_add(1);
        // What was under way while it opened says nothing new.
        if state.open.is_some() && !self.is_trial || state.failures < FAILURES {
            return;
        }
        let pause = state.open.as_ref().map_or(PAUSE.0, |open| (open.pause * 2).min(PAUSE.1));
        let until = Instant::now() + pause;
        state.open = Some(Open { until, pause, why: why.clone(), is_tried: false });
        tracing::warn!(refused = %why, ?pause, "a site's auth URL fails again and again: it is left alone");
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // Whoever waited for the trial has gone: the next one tries.
        if self.is_trial
            && let Some(open) = &mut self.breaker.0.lock().open
        {
            open.is_tried = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    const WHY: Refused = Refused::Status(503);

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.admit().unwrap().failed(&WHY);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_says_why() {
        let breaker = Breaker::default();
        fail(&breaker, 4);
        breaker.admit().unwrap().succeeded();
        fail(&breaker, 5);
        assert_eq!(breaker.admit().unwrap_err(), WHY);
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_after_the_pause_and_closes_or_opens_it_for_longer() {
        let breaker = Breaker::default();
        fail(&breaker, 5);
        tokio::time::advance(PAUSE.0).await;
        let trial = breaker.admit().unwrap();
        assert!(breaker.admit().is_err(), "only one tries");
        trial.failed(&WHY);
        tokio::time::advance(PAUSE.0).await;
        assert!(breaker.admit().is_err(), "the pause is longer now");
        tokio::time::advance(PAUSE.0).await;
        breaker.admit().unwrap().succeeded();
        assert!(breaker.admit().is_ok() && breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_was_given_up_is_not_the_last() {
        let breaker = Breaker::default();
        fail(&breaker, 5);
        tokio::time::advance(PAUSE.0).await;
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_makes_no_pause_longer() {
        let breaker = Breaker::default();
        let late: Vec<_> = (0..20).map(|_| breaker.admit().unwrap()).collect();
        for attempt in late {
            attempt.failed(&WHY);
        }
        tokio::time::advance(PAUSE.0).await;
        assert!(breaker.admit().is_ok());
    }
}
