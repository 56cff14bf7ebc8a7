//! The channels with history that this node writes or reads, each with a line of what is asked of it.
//!
//! ```text
//! publish ──▶ line of the channel ──▶ its task: all that waits as one message ──▶ stream ──kept──▶ publishers
//! history ──▶          "                        "   one question for all      ──▶   "    ──tail──▶ readers
//! ```
//!
//! A channel has a task only while something waits in its line, so nothing of one channel overtakes, and what comes while
//! a message is under way goes with the next one. In: publications, queries, what was heard. Out: positions, pages.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use parking_lot::Mutex;
use tokensocket_protocol::Channel;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::channel::{Head, Known};
use super::frame::{Batch, Entry, Sent, ToNodes};
use super::keys::Keys;
use super::pending::Place;
use super::stream::{Stream, Which};
use crate::broker::{BrokerError, BrokerHandler, Published};
use crate::history::{History, HistoryPage, HistoryQuery};
use crate::nats::error::LinkError;
use crate::nats::link::Link;
use crate::nats::names::{self, Names};
use crate::timestamp::Timestamp;

/// After how long a channel that nobody asks for is put away.
const IDLE: Duration = Duration::from_mins(1);
/// For how long a node that was asked lets others append.
const POLITE: Duration = Duration::from_millis(30);

/// A publication that waits to be kept.
pub(super) struct Waiting {
    pub(super) entry: Entry,
    pub(super) history: History,
    /// For how long its key counts.
    pub(super) window: Duration,
    /// When its publisher no longer waits.
    pub(super) until: Instant,
    pub(super) told: oneshot::Sender<Result<Published, BrokerError>>,
    /// Given back when it is told.
    #[expect(dead_code, reason = "held for as long as this")]
    pub(super) place: Place,
}

/// A query that waits for its page.
pub(super) struct Reading {
    pub(super) query: HistoryQuery,
    pub(super) history: History,
    pub(super) now: Timestamp,
    pub(super) told: oneshot::Sender<Result<HistoryPage, BrokerError>>,
}

impl Reading {
    /// Whether it asks for nothing but the channel's place.
    pub(super) fn is_for_place(&self) -> bool {
        self.query.since.is_none() && self.query.limit == Some(0)
    }
}

/// One channel.
pub(super) struct Slot {
    pub(super) channel: Channel,
    pub(super) subject: String,
    pub(super) stream: usize,
    pub(super) line: Mutex<Line>,
    /// Until then others are let through.
    pub(super) polite_until: Mutex<Option<Instant>>,
    pub(super) known: Mutex<Known>,
}

/// What waits for one channel.
pub(super) struct Line {
    pub(super) publications: VecDeque<Waiting>,
    pub(super) readings: Vec<Reading>,
    /// Its epoch is to be kept for longer, by this history's age.
    pub(super) is_touched: bool,
    is_running: bool,
    used: Instant,
}

/// All of them.
pub(super) struct Histories {
    pub(super) link: Arc<Link>,
    pub(super) streams: Vec<Stream>,
    pub(super) keys: Arc<Keys>,
    pub(super) origin: u64,
    numbers: AtomicU64,
    /// Whether what waits does so while NATS is away.
    pub(super) waits: bool,
    slots: Mutex<HashMap<Channel, Arc<Slot>>>,
    /// Of all tails.
    pub(super) cached: AtomicUsize,
    names: Names,
    runtime: Handle,
    end: CancellationToken,
}

impl Histories {
    pub(super) fn new(
        link: &Arc<Link>,
        names: &Names,
        keys: Arc<Keys>,
        origin: u64,
        waits: bool,
        (runtime, end): (Handle, CancellationToken),
    ) -> Self {
        let live = names.subject("p");
        let streams = (0..link.options.history_streams)
            .map(|n| {
                let (name, subject) =
                    (names.stream(format_args!("history-{n}")), names.subject(format_args!("h{n}")));
                Stream::histories(name, &subject, &live, link)
            })
            .collect();
        Self {
            link: Arc::clone(link),
            streams,
            keys,
            origin,
            numbers: AtomicU64::new(1),
            waits,
            slots: Mutex::default(),
            cached: AtomicUsize::new(0),
            names: names.clone(),
            runtime,
            end,
        }
    }

