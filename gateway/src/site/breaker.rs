//! A circuit breaker: a site that fails again and again is left alone for a while.
//!
//! ```text
//! closed ── 5 failures in a row ──▶ open ── after a pause ──▶ half open: one request tries
//!   ▲                                ▲                          │ failed: a longer pause │
//!   └──────────── succeeded ─────────┼──────────────────────────┴────────────────────────┘
//! ```
//!
//! In: how requests ended. Out: whether the next may be made; while not, why the last one failed.

use std::fmt::Display;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// How long it stays open, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// `W`: why a request fails.
#[derive(Debug)]
pub(super) struct Breaker<W> {
    /// What is asked, in words.
    of: &'static str,
    state: Mutex<State<W>>,
}

#[derive(Debug)]
struct State<W> {
    failures: u32,
    open: Option<Open<W>>,
}

#[derive(Debug)]
struct Open<W> {
    until: Instant,
    pause: Duration,
    why: W,
    is_tried: bool,
}

/// A request that may be made. Dropped without a word, it counts for nothing.
#[derive(Debug)]
pub(super) struct Attempt<'a, W> {
    breaker: &'a Breaker<W>,
    is_trial: bool,
}

impl<W: Clone + Display> Breaker<W> {
    /// One that is closed.
    pub(super) fn of(what: &'static str) -> Self {
        Self { of: what, state: Mutex::new(State { failures: 0, open: None }) }
    }

    /// Whether a request may be made now.
    pub(super) fn admit(&self) -> Result<Attempt<'_, W>, W> {
        let mut state = self.state.lock();
        let Some(open) = &mut state.open else { return Ok(Attempt { breaker: self, is_trial: false }) };
        if open.is_tried || Instant::now() < open.until {
            return Err(open.why.clone());
        }
        open.is_tried = true;
        Ok(Attempt { breaker: self, is_trial: true })
    }
}

impl<W: Clone + Display> Attempt<'_, W> {
    /// The site answered.
    pub(super) fn succeeded(self) {
        *self.breaker.state.lock() = State { failures: 0, open: None };
    }

    /// The site did not.
    pub(super) fn failed(self, why: &W) {
        let mut state = self.breaker.state.lock();
        state.failures = state.failures.saturating_add(1);
        // What was under way while it opened says nothing new.
        if state.open.is_some() && !self.is_trial || state.failures < FAILURES {
            return;
        }
        let pause = state.open.as_ref().map_or(PAUSE.0, |open| (open.pause * 2).min(PAUSE.1));
        let until = Instant::now() + pause;
        state.open = Some(Open { until, pause, why: why.clone(), is_tried: false });
        tracing::warn!(of = self.breaker.of, %why, ?pause, "a site fails again and again: it is left alone");
    }
}

impl<W> Drop for Attempt<'_, W> {
    fn drop(&mut self) {
        // Whoever waited for the trial has gone: the next one tries.
        if self.is_trial
            && let Some(open) = &mut self.breaker.state.lock().open
        {
            open.is_tried = false;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;

    const WHY: &str = "it is down";

    fn breaker() -> Breaker<&'static str> {
        Breaker::of("a stub")
    }

    fn fail(breaker: &Breaker<&'static str>, times: u32) {
        for _ in 0..times {
            breaker.admit().unwrap().failed(&WHY);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_says_why() {
        let breaker = breaker();
        fail(&breaker, 4);
        breaker.admit().unwrap().succeeded();
        fail(&breaker, 5);
        assert_eq!(breaker.admit().unwrap_err(), WHY);
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_after_the_pause_and_closes_or_opens_it_for_longer() {
        let breaker = breaker();
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
        let breaker = breaker();
        fail(&breaker, 5);
        tokio::time::advance(PAUSE.0).await;
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_makes_no_pause_longer() {
        let breaker = breaker();
        let late: Vec<_> = (0..20).map(|_| breaker.admit().unwrap()).collect();
        for attempt in late {
            attempt.failed(&WHY);
        }
        tokio::time::advance(PAUSE.0).await;
        assert!(breaker.admit().is_ok());
    }
}
