//! Some of a channel's followers, and what is not written to them yet.
//!
//! In: encoded publications, followers. Out: bytes to each follower's outbox.
//!
//! Two locks. *Pending* is held for an append, never for long. *Followers* is held while they are served;
//! who cannot get it leaves its publication pending, and whoever holds it serves that too. So publishers
//! do not wait for each other, and every follower sees the same order. Only where much is pending do they wait:
//! whoever publishes faster than the followers can be served pays for it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::{Mutex, MutexGuard};

use crate::format::Format;
use crate::socket::{Socket, SocketId};

/// Beyond so much, publishers wait until it is served: far below what an outbox holds.
const MOST_PENDING: usize = 1 << 20;
const MOST_MESSAGES: usize = 4096;

pub(super) type Followers = IndexMap<SocketId, Socket>;

#[derive(Default)]
pub(super) struct Part {
    pending: Mutex<Pending>,
    followers: Mutex<Followers>,
    /// A task is on its way to serve it.
    pub(super) due: AtomicBool,
}

#[derive(Default)]
pub(super) struct Pending {
    /// Encoded publications, by format; only for formats that are followed.
    encoded: [Vec<u8>; Format::COUNT],
    messages: usize,
    /// How many followers each format has.
    followed: [usize; Format::COUNT],
    /// The channel is no longer in the table: nothing may be added.
    closed: bool,
}

/// Publications that are to be handed out together.
pub(super) struct Batch {
    encoded: [Bytes; Format::COUNT],
    messages: usize,
}

impl Pending {
    /// Adds a publication, for those formats that somebody here follows.
    pub(super) fn append(&mut self, mut encode: impl FnMut(Format, &mut Vec<u8>)) {
        self.messages += 1;
        for &format in Format::ALL {
            if self.followed[format as usize] > 0 {
                encode(format, &mut self.encoded[format as usize]);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.encoded.iter().map(Vec::len).sum()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn is_much(&self) -> bool {
        self.messages > MOST_MESSAGES || self.bytes() > MOST_PENDING
    }

    /// Takes all that is pending; `None` when nothing is.
    fn take(&mut self) -> Option<Batch> {
        if self.messages == 0 {
            return None;
        }
        Some(Batch {
            encoded: std::mem::take(&mut self.encoded).map(Bytes::from),
            messages: std::mem::take(&mut self.messages),
        })
    }
}

impl Part {
    /// Adds a follower, behind what is pending; `false` when it is here already.
    pub(super) fn add(&self, socket: &Socket, droppable: bool) -> bool {
        let mut followers = self.serving(droppable);
        let is_new = self.insert(&mut followers, socket);
        self.release(followers, droppable);
        is_new
    }

    /// Adds a follower to those who are held; `false` when it is here already.
    pub(super) fn insert(&self, followers: &mut Followers, socket: &Socket) -> bool {
        let is_new = followers.insert(socket.id(), socket.clone()).is_none();
        if is_new {
            self.pending.lock().followed[socket.format() as usize] += 1;
        }
        is_new
    }

    /// Removes a follower, after what is pending; `false` when it was not here.
    pub(super) fn remove(&self, id: SocketId, droppable: bool) -> bool {
        let mut followers = self.serving(droppable);
        let removed = followers.swap_remove(&id);
        if let Some(socket) = &removed {
            self.pending.lock().followed[socket.format() as usize] -= 1;
        }
        self.release(followers, droppable);
        removed.is_some()
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }

    /// Takes what is pending, all of which is for those who are here already. What comes from now on is encoded for
    /// `newcomer`, too, who is to be inserted before the followers are released.
    pub(super) fn take_before(&self, newcomer: Option<Format>) -> Option<Batch> {
        let mut pending = self.pending.lock();
        if let Some(format) = newcomer {
            pending.followed[format as usize] += 1;
        }
        pending.take()
    }

    /// The followers, who may not have been served yet. To be given back by [`Part::release`]: publishers leave what they
    /// publish meanwhile to whoever holds them.
    pub(super) fn hold(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock()
    }

    pub(super) fn contains(&self, id: SocketId, droppable: bool) -> bool {
        let followers = self.hold();
        let contains = followers.contains_key(&id);
        self.release(followers, droppable);
        contains
    }

    /// Takes nothing more, if nothing is pending and nobody is being served, here and in the parts beside it; `false`
    /// otherwise. Nothing is appended to those meanwhile: that is done while this one's pending are held.
    pub(super) fn close_if_idle(&self, beside: &[Arc<Self>]) -> bool {
        let mut pending = self.pending.lock();
        let is_idle = self.is_idle(&pending) && beside.iter().all(|part| part.is_idle(&part.pending.lock()));
        pending.closed |= is_idle;
        is_idle
    }

    /// What is pending is looked at first, and held: whoever finds the followers held here has appended before, and was
    /// served, or has yet to.
    fn is_idle(&self, pending: &Pending) -> bool {
        pending.messages == 0 && self.followers.try_lock().is_some()
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.pending.lock().closed = true;
    }

    /// Whether so much is pending that whoever publishes is to see to it himself.
    pub(super) fn is_behind(&self) -> bool {
        self.pending.lock().is_much()
    }

    /// Serves what is pending, unless somebody else is doing so and will serve it too. Waits for him where much is.
    pub(super) fn flush(&self, droppable: bool) {
        loop {
            let followers = match self.followers.try_lock() {
                Some(followers) => followers,
                None if self.is_behind() => self.followers.lock(),
                None => return,
            };
            self.serve(&followers, droppable);
            drop(followers);
            if self.pending.lock().messages == 0 {
                return;
            }
        }
    }

    /// The followers, all of whom have been served.
    pub(super) fn serving(&self, droppable: bool) -> MutexGuard<'_, Followers> {
        let followers = self.followers.lock();
        self.serve(&followers, droppable);
        followers
    }

    /// Gives the followers back, and serves what was left to whoever held them.
    pub(super) fn release(&self, followers: MutexGuard<'_, Followers>, droppable: bool) {
        drop(followers);
        if self.pending.lock().messages > 0 {
            self.flush(droppable);
        }
    }

    fn serve(&self, followers: &Followers, droppable: bool) {
        loop {
            let Some(batch) = self.pending.lock().take() else { return };
            batch.hand_out(followers, droppable);
        }
    }
}

impl Batch {
    pub(super) fn hand_out(&self, followers: &Followers, droppable: bool) {
        let Self { encoded, messages } = self;
        // All at once, since they are of one node.
        if let Some(socket) = followers.values().next() {
            socket.traffic().sent(messages * followers.len());
        }
        #[cfg(all(feature = "io-uring", target_os = "linux"))]
        if super::ring::deliver(followers, |to| &encoded[to.format() as usize], *messages, droppable) {
            return;
        }
        for socket in followers.values() {
            socket.hand(&encoded[socket.format() as usize], *messages, droppable);
        }
    }
}
