//! One channel: its followers, in one part or, when they are very many, in several.
//!
//! In: publications, followers. Out: bytes, encoded once for each format. A large channel's parts are
//! served by several threads beside each other; each part sees the publications in the same order.
//!
//! A channel with history has a [`Track`], too, which is held while a publication is appended: so its positions
//! follow the order in which followers get it. How somebody joins such a channel is in `join.rs`.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use parking_lot::{Mutex, MutexGuard};
use tokensocket_protocol::command::publish;
use tokensocket_protocol::command::subscribe::{Joined, subscribed_by_server};
use tokensocket_protocol::{Channel, Position, RawJson};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::cork::Corked;
use super::hole::Room;
use super::part::{Followers, Part};
use super::track::{Arrival, Track};
use crate::access::{Access, Filtered};
use crate::broker::Publication;
use crate::format::Format;
use crate::socket::{Socket, SocketId};

/// How many followers the first part takes before there are others.
const LARGE: usize = 1024;

/// The most bytes that stand behind a publication's message.
const LONGEST_END: usize = 32;

pub(super) struct Entry {
    channel: Channel,
    /// `{"channel":"…","message":`, the beginning of each of its publications.
    head: Box<[u8]>,
    pub(super) droppable: bool,
    tasks: TaskTracker,
    pub(super) membership: Mutex<Membership>,
    /// The channel is no longer in the table: whoever still holds it looks again. Set while its membership is held.
    gone: AtomicBool,
    /// Only on a channel with history.
    pub(super) track: Option<Mutex<Track>>,
    pub(super) first: Part,
    /// As many as there are threads. A publication is appended to all parts under the first one's lock.
    more: OnceLock<Box<[Arc<Part>]>>,
}

#[derive(Default)]
pub(super) struct Membership {
    /// Those who follow the channel by its name, and those who are about to.
    pub(super) followers: usize,
    /// Those who follow only patterns that cover it.
    pub(super) guests: HashSet<SocketId>,
}

/// The channel is no longer in the table: look it up again.
#[derive(Debug)]
pub(super) struct Gone;

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was known, is held, or was served at once.
    Nothing,
    /// It is to be served.
    Pending,
    /// It is the first behind a hole, which is to be mended.
    Hole,
}

/// A part that is to be served, which is done when this is dropped: a runtime that ends drops its tasks
/// without running them, and what is pending would wait for the next publication.
struct Due {
    part: Arc<Part>,
    droppable: bool,
}

impl Drop for Due {
    fn drop(&mut self) {
        // Before: what is appended from now on may come too late for this.
        self.part.due.store(false, Ordering::Release);
        self.part.flush(self.droppable);
    }
}

impl Corked for Entry {
    fn pending_bytes(&self) -> usize {
        self.first.pending().bytes()
    }

    /// Serves what is pending, a large channel's other parts on other threads.
    fn flush(&self) {
        let droppable = self.droppable;
        let more = self.more.get().map_or(&[][..], |more| more);
        let Some((here, others)) = more.split_first() else { return self.first.flush(droppable) };
        let in_runtime = Handle::try_current().is_ok();
        let mut has_spawned = false;
        for part in others {
            if !in_runtime || part.is_behind() {
                part.flush(droppable);
            } else if !part.due.swap(true, Ordering::AcqRel) {
                let due = Due { part: Arc::clone(part), droppable };
                self.tasks.spawn(async move { drop(due) });
                has_spawned = true;
            }
        }
        if has_spawned {
            // A worker keeps what it spawned last for itself, where no other can take it, until it has done
            // with what it does now: let that be nothing.
            self.tasks.spawn(std::future::ready(()));
        }
        self.first.flush(droppable);
        here.flush(droppable);
    }
}

impl Entry {
    /// `room`: the channel has a history, and so much of it may be held on all such channels.
    pub(super) fn new(channel: &Channel, droppable: bool, room: Option<Room>, tasks: TaskTracker) -> Self {
        Self {
            channel: channel.clone(),
            head: publish::publication_head(channel).into_boxed_slice(),
            droppable,
            tasks,
            membership: Mutex::default(),
            gone: AtomicBool::new(false),
            track: room.map(|room| Mutex::new(Track::new(room))),
            first: Part::default(),
            more: OnceLock::new(),
        }
    }

    /// Adds a follower, and calls `follow` unless it was one already.
    pub(super) fn add<R>(&self, socket: &Socket, follow: impl FnOnce() -> R) -> Result<Option<R>, Gone> {
        let mut membership = self.enter()?;
        let was_guest = !membership.guests.is_empty() && membership.guests.remove(&socket.id());
        if !was_guest && !self.part_for_new(&membership, socket.id()).add(socket, self.droppable) {
            return Ok(None);
        }
        membership.followers += 1;
        Ok(Some(follow()))
    }

