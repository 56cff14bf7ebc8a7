//! For how long Redis keeps what nobody asks for.
//!
//! In: how much a channel keeps. Out: times to live of its keys.

use std::time::Duration;

use crate::history::History;

/// No key goes sooner: those of channels that somebody follows are prolonged every ten seconds where it is due.
const SHORTEST: u64 = 60_000;
/// A log on which nothing was published goes after this.
const EMPTY: u64 = 300_000;
/// One that somebody follows has this long each time that it is prolonged, so that it outlasts a Redis that is away. No longer: whoever follows a
/// name makes a log, on which perhaps nobody ever publishes.
const FOLLOWED: u64 = 3_600_000;
/// What Redis takes for a time to live; ten years.
const LONGEST: u64 = 10 * 365 * 24 * 3_600_000;

/// Milliseconds, as many as Redis takes.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}

/// A log's times to live, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lasting {
    /// With publications: twice their age, as [`History::new`] says.
    pub(super) full: u64,
    /// Without any.
    pub(super) empty: u64,
    /// At least so long from when it was prolonged, while somebody follows it.
    pub(super) followed: u64,
}

impl Lasting {
    pub(super) fn of(history: &History) -> Self {
        let full = milliseconds(history.age).saturating_mul(2).clamp(SHORTEST, LONGEST);
        Self { full, empty: full.min(EMPTY), followed: full.min(FOLLOWED) }
    }
}
