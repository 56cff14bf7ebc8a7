//! A machine, and who writes: takes each instance's frames once and in order.
//!
//! In: frames with their places in the log. Out: what came of their entries. Knows no clock and no stream; the same
//! frames give the same ledger everywhere.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::frame::{Entry, Instance};
use super::machine::Machine;

/// So many instances that are over are remembered, so that nothing of theirs that comes late is taken.
const ENDED: usize = 1024;

/// What came of an entry.
#[derive(Debug)]
pub(in crate::nats) enum Outcome<M: Machine> {
    /// A command was done.
    Done(M::Output),
    /// An instance was ended by this, or not.
    Ended(Option<M::Output>),
    /// The writer is to make an image, or somebody else is.
    Claimed(bool),
    /// It is known.
    Noted,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Writer {
    /// The number of its last frame that was taken.
    taken: u64,
    /// The place of its last frame.
    heard: u64,
}

pub(super) struct Ledger<M> {
    pub(super) machine: M,
    /// The place of the last frame in here.
    pub(super) place: u64,
    /// The place of the last image.
    pub(super) kept: u64,
    /// Which run of the log this is of: another after it was lost from some place on.
    pub(super) era: u64,
    writers: BTreeMap<Instance, Writer>,
    ended: VecDeque<Instance>,
    /// Who makes an image.
    claimed: Option<Instance>,
}

/// A ledger as a value.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Image<I> {
    writers: BTreeMap<Instance, Writer>,
    ended: VecDeque<Instance>,
    claimed: Option<Instance>,
    machine: I,
}

impl<M: Machine> Ledger<M> {
    pub(super) fn new() -> Self {
        Self {
            machine: M::empty(),
            place: 0,
            kept: 0,
            era: 0,
            writers: BTreeMap::new(),
            ended: VecDeque::new(),
            claimed: None,
        }
    }

    pub(super) fn image(&self) -> Image<M::Image> {
        Image {
            writers: self.writers.clone(),
            ended: self.ended.clone(),
            claimed: self.claimed,
            machine: self.machine.image(),
        }
    }

    /// The ledger that an image is of, which goes up to `place` in that era of the log.
    pub(super) fn from_image(image: Image<M::Image>, place: u64, era: u64) -> Self {
        let Image { writers, ended, claimed, machine } = image;
        Self { machine: M::from_image(machine), place, kept: place, era, writers, ended, claimed }
    }

    /// Who writes, and the place of the last frame of each.
    pub(super) fn instances(&self) -> impl Iterator<Item = (Instance, u64)> {
        self.writers.iter().map(|(who, writer)| (*who, writer.heard))
    }

    /// How many frames of an instance were taken; `None` when nothing of it was, or it is over.
    pub(super) fn taken(&self, who: Instance) -> Option<u64> {
        self.writers.get(&who).map(|writer| writer.taken)
    }

    /// Whether an instance has ended.
    pub(super) fn is_over(&self, who: Instance) -> bool {
        self.ended.contains(&who)
    }

    /// Whether the log has lost frames that an earlier ledger had taken: then fewer of their writer's are in here.
    pub(super) fn has_lost(&self, before: &Self) -> bool {
        let forgets = self.ended.len() >= ENDED;
        before.writers.iter().any(|(who, writer)| match self.writers.get(who) {
            Some(known) => known.taken < writer.taken,
            // Of one that is over it is not known any more.
            None => !forgets && !self.is_over(*who),
        })
    }

    /// Whether somebody makes an image.
    pub(super) fn is_claimed(&self) -> bool {
        self.claimed.is_some()
    }

    /// A frame has come. Says whether its entries are to be applied.
    pub(super) fn take(
        &mut self,
        who: Instance,
        number: u64,
        succeeds: Option<Instance>,
        place: u64,
    ) -> bool {
        self.place = place;
        if self.is_over(who) {
            return false;
        }
        if let Some(writer) = self.writers.get_mut(&who) {
            writer.heard = place;
            let is_next = number == writer.taken + 1;
            writer.taken += u64::from(is_next);
            return is_next;
        }
        if number != 1 {
            return false;
        }
        self.writers.insert(who, Writer { taken: 1, heard: place });
        if let Some(before) = succeeds
            && self.writers.contains_key(&before)
        {
            self.machine.succeed(before, who);
            self.forget(before);
        }
        true
    }

    /// Does what an entry of a frame says that was taken.
    pub(super) fn apply(
        &mut self,
        by: Instance,
        entry: Entry<M::Command>,
        here: Instance,
        hints: &mut Vec<M::Hint>,
    ) -> Outcome<M> {
        match entry {
            Entry::Do(command) => Outcome::Done(self.machine.apply(by, command, here, hints)),
            Entry::End { who, heard, now } => {
                let writer = self.writers.get(&who);
                let holds = writer.is_some_and(|writer| heard.is_none_or(|heard| heard == writer.heard));
                Outcome::Ended(holds.then(|| {
                    self.forget(who);
                    self.machine.end(who, now)
                }))
            }
            Entry::Lost { seed, .. } => {
                self.machine.lost(seed, here, hints);
                Outcome::Noted
            }
            Entry::Claim => {
                let is_free = self.claimed.is_none();
                if is_free {
                    self.claimed = Some(by);
                }
                Outcome::Claimed(is_free)
            }
            Entry::Kept { place } => {
                self.kept = self.kept.max(place);
                self.unclaim(by);
                Outcome::Noted
            }
            Entry::Failed => {
                self.unclaim(by);
                Outcome::Noted
            }
        }
    }

    fn unclaim(&mut self, by: Instance) {
        if self.claimed == Some(by) {
            self.claimed = None;
        }
    }

    fn forget(&mut self, who: Instance) {
        self.writers.remove(&who);
        self.unclaim(who);
        self.ended.push_back(who);
        if self.ended.len() > ENDED {
            self.ended.pop_front();
        }
    }
}
