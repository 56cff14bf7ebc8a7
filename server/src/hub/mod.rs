//! Local fan-out: which sockets of this node follow which channel.
//!
//! ```text
//! Broker ──Publication──▶ Hub ──▶ Entry (pending, encoded once per format) ──▶ Outbox of each follower
//! ```
//!
//! In: publications from the broker, sockets that come and go. Out: bytes, the same for every follower of
//! a wire format. Never waits: a slow reader is its outbox's affair.

pub(crate) mod audience;
mod cork;
mod entry;
mod hole;
mod join;
mod joining;
mod mending;
mod part;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
#[allow(unsafe_code, reason = "the kernel is handed pointers")]
mod ring;
#[cfg(test)]
mod tests;
mod track;
mod wild;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Pattern};
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::broker::{Broker, BrokerError, Gap, Publication};
use crate::channels::Channels;
use crate::socket::Socket;
use entry::{Entry, Taken};
use hole::Room;
use wild::Wild;

pub(crate) use cork::{corked, flush_published};
pub(crate) use join::Confirm;
pub(crate) use joining::{Joining, Read};

/// How many parts the table of channels has, each with its own lock.
const SHARDS: usize = 64;

type Shard = Mutex<HashMap<Channel, Arc<Entry>>>;

/// What the broker says when it was told that a channel is followed, or no longer.
pub(crate) type Noted = BoxFuture<'static, Result<(), BrokerError>>;

/// The followers of every channel of this node.
pub(crate) struct Hub {
    shards: Box<[Shard]>,
    hasher: RandomState,
    wild: Wild,
    channels: Arc<Channels>,
    /// How much may be held behind holes.
    room: Room,
    /// What large channels are served in.
    tasks: TaskTracker,
}

