//! When to ping, and when silence means that the peer is gone.
//!
//! In: the times at which pings go out and messages come in. Out: the next time to look, and what to do
//! then. Any message after a ping shows that the peer lives, not only the pong: a server without ping
//! answers `"Function not found"`.

use std::time::Duration;

use super::calls::earlier;

#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Option<Duration>,
    timeout: Duration,
    next_ping: Option<Duration>,
    silent_at: Option<Duration>,
}

/// What it is time for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Ping,
    Silent,
}

impl Heartbeat {
    /// Off.
    pub(super) fn off() -> Self {
        Self { interval: None, timeout: Duration::ZERO, next_ping: None, silent_at: None }
    }

    pub(super) fn start(now: Duration, interval: Option<Duration>, timeout: Duration) -> Self {
        let interval = interval.filter(|interval| !interval.is_zero());
        let next_ping = interval.map(|interval| now.saturating_add(interval));
        Self { interval, timeout, next_ping, silent_at: None }
    }

    pub(super) fn heard(&mut self) {
        self.silent_at = None;
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        earlier(self.next_ping, self.silent_at)
    }

    /// There is reason to look now. Says whether to ping: not when a pong is awaited already. One that is
    /// overdue counts anew, since whoever slept has not listened.
    pub(super) fn wake(&mut self, now: Duration) -> bool {
        let Some(interval) = self.interval else { return false };
        if self.silent_at.is_some_and(|at| at > now) {
            return false;
        }
        self.next_ping = Some(now.saturating_add(interval));
        self.silent_at = Some(now.saturating_add(self.timeout));
        true
    }

    pub(super) fn poll(&mut self, now: Duration) -> Option<Beat> {
        if self.silent_at.is_some_and(|at| at <= now) {
            return Some(Beat::Silent);
        }
        if self.next_ping.is_some_and(|at| at <= now) {
            self.next_ping = self.interval.map(|interval| now.saturating_add(interval));
            self.silent_at.get_or_insert(now.saturating_add(self.timeout));
            return Some(Beat::Ping);
        }
        None
    }
}
