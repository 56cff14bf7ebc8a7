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
//!
//! What comes behind a hole is held (`hole.rs`) until somebody has read what is missing, or gives up.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use tokensocket_protocol::{Position, RawJson};

use super::hole::{Hole, Room};
use crate::broker::Publication;
use crate::history::{HistoryPage, Kept};

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
    /// Something behind `seen` never came, and what is behind that did.
    hole: Option<Hole>,
    /// How much may be held, on all channels together.
    room: Room,
}

/// What a publication's position says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was handed out before.
    Known,
    /// It is the next one.
    Next,
    /// Something before it never came. It is held, or can be read; `true` for the first one: the hole is to be mended.
    Held(bool),
    /// A new epoch began. The followers stand at this place now, right before it: tell them, and ask again.
    Break(Position),
}

/// What mending came to. The followers are given all of it, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mended {
    /// What they were not given yet.
    pub(super) unseen: Vec<Missed>,
    /// Behind that something is lost, and they stand at this place.
    pub(super) place: Option<Position>,
    /// What comes behind that place.
    pub(super) behind: Vec<Missed>,
    /// There is still something missing: read again.
    pub(super) again: bool,
}

/// A publication that somebody missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) offset: u64,
    pub(super) message: RawJson,
}

impl From<&Kept> for Missed {
    fn from(kept: &Kept) -> Self {
        Self { offset: kept.offset, message: kept.message.clone() }
    }
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
    pub(super) fn new(room: Room) -> Self {
        Self { room, ..Self::default() }
    }

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
            if !is_same {
                let place = Position { offset: position.offset.saturating_sub(1), ..position.clone() };
                self.forget_recent();
                self.hole = None;
                self.seen = Some(place.clone());
                return Arrival::Break(place);
            }
            if self.hole.is_some() || position.offset > seen.offset + 1 {
                let is_first = self.hole.is_none();
                let hole = self.hole.get_or_insert_with(|| Hole::new(self.room.clone()));
                hole.hold(Missed { offset: position.offset, message: publication.message.clone() });
                return Arrival::Held(is_first);
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
        self.hole.take_if(|hole| hole.top() <= end);
        Ok(Some(Placed { position: Some(position), recovered: Some(true), missed, unseen }))
    }

    /// Whether something is held.
    pub(super) fn has_hole(&self) -> bool {
        self.hole.is_some()
    }

    /// Takes in what was read behind a place, which was `seen` before it was read, to find what never came.
    pub(super) fn mend(&mut self, page: &HistoryPage, since: Option<&Position>) -> Mended {
        let Some(seen) = self.seen.clone() else {
            // Those who are about to join find this place, and read from theirs.
            self.seen = Some(page.position.clone());
            return Mended::default();
        };
        let Some(since) = since.filter(|since| since.epoch == seen.epoch) else {
            // The followers were told of another epoch since. What is behind that is another hole.
            return Mended { again: self.has_hole(), ..Mended::default() };
        };
        let read = &page.position;
        if read.epoch != seen.epoch || read.offset < since.offset {
            // What is kept is not what the followers have the beginning of.
            return if self.has_hole() && read.epoch == seen.epoch {
                Mended { again: true, ..Mended::default() }
            } else {
                self.lose(Some(page))
            };
        }
        let known = page.publications.iter().filter(|kept| kept.offset > seen.offset);
        let unseen: Vec<_> = known.map(Missed::from).collect();
        let read =
            if page.more { unseen.last().map_or(seen.offset, |last| last.offset) } else { read.offset };
        let end = seen.offset.max(read);
        if !leads(&unseen, seen.offset, end) {
            return self.lose(Some(page));
        }
        let mut mended = Mended { unseen, ..Mended::default() };
        self.move_on(&mut mended.unseen, end);
        mended.again = page.more || self.has_hole();
        mended
    }

    /// Nobody will read what is missing, or it cannot be read: the followers go on behind it. `page`: what was read, if
    /// anything was.
    pub(super) fn lose(&mut self, page: Option<&HistoryPage>) -> Mended {
        let Some(seen) = self.seen.clone() else { return Mended::default() };
        let hole = self.hole.take().filter(|_| page.is_none_or(|page| page.position.epoch == seen.epoch));
        let top = hole.as_ref().map_or(0, Hole::top);
        let mut behind: Vec<_> = hole.map(Hole::into_held).unwrap_or_default().into();
        if let (Some(page), Some(first)) = (page, behind.first().map(|first| first.offset)) {
            let later = page.publications.iter().filter(|kept| kept.offset > top);
            behind.extend(later.map(Missed::from));
            if !leads(&behind, first - 1, page.position.offset.max(top)) {
                behind.clear();
            }
        }
        let place = match (behind.first(), page) {
            (Some(first), _) => Position { offset: first.offset - 1, ..seen },
            (None, Some(page)) if page.position.offset >= top => page.position.clone(),
            (None, _) => Position { offset: seen.offset.max(top), ..seen },
        };
        self.forget_recent();
        self.seen = Some(place.clone());
        if let Some(last) = behind.last() {
            self.go(&behind, last.offset);
        }
        Mended { place: Some(place), behind, ..Mended::default() }
    }

    /// The followers are given these up to `end`, and what is held right behind them.
    fn move_on(&mut self, unseen: &mut Vec<Missed>, end: u64) {
        let mut end = end;
        if let Some(hole) = &mut self.hole {
            if let Some(held) = hole.take_behind(end) {
                unseen.extend(held);
                end = hole.top();
            }
            self.hole.take_if(|hole| hole.top() <= end);
        }
        self.go(unseen, end);
    }

    fn go(&mut self, given: &[Missed], end: u64) {
        if let Some(seen) = &mut self.seen {
            seen.offset = end;
        }
        if self.joining > 0 {
            for missed in given {
                self.note(missed.clone());
            }
        }
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
