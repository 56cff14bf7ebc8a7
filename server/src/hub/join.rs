//! How somebody joins a channel with history: nothing is lost, nothing comes twice, the order is kept.
//!
//! In: a socket, and what was read of the history for it. Out: its confirmation, with what it missed, and from
//! then on the channel's publications.
//!
//! 1. [`Entry::begin`]: the channel is followed, and what is published is noted while anybody joins.
//! 2. Without any lock: the broker is awaited, then history is read, if it is needed.
//! 3. [`Entry::join`], while the followers are held: under the track, which every publisher needs, the joiner's place
//!    is found, and what is pending is taken. All of that is up to its place, and for the others. What is appended
//!    from then on is behind its place, and waits until the followers are released. Before that the joiner has its
//!    confirmation and is one of them.
//!
//! Step 3 may find that what was read does not reach: then 2 and 3 are done again.

use tokensocket_protocol::command::Past;
use tokensocket_protocol::command::subscribe::Joined;
use tokensocket_protocol::{Framed, Position};

use super::cork::Corked;
use super::entry::{Entry, Gone, Membership};
use super::track::{Found, Missed, Placed, ReadAgain, Track};
use crate::access::{Access, Filtered};
use crate::socket::{Socket, SocketId};

/// Encodes what a joiner is told.
pub(crate) type Confirm<'a> = &'a mut (dyn FnMut(&Joined<'_>) -> Framed + Send);

impl Entry {
    /// Somebody is about to join. Counts as a follower until [`Entry::join`] or [`Entry::give_up`].
    pub(super) fn begin<R>(&self, follow: impl FnOnce() -> R) -> Result<R, Gone> {
        let mut membership = self.enter()?;
        membership.followers += 1;
        if let Some(track) = &self.track {
            track.lock().begin();
        }
        Ok(follow())
    }

    /// The place up to which the hub was given publications.
    pub(super) fn seen(&self) -> Option<Position> {
        self.track.as_ref().and_then(|track| track.lock().seen().cloned())
    }

    /// Whether a socket follows the channel by its name, and has joined.
    pub(super) fn has(&self, id: SocketId) -> bool {
        let membership = self.membership.lock();
        !membership.guests.contains(&id) && self.part_of(&membership, id).contains(id, self.droppable)
    }

    /// Somebody who was about to join does not. Calls `last` if nobody is left.
    pub(super) fn give_up<R>(&self, last: impl FnOnce() -> R) -> Option<R> {
        let mut membership = self.membership.lock();
        self.end_joining();
        self.leave(&mut membership, last)
    }

    /// Joins: confirms, and delivers from then on.
    pub(super) fn join(
        &self,
        socket: &Socket,
        found: &Found<'_>,
        access: &Access,
        confirm: Confirm<'_>,
    ) -> Result<(), ReadAgain> {
        let Some(track) = &self.track else { return Err(ReadAgain) };
        let mut membership = self.membership.lock();
        let was_here = if access.filter.is_some() {
            self.join_filtered(track, &membership, socket, found, access, confirm)?
        } else {
            self.join_encoded(track, &membership, socket, found, confirm)?
        };
        let was_guest = membership.guests.remove(&socket.id());
        if was_here && !was_guest {
            // It joined once more: it is counted already.
            membership.followers -= 1;
        }
        self.end_joining();
        Ok(())
    }

    fn end_joining(&self) {
        if let Some(track) = &self.track {
            track.lock().end();
        }
    }

    /// `true` when the socket was among the followers.
    fn join_encoded(
        &self,
        track: &parking_lot::Mutex<Track>,
        membership: &Membership,
        socket: &Socket,
        found: &Found<'_>,
        confirm: Confirm<'_>,
    ) -> Result<bool, ReadAgain> {
        let part = self.part_of(membership, socket.id());
        let mut followers = part.hold();
        let was_here = followers.contains_key(&socket.id());
        let outcome = {
            let mut track = track.lock();
            track.place(found).map(|placed| {
                for Missed { offset, message } in &placed.unseen {
                    // The channel cannot be gone: the joiner counts.
                    let _ = self.append(message, Some(*offset));
                }
                (placed, part.take_before((!was_here).then(|| socket.format())))
            })
        };
        let outcome = outcome.map(|(placed, batch)| {
            if let Some(batch) = batch {
                batch.hand_out(&followers, self.droppable);
            }
            socket.tell(|| confirm(&told(&placed, &placed.missed)));
            followers.insert(socket.id(), socket.clone());
            placed.unseen.is_empty()
        });
        part.release(followers, self.droppable);
        if !outcome? {
            self.flush();
        }
        Ok(was_here)
    }

    /// The same where nothing is ever pending: each publication is served while the first part is held.
    fn join_filtered(
        &self,
        track: &parking_lot::Mutex<Track>,
        membership: &Membership,
        socket: &Socket,
        found: &Found<'_>,
        access: &Access,
        confirm: Confirm<'_>,
    ) -> Result<bool, ReadAgain> {
        let mut first = self.first.serving(self.droppable);
        let placed = track.lock().place(found);
        let placed = match placed {
            Ok(placed) => placed,
            Err(again) => {
                self.first.release(first, self.droppable);
                return Err(again);
            }
        };
        for Missed { offset, message } in &placed.unseen {
            self.serve_filtered(&first, message, Some(*offset), access);
        }
        let allowed = |missed: &Missed| match access.filtered(socket, self.channel(), &missed.message) {
            Filtered::Keep => Some(missed.clone()),
            Filtered::Replace(message) => Some(Missed { message, ..*missed }),
            Filtered::Drop => None,
        };
        let missed: Vec<_> = placed.missed.iter().filter_map(allowed).collect();
        socket.tell(|| confirm(&told(&placed, &missed)));
        let part = self.part_beside(&first, membership, socket.id());
        let is_new = match part {
            None => self.first.insert(&mut first, socket),
            Some(part) => part.add(socket, self.droppable),
        };
        self.first.release(first, self.droppable);
        Ok(!is_new)
    }
}

fn told<'a>(placed: &'a Placed, missed: &'a [Missed]) -> Joined<'a> {
    let past = |missed: &'a Missed| Past { offset: missed.offset, message: &missed.message, at: None };
    Joined {
        position: placed.position.as_ref(),
        recovered: placed.recovered,
        publications: missed.iter().map(past).collect(),
        ..Joined::default()
    }
}
