//! How far one connection of a device has been sent its device's queue.
//!
//! ```text
//! Arriving ──arrived──▶ Reading ──gave all there is──▶ Live ──a seq is missing──▶ Reading
//! ```
//!
//! In: what the store found and what was appended since. Out: frames in the socket's outbox, each entry once, in
//! the order of the queue. Asks no store: who is told to read does.

use std::time::Duration;

use parking_lot::Mutex;
use tokensocket_protocol::command::deliver::Delivery;
use tokensocket_protocol::message as wire;

use super::{Acknowledge, Arrived, Device, Entry, Message, Resync};
use crate::socket::Socket;

/// So many resyncs wait for one client to say that it knows.
const RESYNCED: usize = 64;

/// One connection's place in its device's queue.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) device: Device,
    /// How long the device is remembered.
    pub(crate) ttl: Duration,
    /// The same for a device with a name.
    usual_ttl: Duration,
    place: Mutex<Place>,
}

#[derive(Debug)]
struct Place {
    stage: Stage,
    /// The first `seq` that was not sent, nor found to be gone.
    next: u64,
    /// The last `seq` that is known to have been appended.
    known: u64,
    /// A resync was sent while the store was read: what was read may be what it cleared.
    is_stale: bool,
    /// The resyncs that were sent, in that order, the latest of those that the device was not said to know.
    resynced: Vec<u64>,
    /// Resyncs of before the device was greeted.
    waiting: Vec<Resync>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The store was not asked yet, or has not answered.
    Arriving,
    /// Somebody reads the store and gives what it finds.
    Reading,
    /// Everything known was sent.
    Live,
    /// The connection has ended.
    Gone,
}

/// What is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Entries behind this one.
    pub(crate) after: u64,
    /// What is not found up to here is gone.
    known: u64,
}

/// What a device has, as a store is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    Entries(Acknowledge),
    Resyncs(Vec<u64>),
}

/// Whether the caller must read the store.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MustRead(pub(crate) bool);

/// What became of what was read.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// It was not in vain, even if there was nothing.
    pub(crate) sent: bool,
    pub(crate) must_read: MustRead,
}

impl Cursor {
    pub(crate) fn new(device: Device, ttl: Duration, usual_ttl: Duration) -> Self {
        let place = Place {
            stage: Stage::Arriving,
            next: 1,
            known: 0,
            is_stale: false,
            resynced: Vec::new(),
            waiting: Vec::new(),
        };
        Self { device, ttl, usual_ttl, place: Mutex::new(place) }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.place.lock().stage == Stage::Gone
    }

    /// The device has arrived: greets it, tells it its resyncs. `false` when the connection has ended meanwhile, so
    /// that whoever had it arrive must have it depart.
    pub(crate) fn arrived(&self, socket: &Socket, arrived: &Arrived) -> bool {
        let place = &mut *self.place.lock();
        if place.stage == Stage::Gone {
            return false;
        }
        place.stage = Stage::Reading;
        // What rang before may be of an epoch that the store has forgotten since; what is of this one is read now.
        place.known = arrived.last;
        let Device { id, .. } = &self.device;
        let settings =
            socket.dialect().settings(self.ttl, self.usual_ttl, id, &arrived.epoch, arrived.resumed);
        if let Some(settings) = settings {
            socket.say(&settings);
        }
        let waiting = std::mem::take(&mut place.waiting);
        let new = waiting.iter().filter(|resync| !arrived.resyncs.contains(resync));
        for resync in arrived.resyncs.iter().chain(new) {
            place.resync(socket, resync);
        }
        // Nothing was read yet.
        place.is_stale = false;
        true
    }

    /// What to read next; `None` when the connection has ended.
    pub(crate) fn reading(&self) -> Option<Reading> {
        let place = self.place.lock();
        (place.stage == Stage::Reading).then(|| Reading { after: place.next - 1, known: place.known })
    }