    /// Removes a follower, and calls `last` for the last one. One that stays as a guest gets what it got before.
    pub(super) fn remove<R>(&self, id: SocketId, stays: bool, last: impl FnOnce() -> R) -> Option<R> {
        let mut membership = self.membership.lock();
        if membership.guests.contains(&id) || !(if stays { self.contains(id) } else { self.take_out(id) }) {
            return None;
        }
        if stays {
            membership.guests.insert(id);
        }
        self.leave(&mut membership, last)
    }

    /// One follower less, which has been taken out.
    pub(super) fn leave<R>(&self, membership: &mut Membership, last: impl FnOnce() -> R) -> Option<R> {
        membership.followers -= 1;
        self.end_if_empty(membership);
        (membership.followers == 0).then(last)
    }

    /// Adds somebody who follows a pattern. The channel's own followers are not touched.
    pub(super) fn add_guest(&self, socket: &Socket) -> Result<(), Gone> {
        let mut membership = self.enter()?;
        if !self.contains(socket.id()) {
            membership.guests.insert(socket.id());
            self.part_for_new(&membership, socket.id()).add(socket, self.droppable);
        }
        Ok(())
    }

    /// Removes somebody who follows no pattern any more that covers the channel.
    pub(super) fn remove_guest(&self, id: SocketId) {
        let mut membership = self.membership.lock();
        if membership.guests.remove(&id) {
            self.take_out(id);
            self.end_if_empty(&membership);
        }
    }

    /// Ends the channel if nobody follows it by name, and nothing of it is under way.
    pub(super) fn end_if_idle(&self) {
        let Some(membership) = self.membership.try_lock() else { return };
        // Who gets the next publication from another entry must have got all from this one.
        let beside = self.more.get().map_or(&[][..], |more| more);
        if membership.followers == 0 && self.first.close_if_idle(beside) {
            self.gone.store(true, Ordering::Release);
        }
    }

    fn end_if_empty(&self, membership: &Membership) {
        if membership.followers == 0 && membership.guests.is_empty() {
            self.gone.store(true, Ordering::Release);
            // A publisher that still holds this channel must not take it for the one that comes next.
            self.first.close();
        }
    }

    /// The membership, of a channel that is in the table.
    pub(super) fn enter(&self) -> Result<MutexGuard<'_, Membership>, Gone> {
        let membership = self.membership.lock();
        if self.is_gone() { Err(Gone) } else { Ok(membership) }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether anybody follows the channel by its name.
    pub(super) fn is_followed(&self) -> bool {
        self.membership.lock().followers > 0
    }

    /// Those who follow the channel by its name.
    pub(super) fn sockets(&self) -> Vec<Socket> {
        let membership = self.membership.lock();
        let mut sockets = Vec::new();
        for part in self.parts() {
            let followers = part.serving(self.droppable);
            let by_name = followers.values().filter(|socket| !membership.guests.contains(&socket.id()));
            sockets.extend(by_name.cloned());
            part.release(followers, self.droppable);
        }
        sockets
    }

    /// Takes a publication.
    pub(super) fn publish(&self, publication: &Publication, access: &Access) -> Result<Taken, Gone> {
        if access.filter.is_some() {
            return self.publish_filtered(publication, access);
        }
        let Publication { message, position, .. } = publication;
        let offset = position.as_ref().map(|position| position.offset);
        let pending = |()| Taken::Pending;
        let Some(track) = &self.track else { return self.append(message, offset).map(pending) };
        loop {
            let mut arriving = track.lock();
            match arriving.arrive(publication) {
                Arrival::Known | Arrival::Held(false) => return Ok(Taken::Nothing),
                Arrival::Held(true) => return Ok(Taken::Hole),
                Arrival::Next => return self.append(message, offset).map(pending),
                Arrival::Break(place) => {
                    drop(arriving);
                    self.tell_break(&place);
                }
            }
        }
    }

    /// Encodes a publication, once for each format that is followed.
    pub(super) fn append(&self, message: &RawJson, offset: Option<u64>) -> Result<(), Gone> {
        let mut text = Vec::with_capacity(self.head.len() + message.as_bytes().len() + LONGEST_END);
        text.extend_from_slice(&self.head);
        text.extend_from_slice(message.as_bytes());
        publish::push_publication_end(&mut text, offset);
        let push = |format: Format, out: &mut Vec<u8>| {
            let dialect = format.dialect();
            if dialect.is_native() {
                format.push(out, &text);
            } else {
                format.push(out, &dialect.publication(&self.channel, message, offset));
            }
        };
        let mut framed = [const { None::<Vec<u8>> }; Format::COUNT];
        let mut encode = |format: Format, out: &mut Vec<u8>| {
            let framed = framed[format as usize].get_or_insert_with(|| {
                let mut framed = Vec::new();
                push(format, &mut framed);
                framed
            });
            out.extend_from_slice(framed);
        };
        let mut first = self.first.pending();
        if first.is_closed() {
            return Err(Gone);
        }
        if let Some(more) = self.more.get() {
            first.append(&mut encode);
            for part in more {
                part.pending().append(&mut encode);
            }
        } else {
            first.append(push);
        }
        Ok(())
    }

