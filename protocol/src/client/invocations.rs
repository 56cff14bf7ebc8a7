//! The server's calls that run here.
//!
//! In: a call's `fid` and deadline. Out: each `fid` once, when it is answered, cancelled or out of time.

use std::time::Duration;

use super::calls::earlier;

#[derive(Debug)]
pub(super) struct Invocations {
    /// Few: what every look at the clock goes through.
    running: Vec<(String, Option<Duration>)>,
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
        Self { running: Vec::new(), max }
    }

    pub(super) fn start(&mut self, fid: &str, deadline: Option<Duration>) -> Admission {
        if self.running.iter().any(|(other, _)| other == fid) {
            return Admission::Duplicate;
        }
        if self.running.len() >= self.max {
            return Admission::Overloaded;
        }
        self.running.push((fid.to_owned(), deadline));
        Admission::Run
    }

    /// Whether the call was running until now.
    pub(super) fn finish(&mut self, fid: &str) -> bool {
        self.take(|(other, _)| other == fid).is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.running.iter().fold(None, |first, (_, deadline)| earlier(first, *deadline))
    }

    /// Takes out a call whose time is over.
    pub(super) fn take_expired(&mut self, now: Duration) -> Option<String> {
        self.take(|(_, deadline)| deadline.is_some_and(|deadline| deadline <= now))
    }

    pub(super) fn take_all(&mut self) -> Vec<String> {
        std::mem::take(&mut self.running).into_iter().map(|(fid, _)| fid).collect()
    }

    fn take(&mut self, is_it: impl Fn(&(String, Option<Duration>)) -> bool) -> Option<String> {
        let index = self.running.iter().position(is_it)?;
        Some(self.running.swap_remove(index).0)
    }
}
