//! One clock for all connections of a node, and who is to be woken when.
//!
//! In: the time, a few times a second, from the node's one task for it. Out: the sockets whose time has
//! come. A connection keeps no timer of its own: it says when it next has something to check, and is
//! looked up in a wheel of slots.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::socket::SocketId;

/// How many slots the wheel has. What is due later than a round goes into the last slot, and is asked
/// again from there.
const SLOTS: usize = 128;

/// Who asked for which moment.
type Slot = Vec<(SocketId, Tick)>;

/// The node's time, in ticks since it began.
pub(crate) struct Clock {
    began: Instant,
    tick: Duration,
    now: AtomicU64,
    wheel: Mutex<Box<[Slot]>>,
}

/// A moment, in ticks of a [`Clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Tick(pub(crate) u64);

impl Clock {
    pub(crate) fn new(tick: Duration) -> Self {
        let wheel = vec![Slot::new(); SLOTS].into_boxed_slice();
        Self { began: Instant::now(), tick, now: AtomicU64::new(0), wheel: Mutex::new(wheel) }
    }

    /// How often [`Clock::advance`] is to be called.
    pub(crate) fn tick(&self) -> Duration {
        self.tick
    }

    /// The time as of the last tick: behind the real one by at most a tick.
    pub(crate) fn now(&self) -> Tick {
        Tick(self.now.load(Ordering::Relaxed))
    }

    /// The first tick that is at least `after` from now.
    pub(crate) fn after(&self, after: Duration) -> Tick {
        self.later(self.now(), after)
    }

    /// A moment `after` another one.
    pub(crate) fn later(&self, from: Tick, after: Duration) -> Tick {
        Tick(from.0 + self.ticks(after))
    }

    fn ticks(&self, duration: Duration) -> u64 {
        let ticks = duration.as_nanos().div_ceil(self.tick.as_nanos().max(1));
        // Far from overflowing when several are added.
        u64::try_from(ticks).unwrap_or(u64::MAX).min(u64::MAX / 8) + 1
    }

    /// Has `socket` returned by [`Clock::advance`] when `due` has come.
    pub(crate) fn register(&self, socket: SocketId, due: Tick) {
        let ahead = due.0.saturating_sub(self.now().0).clamp(1, SLOTS as u64 - 1);
        self.wheel.lock()[self.slot(ahead)].push((socket, due));
    }

    /// Moves the time on and returns whose slots have come, with what they asked for.
    pub(crate) fn advance(&self) -> Slot {
        let elapsed = self.began.elapsed().as_nanos() / self.tick.as_nanos().max(1);
        let target = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let mut wheel = self.wheel.lock();
        let now = self.now().0;
        let mut due = Vec::new();
        for ahead in 1..=target.saturating_sub(now).min(SLOTS as u64) {
            due.append(&mut std::mem::take(&mut wheel[self.slot(ahead)]));
        }
        self.now.store(target.max(now), Ordering::Relaxed);
        due
    }

    fn slot(&self, ahead: u64) -> usize {
        usize::try_from((self.now().0 + ahead) % SLOTS as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn returns_each_socket_when_its_time_has_come() {
        let clock = Clock::new(Duration::from_millis(10));
        let ids = || clock.advance().into_iter().map(|(id, _)| id.0).collect::<Vec<_>>();
        for (id, after) in [(1, 25), (2, 100), (3, 5_000)] {
            clock.register(SocketId(id), clock.after(Duration::from_millis(after)));
        }
        tokio::time::advance(Duration::from_millis(20)).await;
        assert!(ids().is_empty());
        tokio::time::advance(Duration::from_millis(25)).await;
        assert_eq!(ids(), [1]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ids(), [2]);
        assert!(clock.now() < clock.after(Duration::ZERO));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(ids(), [3], "what is due later than a round is asked each round");
    }
}
