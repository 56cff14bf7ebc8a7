//! One channel: its followers, in one part or, when they are very many, in several.
//!
//! In: publications, followers. Out: bytes, encoded once for each format. A large channel's parts are
//! served by several threads beside each other; each part sees the publications in the same order.

use std::num::NonZero;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use parking_lot::Mutex;
use tokensocket_protocol::command::publish;
use tokensocket_protocol::{Channel, RawJson};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::part::{Followers, Part};
use crate::access::{Access, Filtered};
use crate::format::Format;
use crate::socket::{Socket, SocketId};

/// How many followers the first part takes before there are others.
const LARGE: usize = 1024;

pub(super) struct Entry {
    /// `{"channel":"…","message":`, the beginning of each of its publications.
    head: Box<[u8]>,
    droppable: bool,
    tasks: TaskTracker,
    membership: Mutex<Membership>,
    first: Part,
    /// As many as there are threads. A publication is appended to all parts under the first one's lock.
    more: OnceLock<Box<[Arc<Part>]>>,
}

#[derive(Default)]
struct Membership {
    followers: usize,
    /// The channel is no longer in the table: whoever still holds it looks again.
    gone: bool,
}

/// The channel is no longer in the table: look it up again.
#[derive(Debug)]
pub(super) struct Gone;

/// A part that is to be served, which is done when this is dropped: a runtime that ends drops its tasks
/// without running them, and what is pending would wait for the next publication.
struct Due {
    part: Arc<Part>,
    droppable: bool,
}

impl Drop for Due {
    fn drop(&mut self) {
        self.part.flush(self.droppable);
    }
}

impl Entry {
    pub(super) fn new(channel: &Channel, droppable: bool, tasks: TaskTracker) -> Self {
        Self {
            head: publish::publication_head(channel).into_boxed_slice(),
            droppable,
            tasks,
            membership: Mutex::default(),
            first: Part::default(),
            more: OnceLock::new(),
        }
    }

    /// Adds a follower, and calls `follow` unless it was one already.
    pub(super) fn add<R>(&self, socket: &Socket, follow: impl FnOnce() -> R) -> Result<Option<R>, Gone> {
        let mut membership = self.membership.lock();
        if membership.gone {
            return Err(Gone);
        }
        // Before there are others, all followers are in the first part.
        let is_large = self.more.get().is_some() || membership.followers >= LARGE;
        let part = if is_large { self.part(socket.id()) } else { &self.first };
        if !part.add(socket, self.droppable) {
            return Ok(None);
        }
        membership.followers += 1;
        Ok(Some(follow()))
    }

    /// Removes a follower, and calls `last` for the last one.
    pub(super) fn remove<R>(&self, id: SocketId, last: impl FnOnce() -> R) -> Option<R> {
        let mut membership = self.membership.lock();
        let elsewhere = || self.more.get().is_some() && self.part(id).remove(id, self.droppable);
        if !self.first.remove(id, self.droppable) && !elsewhere() {
            return None;
        }
        membership.followers -= 1;
        membership.gone = membership.followers == 0;
        membership.gone.then(last)
    }

    pub(super) fn sockets(&self) -> Vec<Socket> {
        let mut sockets = Vec::new();
        for part in self.parts() {
            let followers = part.serving(self.droppable);
            sockets.extend(followers.values().cloned());
            part.release(followers, self.droppable);
        }
        sockets
    }

    /// Encodes a publication, once for each format that is followed.
    pub(super) fn append(&self, message: &RawJson) {
        let text = [&self.head, message.as_bytes(), b"}"].concat();
        let mut framed = Format::ALL.map(|_| None);
        let mut encode = |format: Format, out: &mut Vec<u8>| {
            out.extend_from_slice(framed[format as usize].get_or_insert_with(|| format.frame(&text)));
        };
        let mut first = self.first.pending();
        if let Some(more) = self.more.get() {
            first.append(&mut encode);
            for part in more {
                part.pending().append(&mut encode);
            }
        } else {
            first.append(|format, out| format.push(out, &text));
        }
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.first.pending().bytes()
    }

    /// Serves what is pending, a large channel's other parts on other threads.
    pub(super) fn flush(&self) {
        let droppable = self.droppable;
        let more = self.more.get().map_or(&[][..], |more| more);
        let Some((here, others)) = more.split_first() else { return self.first.flush(droppable) };
        let in_runtime = Handle::try_current().is_ok();
        for part in others {
            let due = Due { part: Arc::clone(part), droppable };
            if in_runtime {
                self.tasks.spawn(async move { drop(due) });
            }
        }
        if in_runtime && !others.is_empty() {
            // A worker keeps what it spawned last for itself, where no other can take it, until it has done
            // with what it does now: let that be nothing.
            self.tasks.spawn(std::future::ready(()));
        }
        self.first.flush(droppable);
        here.flush(droppable);
    }

    /// Asks the filter for each follower; nothing can be encoded for all.
    pub(super) fn publish_filtered(&self, channel: &Channel, message: &RawJson, access: &Access) {
        let mut kept = Format::ALL.map(|_| None);
        let mut serve = |followers: &Followers| {
            for socket in followers.values() {
                let encode = |message: &RawJson| socket.encode(&publish::publication(channel, message));
                let frame = match access.filtered(socket, channel, message) {
                    Filtered::Keep => {
                        kept[socket.format() as usize].get_or_insert_with(|| encode(message)).clone()
                    }
                    Filtered::Replace(message) => encode(&message),
                    Filtered::Drop => continue,
                };
                socket.deliver(&frame, 1, self.droppable);
            }
        };
        // The first part is held to the end, so that no other publication comes between the parts.
        let first = self.first.serving(self.droppable);
        serve(&first);
        for part in self.parts().skip(1) {
            let followers = part.serving(self.droppable);
            serve(&followers);
            part.release(followers, self.droppable);
        }
        self.first.release(first, self.droppable);
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.first).chain(self.more.get().into_iter().flatten().map(|part| &**part))
    }

    /// The part of a socket of a large channel that is not in the first one.
    fn part(&self, id: SocketId) -> &Part {
        let more = self.more.get_or_init(|| {
            // A worker may be pinned to one processor, and would then count only that.
            let threads = Handle::try_current().map_or_else(
                |_| available_parallelism().map_or(1, NonZero::get),
                |runtime| runtime.metrics().num_workers(),
            );
            // What is pending was appended to the first part alone: nobody is in the others yet.
            let _first = self.first.pending();
            (0..threads).map(|_| Arc::default()).collect()
        });
        &more[usize::try_from(id.0).unwrap_or_default() % more.len()]
    }
}