    /// Puts a publication in its channel's line.
    pub(super) fn publish(self: &Arc<Self>, channel: &Channel, waiting: Waiting) {
        self.enter(channel, |line| line.publications.push_back(waiting));
    }

    /// Puts a query in its channel's line.
    pub(super) fn read(self: &Arc<Self>, channel: &Channel, reading: Reading) {
        self.enter(channel, |line| line.readings.push(reading));
    }

    fn enter(self: &Arc<Self>, channel: &Channel, put: impl FnOnce(&mut Line)) {
        // The line is held while the table is, so that no slot is put away in between.
        let (slot, begins) = {
            let mut slots = self.slots.lock();
            let slot = slots.entry(channel.clone()).or_insert_with(|| self.slot(channel));
            let slot = Arc::clone(slot);
            let mut line = slot.line.lock();
            put(&mut line);
            line.used = Instant::now();
            let begins = !std::mem::replace(&mut line.is_running, true);
            drop(line);
            (slot, begins)
        };
        if begins {
            let (all, end) = (Arc::clone(self), self.end.clone());
            self.runtime.spawn(async move { end.run_until_cancelled(Box::pin(all.work(&slot))).await });
        }
    }

    fn slot(&self, channel: &Channel) -> Arc<Slot> {
        let stream = stream_of(channel, self.streams.len());
        Arc::new(Slot {
            channel: channel.clone(),
            subject: self.names.subject(format_args!("h{stream}.{}", names::channel_tokens(channel))),
            stream,
            line: Mutex::new(Line {
                publications: VecDeque::new(),
                readings: Vec::new(),
                is_touched: false,
                is_running: false,
                used: Instant::now(),
            }),
            polite_until: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// Does what waits for one channel, until nothing does.
    async fn work(&self, slot: &Slot) {
        loop {
            let (publications, readings, is_touched) = {
                let mut line = slot.line.lock();
                let line = &mut *line;
                if line.publications.is_empty() && line.readings.is_empty() && !line.is_touched {
                    line.is_running = false;
                    return;
                }
                let publications = std::mem::take(&mut line.publications);
                (publications, std::mem::take(&mut line.readings), std::mem::take(&mut line.is_touched))
            };
            let is_sure = !publications.is_empty() && self.write(slot, publications).await;
            if !readings.is_empty() {
                self.answer(slot, readings, is_sure).await;
            }
            if is_touched {
                self.touch(slot).await;
            }
        }
    }

    /// A batch of this node's own, to stand behind the head.
    pub(super) fn batch(&self, head: &Head, entries: Vec<Entry>) -> Batch {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let sent = Sent { origin: self.origin, number };
        let (epoch, first) = (head.position.epoch.clone(), head.position.offset + 1);
        Batch { sent, at: Timestamp::now(), behind: head.sequence, epoch, first, entries }
    }

    /// Appends a message behind the one that it names, and says at which place. `None`: another stands there.
    pub(super) async fn append(&self, slot: &Slot, batch: &Batch) -> Result<Option<u64>, LinkError> {
        let stream = &self.streams[slot.stream];
        match stream.append(&self.link, &slot.subject, Some(batch.behind), batch.encode()).await {
            Ok(sequence) if self.link.is_strict() || sequence == batch.behind + 1 => Ok(Some(sequence)),
            // Two may have been let through.
            Ok(_) => self.find(slot, batch).await,
            Err(error) if error.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where a message that was sent stands, if it stands where it was to.
    pub(super) async fn find(&self, slot: &Slot, batch: &Batch) -> Result<Option<u64>, LinkError> {
        let which = Which::Next { seq: batch.behind + 1, next_by_subj: &slot.subject };
        // It is not known which of two it is until it was seen.
        let found =
            self.streams[slot.stream].get(&self.link, &which).await.map_err(|_| LinkError::Unknown)?;
        let found = found.and_then(|stored| Some((stored.sequence, Batch::decode(stored.payload)?)));
        match found {
            Some((sequence, found)) if found.sent == batch.sent => Ok(Some(sequence)),
            // What stood there may have been dropped since.
            Some((_, found)) if found.epoch == batch.epoch && found.first > batch.first => {
                Err(LinkError::Unknown)
            }
            _ => Ok(None),
        }
    }

    /// Changes what is known of a channel.
    pub(super) fn change<R>(&self, slot: &Slot, change: impl FnOnce(&mut Known) -> R) -> R {
        let mut known = slot.known.lock();
        let before = known.bytes();
        let changed = change(&mut known);
        self.cached.fetch_add(known.bytes().wrapping_sub(before), Ordering::Relaxed);
        changed
    }

    /// The stream published this again.
    pub(super) fn heard(&self, channel: &Channel, sequence: u64, batch: &Batch) {
        let slot = self.slots.lock().get(channel).cloned();
        if let Some(slot) = slot {
            self.change(&slot, |known| known.heard(sequence, batch));
        }
    }

    /// Another node cannot append to this channel, since this one always is faster.
    pub(super) fn make_way(&self, channel: &Channel) {
        if let Some(slot) = self.slots.lock().get(channel) {
            *slot.polite_until.lock() = Some(Instant::now() + POLITE);
        }
    }

    /// Asks all nodes to be let through.
    pub(super) async fn ask_for_way(&self, slot: &Slot) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let frame = ToNodes::make_way(Sent { origin: self.origin, number }, &slot.channel);
        let asking = self.link.client().publish(self.names.subject("n.all"), frame);
        // It is asked again if that is lost.
        let _ = self.link.during(async { asking.await.map_err(|_| LinkError::Away) }).await;
    }

    /// Puts away what nobody uses, and sees to it that the epochs of channels that are followed are kept.
    pub(super) fn expire(self: &Arc<Self>, handler: &Weak<dyn BrokerHandler>) {
        let Some(handler) = handler.upgrade() else { return };
        let slots: Vec<_> = self.slots.lock().values().cloned().collect();
        for slot in slots {
            let is_idle = slot.line.lock().used.elapsed() > IDLE;
            let is_aging = {
                let age = self.streams[slot.stream].span().map(|span| span.age);
                let known = slot.known.lock();
                let stored = known.head.as_ref().map(|head| head.stored);
                // Each look at the clock is another node's or this one's; a quarter leaves room for both.
                stored.zip(age).is_some_and(|(stored, age)| stored.until(Timestamp::now()) > age / 4)
            };
            if !is_idle && !is_aging {
                continue;
            }
            // Asked while nothing is held.
            match (handler.follows(&slot.channel), is_aging) {
                (true, true) => self.enter(&slot.channel, |line| line.is_touched = true),
                (true, false) => {}
                (false, _) => self.put_away(&slot),
            }
        }
    }

    /// The channels in this stream that are written, read or followed here.
    pub(super) fn channels_of(&self, stream: usize) -> Vec<Channel> {
        let slots = self.slots.lock();
        slots.values().filter(|slot| slot.stream == stream).map(|slot| slot.channel.clone()).collect()
    }

    fn put_away(&self, slot: &Slot) {
        let mut slots = self.slots.lock();
        let line = slot.line.lock();
        if !line.is_running && line.used.elapsed() > IDLE {
            slots.remove(&slot.channel);
            self.cached.fetch_sub(slot.known.lock().bytes(), Ordering::Relaxed);
        }
    }
}

/// Which of so many streams a channel is in: for all nodes the same (FNV-1a).
fn stream_of(channel: &Channel, streams: usize) -> usize {
    let hash = channel.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash % streams.max(1) as u64).unwrap_or_default()
}

/// What an error of NATS is to one whose publication or query waits.
pub(super) fn told(error: &LinkError) -> BrokerError {
    error.clone().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_spread_over_streams() {
        let of = |n: u64| Channel::new(format!("room:{n}")).map_or(9, |channel| stream_of(&channel, 4));
        let mut counts = [0; 4];
        (0..400).for_each(|n| counts[of(n)] += 1);
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
        assert_eq!(Channel::new("room:1").map(|channel| stream_of(&channel, 1)), Ok(0));
    }
}