impl Hub {
    pub(crate) fn new(tasks: TaskTracker, channels: Arc<Channels>) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            shards,
            hasher: RandomState::new(),
            wild: Wild::default(),
            channels,
            room: Room::default(),
            tasks,
        }
    }

    /// Adds a follower. The broker is told; the future says when it follows the channel.
    pub(crate) fn add(
        &self,
        channel: &Channel,
        socket: &Socket,
        access: &Access,
        broker: &dyn Broker,
    ) -> Option<Noted> {
        self.with_entry(channel, access, |entry| entry.add(socket, || broker.subscribe(channel)))
    }

    /// Removes a follower. For the last one of a channel the broker is told.
    pub(crate) fn remove(&self, channel: &Channel, socket: &Socket, broker: &dyn Broker) -> Option<Noted> {
        let entry = self.find(channel)?;
        let stays = !self.wild.is_empty() && socket.is_guest_of(channel);
        let told = entry.remove(socket.id(), stays, || broker.unsubscribe(channel))?;
        self.forget_gone(channel, &entry);
        Some(told)
    }

    /// Adds somebody who follows all channels that a pattern covers. The broker is told.
    pub(crate) fn add_pattern(&self, pattern: &Pattern, socket: &Socket, broker: &dyn Broker) -> Noted {
        // Whoever makes an entry from now on finds the socket here; in those that are there it is put now.
        let told = self.wild.add(pattern, socket, broker);
        for (_, entry) in self.covered(pattern) {
            // One that is gone is made again, if ever.
            let _ = entry.add_guest(socket);
        }
        told
    }

    /// Removes somebody who followed a pattern. For its last follower the broker is told.
    pub(crate) fn remove_pattern(
        &self,
        pattern: &Pattern,
        socket: &Socket,
        broker: &dyn Broker,
    ) -> Option<Noted> {
        let told = self.wild.remove(pattern, socket.id(), broker);
        for (channel, entry) in self.covered(pattern) {
            if !socket.is_guest_of(&channel) {
                entry.remove_guest(socket.id());
                self.forget_gone(&channel, &entry);
            }
        }
        told
    }

    /// Hands a publication to every follower, at the end of the burst if there is one. `true`: something before it never
    /// came, so it is held until that is mended.
    pub(crate) fn publish(&self, publication: &Publication, access: &Access) -> bool {
        let channel = &publication.channel;
        while let Some(entry) = self.find(channel).or_else(|| self.make_for_guests(channel, access)) {
            match entry.publish(publication, access) {
                Ok(Taken::Nothing) => return false,
                Ok(Taken::Pending) => {
                    cork::flush_soon(&entry);
                    return false;
                }
                Ok(Taken::Hole) => return true,
                Err(entry::Gone) => self.forget_gone(channel, &entry),
            }
        }
        false
    }

    /// The channels that have followers here, in no order.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        self.followed(|_| true)
    }

    /// Those of them that have a history.
    pub(crate) fn kept_channels(&self) -> Vec<Channel> {
        self.followed(|entry| entry.track.is_some())
    }

    /// Where a gap may be that nobody can look into: channels without history, and patterns, by their names.
    pub(crate) fn unkept(&self, gap: &Gap) -> Vec<Channel> {
        let (mut names, patterns) = match gap {
            Gap::All => (self.followed(|entry| entry.track.is_none()), self.wild.names(0, |_| true)),
            Gap::Channels(channels) => {
                let is_unkept = |channel: &&Channel| {
                    self.find(channel).is_some_and(|entry| entry.track.is_none() && entry.is_followed())
                };
                let covers =
                    |pattern: &Pattern| channels.iter().any(|channel| pattern.covers(channel.as_str()));
                (
                    channels.iter().filter(is_unkept).cloned().collect(),
                    self.wild.names(channels.len(), covers),
                )
            }
        };
        names.extend(patterns);
        names
    }

    fn followed(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Channel> {
        let mut channels = Vec::new();
        for shard in &self.shards {
            let entries: Vec<_> = shard.lock().iter().map(pair).collect();
            let followed = entries.into_iter().filter(|(_, entry)| wanted(entry) && entry.is_followed());
            channels.extend(followed.map(|(channel, _)| channel));
        }
        channels
    }

    /// How many channels have followers here, or had publications for followers of a pattern of late. Cheap.
    pub(crate) fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether anybody here follows the channel by its name.
    pub(crate) fn follows(&self, channel: &Channel) -> bool {
        self.find(channel).is_some_and(|entry| entry.is_followed())
    }

    /// The followers of a channel here.
    pub(crate) fn sockets(&self, channel: &Channel) -> Vec<Socket> {
        self.find(channel).map_or_else(Vec::new, |entry| entry.sockets())
    }

    /// Those who follow exactly this pattern here.
    pub(crate) fn pattern_sockets(&self, pattern: &Pattern) -> Vec<Socket> {
        self.wild.sockets(pattern)
    }

    /// Ends entries that were made for guests and are idle. Called every now and then.
    pub(crate) fn end_idle(&self) {
        if !self.wild.take_made() {
            return;
        }
        for shard in &self.shards {
            shard.lock().retain(|_, entry| {
                entry.end_if_idle();
                !entry.is_gone()
            });
        }
    }

    fn find(&self, channel: &Channel) -> Option<Arc<Entry>> {
        self.shard(channel).lock().get(channel).cloned()
    }

    /// Does something with a channel's entry, which is made if there is none.
    fn with_entry<R>(
        &self,
        channel: &Channel,
        access: &Access,
        work: impl Fn(&Arc<Entry>) -> Result<R, entry::Gone>,
    ) -> R {
        loop {
            let Some(entry) = self.find(channel).or_else(|| self.make(channel, access, 0)) else { continue };
            match work(&entry) {
                Ok(done) => return done,
                Err(entry::Gone) => self.forget_gone(channel, &entry),
            }
        }
    }

    /// The entry of a channel that nobody follows by its name, if anybody follows it by a pattern.
    fn make_for_guests(&self, channel: &Channel, access: &Access) -> Option<Arc<Entry>> {
        if self.wild.is_empty() {
            return None;
        }
        let made = self.make(channel, access, 1)?;
        if self.wild.note_made() {
            self.end_idle();
        }
        Some(made)
    }

    /// Makes a channel's entry if there is none, and it would have at least so many guests.
    fn make(&self, channel: &Channel, access: &Access, least: usize) -> Option<Arc<Entry>> {
        // The application's own code: asked before the table is locked.
        let droppable = access.drops_oldest(channel);
        let keeps = self.channels.history(channel).is_some();
        let mut shard = self.shard(channel).lock();
        if let Some(entry) = shard.get(channel) {
            return Some(Arc::clone(entry));
        }
        // Read while the table is locked: see `add_pattern`.
        let guests = self.wild.guests(channel);
        if guests.len() < least {
            return None;
        }
        let entry =
            Arc::new(Entry::new(channel, droppable, keeps.then(|| self.room.clone()), self.tasks.clone()));
        for guest in guests.values() {
            // It was made just now, so it is not gone.
            let _ = entry.add_guest(guest);
        }
        shard.insert(channel.clone(), Arc::clone(&entry));
        Some(entry)
    }

    fn covered(&self, pattern: &Pattern) -> Vec<(Channel, Arc<Entry>)> {
        let mut covered = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            covered.extend(shard.iter().filter(|(channel, _)| pattern.covers(channel.as_str())).map(pair));
        }
        covered
    }

    /// Takes a channel that is gone out of the table.
    fn forget_gone(&self, channel: &Channel, entry: &Arc<Entry>) {
        let mut shard = self.shard(channel).lock();
        if entry.is_gone() && shard.get(channel).is_some_and(|current| Arc::ptr_eq(current, entry)) {
            shard.remove(channel);
        }
    }

    fn shard(&self, channel: &Channel) -> &Shard {
        let hash = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or_default();
        &self.shards[hash]
    }
}

/// An engine that is slow to hear that a channel is no longer followed costs some traffic, not the caller's time.
pub(crate) fn leave_to(channel: &Channel, told: Noted) {
    match told.now_or_never() {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::warn!(%channel, %error, "the broker still follows a channel"),
        None => tracing::trace!(%channel, "leaving"),
    }
}

fn pair((channel, entry): (&Channel, &Arc<Entry>)) -> (Channel, Arc<Entry>) {
    (channel.clone(), Arc::clone(entry))
}
