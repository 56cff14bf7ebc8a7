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
    /// A resync was sent while the store was read, so that what was read may be what it cleared; or something may have
    /// been appended since it was read.
    is_stale: bool,
    /// The resyncs that were sent, in that order: the latest of them.
    resynced: Vec<Sent>,
    /// Resyncs of before the device was greeted.
    waiting: Vec<Resync>,
}

/// A resync that was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    /// The device said that it knows.
    is_known: bool,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// An entry was appended which the caller does not have: it is read unless it was sent.
    pub(crate) fn look(&self, seq: u64) -> MustRead {
        let place = &mut *self.place.lock();
        place.known = place.known.max(seq);
        let is_missing = place.stage == Stage::Live && seq >= place.next;
        if is_missing {
            place.stage = Stage::Reading;
        }
        MustRead(is_missing)
    }

    /// Entries may have been appended of which nobody knows here: whatever there is is read.
    pub(crate) fn look_anew(&self) -> MustRead {
        let place = &mut *self.place.lock();
        match place.stage {
            Stage::Live => {
                place.stage = Stage::Reading;
                MustRead(true)
            }
            Stage::Reading => {
                // Whoever reads may have read before they were appended.
                place.is_stale = true;
                MustRead(false)
            }
            Stage::Arriving | Stage::Gone => MustRead(false),
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
                let at = place.resynced.iter().position(|sent| sent.number == number && !sent.is_known)?;
                let known = place.resynced[..=at].iter_mut().filter(|sent| !sent.is_known);
                let numbers = known.map(|sent| {
                    sent.is_known = true;
                    sent.number
                });
                Some(Acknowledged::Resyncs(numbers.collect()))
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
            // Who told of it may do so twice.
            Stage::Reading | Stage::Live if self.resynced.iter().any(|sent| sent.number == resync.number) => {
            }
            Stage::Reading | Stage::Live => {
                self.is_stale = self.stage == Stage::Reading;
                if self.resynced.len() == RESYNCED {
                    // The store has it still, and tells it again.
                    self.resynced.remove(0);
                }
                self.resynced.push(Sent { number: resync.number, is_known: false });
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use tokensocket_protocol::{Epoch, RawJson};

    use super::*;
    use crate::format::Format;
    use crate::session::outbox::{Limits, Outbox};
    use crate::socket::SocketId;
    use crate::socket::tests::Nowhere;
    use crate::timestamp::Timestamp;

    fn entry(seq: u64) -> Entry {
        let message = Message { event: "e".into(), args: RawJson::null(), resync: false, key: None };
        Entry { seq, message, at: Timestamp(0) }
    }

    /// A cursor that was given the first `last` entries.
    fn live(last: u64) -> (Socket, Cursor) {
        let outbox = Outbox::new(Limits { messages: 100, bytes: 10_000 }, None);
        let socket = Socket::new(SocketId(1), None, Format::Raw, outbox, Arc::new(Nowhere));
        let device = Device { user: "ann".into(), id: "phone".into() };
        let cursor = Cursor::new(device, Duration::ZERO, Duration::ZERO);
        let epoch = Epoch::from_random(1);
        assert!(cursor.arrived(&socket, &Arrived { epoch, resumed: true, last, resyncs: Vec::new() }));
        read(&socket, &cursor, 1..=last, MustRead(false));
        (socket, cursor)
    }

    /// The store answers that it has these.
    fn read(socket: &Socket, cursor: &Cursor, seqs: impl IntoIterator<Item = u64>, again: MustRead) {
        let entries: Vec<Entry> = seqs.into_iter().map(entry).collect();
        let Some(reading) = cursor.reading() else { panic!("nobody reads") };
        assert_eq!(cursor.give(socket, reading, &entries, false).must_read, again);
    }

    /// The ids that were sent since the last time.
    fn sent(socket: &Socket) -> Vec<u64> {
        let mut bytes = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        let flushed = socket.outbox().poll_flush(&mut cx, |some, _| {
            bytes.extend_from_slice(some);
            Poll::Ready(Ok(some.len()))
        });
        assert!(flushed.is_ready());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        text.split("{\"id\":").skip(1).filter_map(number).collect()
    }

    #[test]
    fn what_another_node_appended_is_read_once() {
        let (socket, cursor) = live(2);
        assert_eq!(sent(&socket), [1, 2]);
        assert_eq!(cursor.look(2), MustRead(false), "it was sent");
        assert_eq!(cursor.look(3), MustRead(true));
        assert_eq!(cursor.look(4), MustRead(false), "somebody reads");
        read(&socket, &cursor, [3, 4], MustRead(false));
        assert_eq!(cursor.look(4), MustRead(false), "it came late");
        assert_eq!(cursor.ring(&socket, 3, &entry(3).message), MustRead(false), "it came twice");
        assert_eq!(sent(&socket), [3, 4]);
    }

    #[test]
    fn what_was_appended_after_it_was_read_is_not_taken_for_read() {
        let (socket, cursor) = live(1);
        assert_eq!(sent(&socket), [1]);
        assert_eq!(cursor.look_anew(), MustRead(true));
        let Some(reading) = cursor.reading() else { panic!("nobody reads") };
        // The store has answered, with nothing; then 2 is appended, and its hint lost.
        assert_eq!(cursor.look_anew(), MustRead(false));
        assert_eq!(cursor.give(&socket, reading, &[], false).must_read, MustRead(true));
        read(&socket, &cursor, [2], MustRead(false));
        assert_eq!(sent(&socket), [2]);
    }
}
