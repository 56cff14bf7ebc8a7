//! Where a channel with history stands at this node, and where somebody who joins it is to stand.
//!
//! In: the positions of publications as they come from the broker; what somebody who joins has read of the
//! history. Out: which publications are new, and what a joiner still needs. Pure: it knows no socket and no lock.
//!
//! ```text
//!            what the joiner has        seen: what the hub was given
//!                     │                            │
//!   ──────────────────R────────────────────────────S──────────────▶ offsets
//!                     └────── missed ──────────────┘└── comes live
//! ```
//!
//! History is read without a lock, so it may end before `S` or behind it. If before, the publications that the hub
//! was given meanwhile complete it: they are noted while anybody joins. If behind, the followers that are here
//! get the rest now, and `S` moves there: when the broker brings it, it is known already. So everybody stands at
//! `S`, and what comes live begins right behind it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use tokensocket_protocol::{Position, RawJson};

use crate::broker::Publication;
use crate::history::HistoryPage;

/// How many publications, and bytes of them, are noted for those who join. Whoever needs more reads again.
const MOST_RECENT: usize = 1024;
const MOST_RECENT_BYTES: usize = 1 << 20;

/// The place of one channel.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Behind the last publication that was handed to the followers; `None` before anybody knows it.
    seen: Option<Position>,
    joining: usize,
    /// The last publications up to `seen`, without a hole; only while somebody joins.
    recent: VecDeque<Missed>,
    recent_bytes: usize,
}

/// What a publication's position says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was handed out before.
    Known,
    /// It is the next one.
    Next,
    /// Something before it never came, or a new epoch began. The followers stand at this place now, right before
    /// it: tell them, and ask again.
    Break(Position),
}

/// A publication that somebody missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) offset: u64,
    pub(super) message: RawJson,
}

/// What a joiner has read.
pub(super) struct Found<'a> {
    /// Where it wants to go on.
    pub(super) recover: Option<&'a Position>,
    /// What it read, and since which offset; it may read nothing if it does not recover.
    pub(super) page: Option<(&'a HistoryPage, u64)>,
    /// It will not read again.
    pub(super) last: bool,
}

/// Where a joiner stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) position: Option<Position>,
    /// Whether it got all since the place from which it wanted to go on.
    pub(super) recovered: Option<bool>,
    /// What it missed up to its position.
    pub(super) missed: Vec<Missed>,
    /// What nobody here was given yet, up to its position.
    pub(super) unseen: Vec<Missed>,
}

/// What was read is not enough: read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadAgain;

impl Track {
    pub(super) fn seen(&self) -> Option<&Position> {
        self.seen.as_ref()
    }

    /// Somebody begins to join.
    pub(super) fn begin(&mut self) {
        self.joining += 1;
    }

    /// Somebody has joined, or given up.
    pub(super) fn end(&mut self) {
        self.joining -= 1;
        if self.joining == 0 {
            self.forget_recent();
        }
    }

    /// A publication has come. The next one is to be handed out at once.
    pub(super) fn arrive(&mut self, publication: &Publication) -> Arrival {
        let Some(position) = &publication.position else { return Arrival::Next };
        if let Some(seen) = &self.seen {
            let is_same = seen.epoch == position.epoch;
            if is_same && position.offset <= seen.offset {
                return Arrival::Known;
            }
            if !is_same || position.offset > seen.offset + 1 {
                let place = Position { offset: position.offset.saturating_sub(1), ..position.clone() };
                self.forget_recent();
                self.seen = Some(place.clone());
                return Arrival::Break(place);
            }
        }
        self.seen = Some(position.clone());
        if self.joining > 0 {
            self.note(Missed { offset: position.offset, message: publication.message.clone() });
        }
        Arrival::Next
    }

    /// Finds where a joiner stands. From then on `seen` is its position.
    pub(super) fn place(&mut self, found: &Found<'_>) -> Result<Placed, ReadAgain> {
        let seen = match (&self.seen, found.page) {
            (Some(seen), _) => seen.clone(),
            (None, Some((page, _))) => self.seen.insert(page.position.clone()).clone(),
            (None, None) => return Err(ReadAgain),
        };
        let Some(recover) = found.recover else {
            return Ok(Placed { position: Some(seen), ..Placed::default() });
        };
        match self.recover(recover, &seen, found.page) {
            Ok(Some(placed)) => Ok(placed),
            Err(ReadAgain) if !found.last => Err(ReadAgain),
            Ok(None) | Err(ReadAgain) => {
                Ok(Placed { position: Some(seen), recovered: Some(false), ..Placed::default() })
            }
        }
    }

    /// `None`: it cannot be recovered.
    fn recover(
        &mut self,
        recover: &Position,
        seen: &Position,
        page: Option<(&HistoryPage, u64)>,
    ) -> Result<Option<Placed>, ReadAgain> {
        let (page, since) = page.ok_or(ReadAgain)?;
        let read = &page.position;
        if read.epoch != seen.epoch {
            // One of them has not heard of the other's yet.
            return Err(ReadAgain);
        }
        let end = seen.offset.max(read.offset);
        if recover.epoch != read.epoch || recover.offset > end || page.gap {
            return Ok(None);
        }
        if since > seen.offset && seen.offset < read.offset {
            return Err(ReadAgain);
        }
        let of_page = page.publications.iter().map(|kept| (kept.offset, &kept.message));
        let later = self.recent.iter().map(|noted| (noted.offset, &noted.message));
        let later = later.filter(|(offset, _)| *offset > read.offset);
        let known: Vec<_> = of_page.chain(later).collect();
        let behind = |place: u64| -> Vec<_> {
            let behind = known.iter().filter(|(offset, _)| *offset > place);
            behind.map(|&(offset, message)| Missed { offset, message: message.clone() }).collect()
        };
        let (missed, unseen) = (behind(recover.offset), behind(seen.offset));
        if !leads(&missed, recover.offset, end) || !leads(&unseen, seen.offset, end) {
            return Err(ReadAgain);
        }
        let position = Position { epoch: seen.epoch.clone(), offset: end };
        for unseen in &unseen {
            self.note(unseen.clone());
        }
        self.seen = Some(position.clone());
        Ok(Some(Placed { position: Some(position), recovered: Some(true), missed, unseen }))
    }

    fn note(&mut self, publication: Missed) {
        self.recent_bytes += publication.message.as_bytes().len();
        self.recent.push_back(publication);
        while self.recent.len() > MOST_RECENT || self.recent_bytes > MOST_RECENT_BYTES {
            let Some(oldest) = self.recent.pop_front() else { return };
            self.recent_bytes -= oldest.message.as_bytes().len();
        }
    }

    fn forget_recent(&mut self) {
        self.recent = VecDeque::new();
        self.recent_bytes = 0;
    }
}

/// Whether publications lead from one place to another without a hole.
fn leads(publications: &[Missed], from: u64, to: u64) -> bool {
    publications.iter().map(|missed| missed.offset).eq(from + 1..=to)
}
