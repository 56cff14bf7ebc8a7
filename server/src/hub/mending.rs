//! What never came on a channel with history, and how its followers get it after all: in order, once, while others
//! publish.
//!
//! In: pages of history. Out: what is missing, to all who follow, and then what came behind it meanwhile; or, where it
//! cannot be had, the word that something is lost. When to read is not decided here.

use std::sync::Arc;

use tokensocket_protocol::{Channel, Position};

use super::Hub;
use super::cork::Corked;
use super::entry::Entry;
use super::track::{Mended, Missed};
use crate::access::Access;
use crate::history::HistoryPage;

/// A channel of which something may be missing.
pub(crate) struct Mending(Arc<Entry>);

impl Hub {
    /// A channel that is followed here; `None` when it is not, or keeps nothing.
    pub(crate) fn mending(&self, channel: &Channel) -> Option<Mending> {
        self.find(channel).filter(|entry| entry.track.is_some()).map(Mending)
    }
}

impl Mending {
    /// Behind what is to be read; `None`: nobody knows the channel's place yet, so that is all that is to be read.
    pub(crate) fn seen(&self) -> Option<Position> {
        self.0.seen()
    }

    /// Whether publications are held.
    pub(crate) fn has_hole(&self) -> bool {
        self.0.track.as_ref().is_some_and(|track| track.lock().has_hole())
    }

    /// Hands out what is missing. `true`: that is not all, read again. `since` is what `seen` was before it was read.
    pub(crate) fn mend(&self, page: &HistoryPage, since: Option<&Position>, access: &Access) -> bool {
        self.hand_out(access, |track| track.mend(page, since))
    }

    /// What is missing will not be had: the followers are told, and go on with what is held.
    pub(crate) fn lose(&self, access: &Access) {
        self.hand_out(access, |track| track.lose(None));
    }

    /// The same, unless nothing is held any more: it was mended meanwhile.
    pub(crate) fn lose_hole(&self, access: &Access) {
        self.hand_out(access, |track| if track.has_hole() { track.lose(None) } else { Mended::default() });
    }

    fn hand_out(&self, access: &Access, find: impl FnOnce(&mut super::track::Track) -> Mended) -> bool {
        let entry = &*self.0;
        let Some(track) = &entry.track else { return false };
        if access.filter.is_some() {
            return hand_out_filtered(entry, access, || find(&mut track.lock()));
        }
        // Who follows is held, so that what is published waits until all of this is on its way.
        let mut held: Vec<_> = entry.parts().map(|part| (part, part.hold(), None)).collect();
        let (place, again) = {
            let mut track = track.lock();
            let Mended { unseen, place, behind, again } = find(&mut track);
            append(entry, &unseen);
            if place.is_some() {
                // It is for before that place.
                for (part, _, batch) in &mut held {
                    *batch = part.take_before(None);
                }
            }
            append(entry, &behind);
            (place, again)
        };
        let text = place.map(|place| entry.broken(&place));
        for (part, followers, batch) in held {
            if let Some(text) = &text {
                if let Some(batch) = batch {
                    batch.hand_out(&followers, entry.droppable);
                }
                entry.tell_each(&followers, text);
            }
            part.release(followers, entry.droppable);
        }
        entry.flush();
        again
    }
}

fn append(entry: &Entry, missed: &[Missed]) {
    for Missed { offset, message } in missed {
        // A channel that is gone has nobody who misses it.
        let _ = entry.append(message, Some(*offset));
    }
}

/// The same where nothing is ever pending: each publication is served while the first part is held.
fn hand_out_filtered(entry: &Entry, access: &Access, find: impl FnOnce() -> Mended) -> bool {
    let first = entry.first.serving(entry.droppable);
    let Mended { unseen, place, behind, again } = find();
    let serve = |missed: &[Missed]| {
        for Missed { offset, message } in missed {
            entry.serve_filtered(&first, message, Some(*offset), access);
        }
    };
    serve(&unseen);
    if let Some(place) = place {
        let text = entry.broken(&place);
        entry.tell_each(&first, &text);
        for part in entry.parts().skip(1) {
            let followers = part.serving(entry.droppable);
            entry.tell_each(&followers, &text);
            part.release(followers, entry.droppable);
        }
    }
    serve(&behind);
    entry.first.release(first, entry.droppable);
    again
}
