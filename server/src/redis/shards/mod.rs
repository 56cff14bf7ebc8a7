//! How what belongs together is spread over Redis' servers and slots.
//!
//! In: the name of a user or a channel. Out: the shard it is in, what that shard's keys begin with, and calls of scripts
//! in an order that can be relied on. Knows nothing of what is kept.

mod answer;
mod lane;
mod sending;

use sha1::{Digest, Sha1};

use super::link::Link;

pub(super) use answer::Answer;
pub(super) use lane::{Calling, Lane, Turn};
pub(super) use sending::{Sending, carried};

/// So many operations of a store wait for those that take several calls.
pub(super) const MOST_WAITING: usize = 65_536;

/// The shards of one kind of thing.
#[derive(Debug)]
pub(super) struct Shards {
    /// What the keys of each begin with.
    routes: Vec<String>,
}

impl Shards {
    /// `kind` tells things apart that are sharded on their own. How many shards there are is part of their names:
    /// with another number, nothing is found that was kept with this one.
    pub(super) fn new(link: &Link, kind: &str) -> Self {
        let (base, count) = (link.key(kind), link.spread().max(1));
        let route = |number: usize| format!("{base}:{{{base}.{number}/{count}}}:");
        Self { routes: (0..count).map(route).collect() }
    }

    pub(super) fn count(&self) -> usize {
        self.routes.len()
    }

    /// What the keys of a shard begin with.
    pub(super) fn route(&self, shard: usize) -> &str {
        self.routes.get(shard).map_or("", String::as_str)
    }

    /// In which shard this is.
    pub(super) fn of(&self, name: &str) -> usize {
        if self.routes.len() == 1 {
            return 0;
        }
        let digest = Sha1::digest(name);
        let number = digest.iter().take(7).fold(0_usize, |number, &byte| number << 8 | usize::from(byte));
        number % self.routes.len()
    }

    /// Which shard's topic this is.
    pub(super) fn of_topic(&self, topic: &str) -> Option<usize> {
        self.routes.iter().position(|route| topic.starts_with(route.as_str()))
    }
}
