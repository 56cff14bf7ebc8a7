//! The server's calls that run here.
//!
//! In: a call's `fid` and deadline. Out: each `fid` once, when it is answered, cancelled or out of time.

use std::collections::HashMap;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Invocations {
    running: HashMap<String, Option<Duration>>,
    max: usize,
}

/// What to do with a call of the server's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Run,
    /// Too many run already.
    Overloaded,
    /// One of this name runs already.
    Duplicate,
}

impl Invocations {
    pub(super) fn new(max: usize) -> Self {
        Self { running: HashMap::new(), max }
    }

    pub(super) fn start(&mut self, fid: &str, deadline: Option<Duration>) -> Admission {
        if self.running.contains_key(fid) {
            return Admission::Duplicate;
        }
        if self.running.len() >= self.max {
            return Admission::Overloaded;
        }
        self.running.insert(fid.to_owned(), deadline);
        Admission::Run
    }

    /// Whether the call was running until now.
    pub(super) fn finish(&mut self, fid: &str) -> bool {
        self.running.remove(fid).is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.running.values().flatten().min().copied()
    }

    /// Takes out a call whose time is over.
    pub(super) fn take_expired(&mut self, now: Duration) -> Option<String> {
        let expired = |deadline: &Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        let fid = self.running.iter().find(|(_, deadline)| expired(deadline))?.0.clone();
        self.running.remove(&fid);
        Some(fid)
    }

    pub(super) fn take_all(&mut self) -> Vec<String> {
        self.running.drain().map(|(fid, _)| fid).collect()
    }
}
