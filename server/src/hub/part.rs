//! Some of a channel's followers, and what is not written to them yet.
//!
//! In: encoded publications, followers. Out: bytes to each follower's outbox.
//!
//! Two locks. *Pending* is held for an append, never for long. *Followers* is held while they are served;
//! who cannot get it leaves its publication pending, and whoever holds it serves that too. So publishers
//! do not wait for each other, and every follower sees the same order.

use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::{Mutex, MutexGuard};

use crate::format::Format;
use crate::socket::{Socket, SocketId};

pub(super) type Followers = IndexMap<SocketId, Socket>;

#[derive(Default)]
pub(super) struct Part {
    pending: Mutex<Pending>,
    followers: Mutex<Followers>,
}

#[derive(Default)]
pub(super) struct Pending {
    /// Encoded publications, by format; only for formats that are followed.
    encoded: [Vec<u8>; Format::ALL.len()],
    messages: usize,
    /// How many followers each format has.
    followed: [usize; Format::ALL.len()],
}

impl Pending {
    /// Adds a publication, for those formats that somebody here follows.
    pub(super) fn append(&mut self, mut encode: impl FnMut(Format, &mut Vec<u8>)) {
        self.messages += 1;
        for format in Format::ALL {
            if self.followed[format as usize] > 0 {
                encode(format, &mut self.encoded[format as usize]);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.encoded.iter().map(Vec::len).sum()
    }
}

impl Part {
    /// Adds a follower, behind what is pending; `false` when it is here already.
    pub(super) fn add(&self, socket: &Socket, droppable: bool) -> bool {
        let mut followers = self.serving(droppable);
        let is_new = followers.insert(socket.id(), socket.clone()).is_none();
        if is_new {
            self.pending.lock().followed[socket.format() as usize] += 1;
        }
        self.release(followers, droppable);
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

    /// Serves what is pending, unless somebody else is doing so and will serve it too.
    pub(super) fn flush(&self, droppable: bool) {
        while let Some(followers) = self.followers.try_lock() {
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
            let (encoded, messages) = {
                let mut pending = self.pending.lock();
                if pending.messages == 0 {
                    return;
                }
                (std::mem::take(&mut pending.encoded).map(Bytes::from), std::mem::take(&mut pending.messages))
            };
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            if super::ring::deliver(followers, |to| &encoded[to.format() as usize], messages, droppable) {
                continue;
            }
            for socket in followers.values() {
                socket.deliver(&encoded[socket.format() as usize], messages, droppable);
            }
        }
    }
}