    /// Sends what was read. The first time, all of it is one batch.
    pub(crate) fn give(&self, socket: &Socket, reading: Reading, entries: &[Entry], is_first: bool) -> Given {
        let place = &mut *self.place.lock();
        if place.stage != Stage::Reading {
            return Given { sent: false, must_read: MustRead(false) };
        }
        if std::mem::take(&mut place.is_stale) {
            return Given { sent: false, must_read: MustRead(true) };
        }
        let unsent = || entries.iter().filter(|entry| entry.seq > reading.after).map(delivery);
        if is_first {
            if let Some(last) = entries.last() {
                socket.dialect().batch(last.seq, unsent(), |said| socket.say(&said));
            }
        } else {
            for delivery in unsent() {
                socket.say(&socket.dialect().deliver(delivery));
            }
        }
        let found = entries.last().map_or(0, |entry| entry.seq);
        place.next = place.next.max(found + 1).max(reading.known + 1);
        let is_behind = place.known >= place.next;
        if !is_behind {
            place.stage = Stage::Live;
        }
        Given { sent: true, must_read: MustRead(is_behind) }
    }

    /// An entry was appended: sends it if it is the next one.
    pub(crate) fn ring(&self, socket: &Socket, seq: u64, message: &Message) -> MustRead {
        let place = &mut *self.place.lock();
        place.known = place.known.max(seq);
        match place.stage {
            Stage::Live if seq == place.next => {
                let Message { event, args, .. } = message;
                socket.say(&socket.dialect().deliver(Delivery { seq, event, args }));
                place.next = seq + 1;
                MustRead(false)
            }
            Stage::Live if seq > place.next => {
                // One of before rings later, or never: its sender may have given up on the store.
                place.stage = Stage::Reading;
                MustRead(true)
            }
            Stage::Arriving | Stage::Reading | Stage::Live | Stage::Gone => MustRead(false),
        }
    }

    /// The queue was cleared up to `last`.
    pub(crate) fn overflowed(&self, socket: &Socket, last: u64, resync: &Resync) {
        let place = &mut *self.place.lock();
        place.known = place.known.max(last);
        if place.stage == Stage::Live {
            place.next = place.next.max(last + 1);
        }
        place.resync(socket, resync);
    }

    /// The device has to resync.
    pub(crate) fn resync(&self, socket: &Socket, resync: &Resync) {
        self.place.lock().resync(socket, resync);
    }

    /// What the device has, if this connection was sent it. A client that has it from an earlier connection gets it
    /// again on this one.
    pub(crate) fn acknowledged(&self, what: wire::Acknowledge) -> Option<Acknowledged> {
        let place = &mut *self.place.lock();
        if !matches!(place.stage, Stage::Reading | Stage::Live) {
            return None;
        }
        match what {
            wire::Acknowledge::One(seq) if seq < place.next => {
                Some(Acknowledged::Entries(Acknowledge::One(seq)))
            }
            wire::Acknowledge::Batch(seq) if seq < place.next => {
                Some(Acknowledged::Entries(Acknowledge::Through(seq)))
            }
            wire::Acknowledge::One(_) | wire::Acknowledge::Batch(_) => None,
            wire::Acknowledge::Resync(number) => {
                // The one and those that were sent before it have come.
                let at = place.resynced.iter().position(|&sent| sent == number)?;
                Some(Acknowledged::Resyncs(place.resynced.drain(..=at).collect()))
            }
        }
    }

    /// The connection has ended. Says, once, whether its device must depart.
    pub(crate) fn close(&self) -> bool {
        let stage = std::mem::replace(&mut self.place.lock().stage, Stage::Gone);
        matches!(stage, Stage::Reading | Stage::Live)
    }
}

impl Place {
    fn resync(&mut self, socket: &Socket, resync: &Resync) {
        match self.stage {
            Stage::Arriving => self.waiting.push(resync.clone()),
            Stage::Reading | Stage::Live => {
                self.is_stale = self.stage == Stage::Reading;
                if self.resynced.len() == RESYNCED {
                    // The store has it still, and tells it again.
                    self.resynced.remove(0);
                }
                self.resynced.push(resync.number);
                let Resync { number, event, reason } = resync;
                socket.say(&socket.dialect().resync(*number, event.as_deref(), *reason));
            }
            Stage::Gone => {}
        }
    }
}

fn delivery(entry: &Entry) -> Delivery<'_> {
    let Message { event, args, .. } = &entry.message;
    Delivery { seq: entry.seq, event, args }
}
