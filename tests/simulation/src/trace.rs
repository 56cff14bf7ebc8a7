//! What happened in a world, in order.
//!
//! In: facts, as they happen. Out: one number that is the same for two worlds in which the same happened at the
//! same times; when asked for, each fact as a line. Knows nothing of what the facts mean.

use std::fmt::{Arguments, Write};
use std::hash::Hasher;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHasher;

use crate::host;

/// Facts in their order. Shared by all that happens in one world.
#[derive(Default)]
pub(crate) struct Trace(Mutex<State>);

#[derive(Default)]
struct State {
    hash: FxHasher,
    facts: u64,
    line: String,
    aloud: bool,
}

impl Trace {
    /// Prints each fact when `aloud`.
    pub(crate) fn new(aloud: bool) -> Self {
        Self(Mutex::new(State { aloud, ..State::default() }))
    }

    /// Notes a fact.
    pub(crate) fn note(&self, fact: Arguments<'_>) {
        let now = host::elapsed();
        let state = &mut *self.0.lock();
        state.line.clear();
        // A string takes all.
        let _ = state.line.write_fmt(fact);
        state.hash_fact(now);
        if state.aloud {
            println!("{:>10.3} {}", now.as_secs_f64(), state.line);
        }
    }

    /// Notes bytes that went somewhere. They are never printed.
    pub(crate) fn bytes(&self, link: u64, bytes: &[u8]) {
        let state = &mut *self.0.lock();
        state.hash.write_u64(link);
        state.hash.write(bytes);
    }

    /// All facts as a number.
    pub(crate) fn hash(&self) -> u64 {
        self.0.lock().hash.finish()
    }

    /// How many facts there were.
    pub(crate) fn facts(&self) -> u64 {
        self.0.lock().facts
    }
}

impl State {
    fn hash_fact(&mut self, now: Duration) {
        self.facts += 1;
        self.hash.write_u128(now.as_nanos());
        self.hash.write(self.line.as_bytes());
    }
}
