//! The signs of life of a session, as its protocol has them: in version 3 the client pings, in version 4 the server.
//!
//! In: the time, and what the client says. Out: when to ping, when a client is given up, and how much of what was sent it is
//! known to have.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokensocket_protocol::engineio::Version;
use tokio::time::{Instant, Sleep};

use super::Terms;

pub(super) struct Heart {
    /// Protocol 4: when the next ping is due.
    beat_at: Instant,
    /// Without a sign until then the session is over; `None` while none is owed.
    dead_at: Option<Instant>,
    /// Protocol 4: a ping was sent and not answered.
    owes_pong: bool,
    alarm: Pin<Box<Sleep>>,
    /// How many messages were sent so far.
    sent: u64,
    /// How many before what the client will answer next.
    asked: u64,
    /// How many it is known to have.
    proven: u64,
}

impl Heart {
    pub(super) fn new(terms: &Terms) -> Self {
        let now = Instant::now();
        let interval = terms.timing.ping_interval;
        Self {
            beat_at: now + interval,
            dead_at: (terms.version == Version::V3).then(|| now + interval + terms.timing.ping_timeout),
            owes_pong: false,
            alarm: Box::pin(tokio::time::sleep_until(now + interval)),
            sent: 0,
            asked: 0,
            proven: 0,
        }
    }

    /// A message is sent.
    pub(super) fn note_sent(&mut self) {
        self.sent += 1;
    }

    /// How many messages were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// How many of these the client is known to have.
    pub(super) fn proven(&self) -> u64 {
        self.proven
    }

    /// The client has said something.
    pub(super) fn hear(&mut self, terms: &Terms) {
        self.dead_at = match terms.version {
            Version::V3 => Some(Instant::now() + terms.timing.ping_interval + terms.timing.ping_timeout),
            Version::V4 => None,
        };
    }

    /// Protocol 3: the client pings. It pings again only when the pong before has come, and all that was sent before that.
    pub(super) fn hear_ping(&mut self) {
        self.proven = self.asked;
        self.asked = self.sent;
    }

    /// Protocol 4: the client has answered a ping.
    pub(super) fn hear_pong(&mut self) {
        self.owes_pong = false;
        self.proven = self.asked;
    }

    /// Whether the client was silent for too long.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.dead_at.is_some_and(|dead_at| dead_at <= now)
    }

    /// Whether a ping is to be sent now.
    pub(super) fn beats(&mut self, now: Instant, terms: &Terms) -> bool {
        if terms.version == Version::V3 || now < self.beat_at {
            return false;
        }
        self.beat_at = now + terms.timing.ping_interval;
        // A time limit that is longer than the interval is not begun anew by each beat.
        self.dead_at.get_or_insert(now + terms.timing.ping_timeout);
        // A pong does not say which ping it is for: so there is one at a time.
        if std::mem::replace(&mut self.owes_pong, true) {
            return false;
        }
        self.asked = self.sent;
        true
    }

    /// Ready when something is due.
    pub(super) fn poll_due(&mut self, terms: &Terms, cx: &mut Context<'_>) -> Poll<()> {
        let beat_at = (terms.version == Version::V4).then_some(self.beat_at);
        let Some(next) = beat_at.into_iter().chain(self.dead_at).min() else { return Poll::Pending };
        if self.alarm.deadline() != next {
            self.alarm.as_mut().reset(next);
        }
        self.alarm.as_mut().poll(cx)
    }
}