    /// Asks the filter for each follower; nothing can be encoded for all.
    fn publish_filtered(&self, publication: &Publication, access: &Access) -> Result<Taken, Gone> {
        // The first part is held to the end, so that no other publication comes between the parts.
        let mut first = self.first.serving(self.droppable);
        if self.first.pending().is_closed() {
            return Err(Gone);
        }
        let arrive = || self.track.as_ref().map_or(Arrival::Next, |track| track.lock().arrive(publication));
        let taken = loop {
            match arrive() {
                Arrival::Known | Arrival::Held(false) => break Taken::Nothing,
                Arrival::Held(true) => break Taken::Hole,
                Arrival::Next => {
                    let offset = publication.position.as_ref().map(|position| position.offset);
                    self.serve_filtered(&first, &publication.message, offset, access);
                    break Taken::Nothing;
                }
                Arrival::Break(place) => {
                    self.first.release(first, self.droppable);
                    self.tell_break(&place);
                    first = self.first.serving(self.droppable);
                }
            }
        };
        self.first.release(first, self.droppable);
        Ok(taken)
    }

    /// Serves a publication to each follower as the filter wants it. The first part is held.
    pub(super) fn serve_filtered(
        &self,
        first: &Followers,
        message: &RawJson,
        offset: Option<u64>,
        access: &Access,
    ) {
        let channel = &self.channel;
        let mut kept = [const { None }; Format::COUNT];
        let mut serve = |followers: &Followers| {
            for socket in followers.values() {
                let encode = |message: &RawJson| {
                    socket.encode(&socket.dialect().publication(channel, message, offset))
                };
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
        serve(first);
        for part in self.parts().skip(1) {
            let followers = part.serving(self.droppable);
            serve(&followers);
            part.release(followers, self.droppable);
        }
    }

    /// Tells those who follow the channel by its name that something never came: they stand at another place now.
    fn tell_break(&self, place: &Position) {
        let text = self.broken(place);
        for part in self.parts() {
            let followers = part.serving(self.droppable);
            self.tell_each(&followers, &text);
            part.release(followers, self.droppable);
        }
    }

    /// What is said of something that never came.
    pub(super) fn broken(&self, place: &Position) -> Vec<u8> {
        tracing::warn!(channel = %self.channel, %place, "publications are missing before this place");
        let joined = Joined { position: Some(place), recovered: Some(false), ..Joined::default() };
        subscribed_by_server(&self.channel, &joined)
    }

    /// Says something to those who follow the channel by its name.
    pub(super) fn tell_each(&self, followers: &Followers, text: &[u8]) {
        for socket in followers.values().filter(|socket| socket.follows(&self.channel)) {
            socket.tell(|| text.to_vec());
        }
    }

    /// The part in which somebody is, or would be.
    pub(super) fn part_of(&self, membership: &Membership, id: SocketId) -> &Part {
        // Also before there are others: this may be what makes them.
        if self.first.contains(id, self.droppable) {
            return &self.first;
        }
        self.part_for_new(membership, id)
    }

    /// The same while the first part is held; `None`: the first.
    pub(super) fn part_beside(
        &self,
        first: &Followers,
        membership: &Membership,
        id: SocketId,
    ) -> Option<&Part> {
        if first.contains_key(&id) {
            return None;
        }
        Some(self.part_for_new(membership, id)).filter(|part| !std::ptr::eq(*part, &raw const self.first))
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The part for somebody who is in none. Before there are others, all are in the first one.
    fn part_for_new(&self, membership: &Membership, id: SocketId) -> &Part {
        let is_large = self.more.get().is_some() || membership.followers + membership.guests.len() >= LARGE;
        if is_large { self.part(id) } else { &self.first }
    }

    fn contains(&self, id: SocketId) -> bool {
        self.first.contains(id, self.droppable)
            || self.more.get().is_some() && self.part(id).contains(id, self.droppable)
    }

    fn take_out(&self, id: SocketId) -> bool {
        self.first.remove(id, self.droppable)
            || self.more.get().is_some() && self.part(id).remove(id, self.droppable)
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
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
