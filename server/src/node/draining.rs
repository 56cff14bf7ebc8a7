//! The end of a node: how its connections are sent elsewhere, and when what is left has to end.
//!
//! ```text
//! stop ── no new connections, no tokens ──▶ each connection in its turn: Signal::Drain ──▶ last ── nobody is waited for
//! ```
//!
//! In: that the node is to end, and perhaps that there is no time any more. Out: a signal to each socket, a turn to each
//! guest, at the pace of the drain.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rand::Rng;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::session::outbox::Signal;
use crate::socket::Socket;

/// Over how long clients come back whose connections are closed at a pace: that spreads them already.
const PACED_SPREAD: Duration = Duration::from_millis(250);
/// How far one that was late may catch up.
const CREDIT: Duration = Duration::from_millis(100);

/// How far the end of a node has come.
pub(super) struct Draining {
    begun: AtomicBool,
    /// There is no pace, or no more.
    hurry: CancellationToken,
    /// Connections without a socket of this node.
    guests: AtomicUsize,
    /// Turns for those.
    turns: Semaphore,
    /// When all had had their turn.
    pub(super) dismissed: Arc<OnceLock<Instant>>,
}

impl Default for Draining {
    fn default() -> Self {
        Self {
            begun: AtomicBool::new(false),
            hurry: CancellationToken::new(),
            guests: AtomicUsize::new(0),
            turns: Semaphore::new(0),
            dismissed: Arc::default(),
        }
    }
}

impl Node {
    pub(crate) fn is_draining(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Issues no more tokens, accepts no more connections, and sends away those that there are. Call it in a runtime;
    /// what is called again changes nothing.
    pub(crate) fn drain(self: &Arc<Self>) {
        if self.draining.begun.swap(true, Ordering::AcqRel) {
            return;
        }
        self.stop.cancel();
        self.tasks.close();
        self.ended.notify_one();
        let sockets = self.sockets();
        let guests = self.draining.guests.load(Ordering::Acquire);
        let period = self.config.drain.period(sockets.len() + guests);
        if let Some(period) = period.filter(|_| !self.draining.hurry.is_cancelled()) {
            drop(self.tasks.spawn(send_away(Arc::clone(self), sockets, period)));
        } else {
            for socket in sockets {
                self.dismiss(&socket, self.config.reconnect_spread);
            }
            self.dismissed();
        }
    }

    /// The same without a pace: whoever has not had a turn yet has it now.
    pub(crate) fn drain_at_once(self: &Arc<Self>) {
        self.draining.hurry.cancel();
        self.drain();
    }

    fn dismiss(&self, socket: &Socket, spread: Duration) {
        let after = rand::rng().random_range(0.0..=spread.as_secs_f64());
        let (within, reconnect_after) = (self.config.shutdown_timeout, Duration::from_secs_f64(after));
        socket.outbox().signal(Signal::Drain { within, reconnect_after });
    }

    /// All have had their turn.
    fn dismissed(&self) {
        self.draining.turns.close();
        let _ = self.draining.dismissed.set(Instant::now());
        self.last.cancel();
    }

    /// A connection that is nobody's socket, and is sent away in its turn all the same.
    pub(crate) fn guest(self: &Arc<Self>) -> Guest {
        self.draining.guests.fetch_add(1, Ordering::AcqRel);
        Guest(Arc::clone(self))
    }

    /// Lets a future come to its end that nobody waits for, as long as the node allows it.
    pub(super) fn finish(&self, future: BoxFuture<'static, ()>) {
        if let Ok(runtime) = Handle::try_current() {
            self.finish_on(&runtime, future);
        }
    }

    /// The same from anywhere.
    pub(super) fn finish_on(&self, runtime: &Handle, future: BoxFuture<'static, ()>) {
        let limit = self.end_of_patience();
        let patient = async move {
            tokio::select! {
                () = future => {}
                () = limit => {}
            }
        };
        drop(self.tasks.spawn_on(patient, runtime));
    }
}

/// A connection that ends itself when its turn has come.
pub(crate) struct Guest(Arc<Node>);

impl Guest {
    /// Resolves when it is to go.
    pub(crate) async fn dismissed(&self) {
        self.0.stop.cancelled().await;
        if let Ok(turn) = self.0.draining.turns.acquire().await {
            turn.forget();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.draining.guests.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sends away one after the other.
async fn send_away(node: Arc<Node>, sockets: Vec<Socket>, period: Duration) {
    let hurry = &node.draining.hurry;
    let mut pace = Pace { next: Instant::now(), period };
    for socket in sockets {
        // Who has gone by himself takes no turn.
        if !socket.is_closed() {
            let is_paced = hurry.run_until_cancelled(pace.turn()).await.is_some();
            let most = if is_paced { PACED_SPREAD } else { Duration::MAX };
            node.dismiss(&socket, node.config.reconnect_spread.min(most));
        }
    }
    for _ in 0..node.draining.guests.load(Ordering::Acquire) {
        if node.draining.guests.load(Ordering::Acquire) == 0 {
            break;
        }
        hurry.run_until_cancelled(pace.turn()).await;
        node.draining.turns.add_permits(1);
    }
    node.dismissed();
}

/// One turn after the other, never many at once.
struct Pace {
    next: Instant,
    period: Duration,
}

impl Pace {
    async fn turn(&mut self) {
        sleep_until(self.next).await;
        let earliest = Instant::now().checked_sub(CREDIT).unwrap_or(self.next);
        self.next = self.next.max(earliest) + self.period;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PERIOD: Duration = Duration::from_millis(20);

    /// When each of so many turns comes, with a stall before some.
    async fn turns(count: usize, stall: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let begun = Instant::now();
        let mut pace = Pace { next: begun, period: PERIOD };
        let mut turns = Vec::new();
        for turn in 0..count {
            advance(stall(turn)).await;
            pace.turn().await;
            turns.push(begun.elapsed());
        }
        turns
    }

    /// The most within any half second.
    fn most(turns: &[Duration]) -> usize {
        let within = |first: &Duration| {
            turns.iter().filter(|turn| (*first..*first + Duration::from_millis(500)).contains(*turn)).count()
        };
        turns.iter().map(within).max().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_comes_each_period() {
        let turns = turns(100, |_| Duration::ZERO).await;
        assert_eq!(most(&turns), 25, "of 50 a second");
        assert_eq!(turns[99], 99 * PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_by_little_is_made_up_for() {
        let turns = turns(100, |turn| if turn % 10 == 3 { 4 * PERIOD } else { Duration::ZERO }).await;
        assert!(turns[99] <= 99 * PERIOD + CREDIT, "{:?}", turns[99]);
        assert!(most(&turns) <= 25 + 5, "{}", most(&turns));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_long_stall_they_do_not_come_all_at_once() {
        let stall = |turn| if turn % 50 == 25 { Duration::from_secs(3) } else { Duration::ZERO };
        let turns = turns(200, stall).await;
        assert!(most(&turns) <= 25 + 6, "{}", most(&turns));
    }
}
