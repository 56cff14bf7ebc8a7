//! How a channel's history is read.
//!
//! ```text
//! many readers ──▶ where does it stand? ──tail is there──▶ pages
//!                         └──behind──▶ read on from where the tail ends ──▶ pages
//! ```
//!
//! All who wait share one question, and the tail stays in memory while there is room, so that a thousand who come back at
//! once cost little more than one. In: queries of one channel. Out: pages.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokensocket_protocol::Epoch;

use super::channel::{Head, Tail};
use super::frame::Batch;
use super::histories::{Histories, Reading, Slot, told};
use super::stream::{Stored, Which};
use super::writing::span;
use crate::history::History;
use crate::nats::error::LinkError;
use crate::timestamp::Timestamp;

/// How long to wait before a stream is asked again that does not answer for a moment, as when it is just being made.
const AGAIN: Duration = Duration::from_millis(10);

/// How long a server that has just begun to lead a stream with replicas may not have looked at all that it has.
const LAG: Duration = Duration::from_secs(2);
/// Of what is older than this it has.
const RECENT: Duration = Duration::from_mins(1);

impl Histories {
    /// Answers readings. `is_sure`: the head was the last message a moment ago, after these were asked.
    pub(super) async fn answer(&self, slot: &Slot, readings: Vec<Reading>, is_sure: bool) {
        let until = Instant::now() + self.link.options.timeout;
        let mut tries = 0;
        let outcome = loop {
            match self.catch_up(slot, &readings, is_sure && tries == 0).await {
                Err(error) if error.passes() && error != LinkError::Away && Instant::now() < until => {
                    tries += 1;
                    self.streams[slot.stream].forget();
                    tokio::time::sleep(AGAIN * tries.min(10)).await;
                }
                outcome => break outcome,
            }
        };
        if let Err(error) = outcome {
            for reading in readings {
                let _ = reading.told.send(Err(told(&error)));
            }
            return;
        }
        self.change(slot, |known| {
            for reading in readings {
                let Reading { query, history, now, told } = reading;
                let is_for_place = query.since.is_none() && query.limit == Some(0);
                let page = match (&known.head, &mut known.tail) {
                    (Some(head), _) if is_for_place => Some(head.place(&history, now)),
                    (_, Some(tail)) => Some(tail.page(&history, &query, now)),
                    _ => None,
                };
                let _ = told.send(page.ok_or_else(|| LinkError::Unknown.into()));
            }
        });
        if self.cached.load(Ordering::Relaxed) > self.link.options.cache {
            self.change(slot, |known| known.tail = None);
        }
    }

    /// Learns where the channel stands, and reads what the readings need.
    async fn catch_up(&self, slot: &Slot, readings: &[Reading], is_sure: bool) -> Result<(), LinkError> {
        let wanted = most(readings);
        let stream = &self.streams[slot.stream];
        stream.ensure(&self.link, span(&wanted)).await?;
        let head = slot.known.lock().head.clone().filter(|_| is_sure);
        let head = match head {
            Some(head) => head,
            None => self.read_head(slot).await?,
        };
        if readings.iter().all(Reading::is_for_place) {
            return Ok(());
        }
        let now = readings.iter().map(|reading| reading.now).max().unwrap_or_default();
        let (from, is_enough) = self.change(slot, |known| {
            let tail = known.tail.take().filter(|tail| tail.reaches(&wanted));
            let tail = tail.filter(|tail| tail.position().epoch == head.position.epoch);
            let tail = tail.unwrap_or_else(|| Tail::new(head.position.epoch.clone(), &wanted, now));
            let place = (tail.sequence, tail.position().offset >= head.position.offset);
            known.tail = Some(tail);
            place
        });
        if is_enough {
            return Ok(());
        }
        let stored = stream.read(&self.link, &slot.subject, from + 1).await?;
        let batches: Vec<(u64, Batch)> = stored
            .into_iter()
            .filter_map(|stored| Some((stored.sequence, Batch::decode(stored.payload)?)))
            .collect();
        let is_whole = self.change(slot, |known| {
            let Some(tail) = &mut known.tail else { return false };
            for (sequence, batch) in &batches {
                tail.follow(*sequence, batch, &wanted);
            }
            tail.position().epoch != head.position.epoch || tail.position().offset >= head.position.offset
        });
        if is_whole {
            Ok(())
        } else if self.link.options.replicas > 1 {
            // Read from a server that is a moment behind the one that leads.
            Err(LinkError::Nobody)
        } else {
            Err(LinkError::Answer("the stream ends before its last message".to_owned()))
        }
    }

    /// Asks where the channel stands. One of which nothing is kept begins a new epoch, and so does one whose stream has
    /// lost what was known to be in it.
    pub(super) async fn read_head(&self, slot: &Slot) -> Result<Head, LinkError> {
        let stream = &self.streams[slot.stream];
        let until = Instant::now() + LAG;
        loop {
            let before = slot.known.lock().head.clone();
            let found = stream.get(&self.link, &Which::Last(&slot.subject)).await?;
            let may_lag = self.link.options.replicas > 1 && Instant::now() < until;
            if may_lag && is_behind(before.as_ref(), found.as_ref()) {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            let found = match found {
                None => None,
                Some(Stored { sequence, payload }) => {
                    let batch = Batch::decode(payload);
                    let batch = batch
                        .ok_or_else(|| LinkError::Answer("what is kept is of another version".to_owned()))?;
                    Some(self.head_at(slot, sequence, &batch).await?)
                }
            };
            let behind = match found {
                None => 0,
                Some(found) if !is_lost(before.as_ref(), &found) => {
                    return Ok(self.change(slot, |known| {
                        // What was heard or appended meanwhile is newer.
                        let is_as_before =
                            |known: &Head| before.as_ref().is_some_and(|before| known.is(before));
                        if known
                            .head
                            .as_ref()
                            .is_none_or(|known| is_as_before(known) || known.sequence < found.sequence)
                        {
                            known.head = Some(found.clone());
                        }
                        known.head.clone().unwrap_or(found)
                    }));
                }
                Some(found) => {
                    tracing::warn!(channel = %slot.channel, "NATS has lost publications: another epoch begins");
                    found.sequence
                }
            };
            let head = Head::anew(behind, Epoch::from_random(rand::random()), Timestamp::now());
            if let Some(head) = self.say_where(slot, &head).await? {
                return Ok(head);
            }
        }
    }

    /// Where the channel stands if this is its last message: it may be one that does not count.
    async fn head_at(&self, slot: &Slot, sequence: u64, batch: &Batch) -> Result<Head, LinkError> {
        let head = Head::of(sequence, batch);
        if self.link.is_strict() || sequence == batch.behind + 1 || self.find(slot, batch).await?.is_some() {
            return Ok(head);
        }
        let stored = self.streams[slot.stream].read(&self.link, &slot.subject, batch.behind + 1).await?;
        let (mut last, mut counting) = (batch.behind, None);
        for Stored { sequence, payload } in stored {
            if let Some(batch) = Batch::decode(payload).filter(|batch| batch.behind >= last) {
                counting = Some(Head::of(sequence, &batch));
            }
            last = sequence;
        }
        if last < sequence && self.link.options.replicas > 1 {
            return Err(LinkError::Nobody);
        }
        let mut head = counting.unwrap_or(head);
        head.sequence = last.max(sequence);
        Ok(head)
    }

    /// Appends a message without publications, which says where the channel stands. `None`: somebody was faster.
    async fn say_where(&self, slot: &Slot, head: &Head) -> Result<Option<Head>, LinkError> {
        let batch = self.batch(head, Vec::new());
        let Some(sequence) = self.append(slot, &batch).await? else { return Ok(None) };
        let said = Head::of(sequence, &batch);
        self.change(slot, |known| known.head = Some(said.clone()));
        Ok(Some(said))
    }

    /// Keeps the channel's epoch for longer, unless somebody else did.
    pub(super) async fn touch(&self, slot: &Slot) {
        let touching = async {
            let head = self.read_head(slot).await?;
            let age = self.streams[slot.stream].span().map(|span| span.age);
            if age.is_some_and(|age| head.stored.until(Timestamp::now()) > age / 4) {
                self.say_where(slot, &head).await?;
            }
            Ok::<_, LinkError>(())
        };
        if let Err(error) = touching.await {
            tracing::debug!(channel = %slot.channel, %error, "its epoch is not kept for longer yet");
        }
    }
}

/// Whether a server that answers so is without what was known to be there a moment ago.
fn is_behind(before: Option<&Head>, found: Option<&Stored>) -> bool {
    before.is_some_and(|before| {
        let is_recent = before.stored.until(Timestamp::now()) < RECENT;
        is_recent && found.is_none_or(|found| found.sequence < before.sequence)
    })
}

/// Whether the stream has forgotten what was known to be in it, and nobody began another epoch for that.
fn is_lost(before: Option<&Head>, found: &Head) -> bool {
    before.is_some_and(|before| {
        before.position.epoch == found.position.epoch
            && (found.sequence < before.sequence || found.position.offset < before.position.offset)
    })
}

/// The most that any of these wants.
fn most(readings: &[Reading]) -> History {
    let first = readings.first().map_or_else(|| History::new(1, Duration::ZERO), |one| one.history.clone());
    readings.iter().fold(first, |most, reading| History {
        count: most.count.max(reading.history.count),
        age: most.age.max(reading.history.age),
        bytes: most.bytes.max(reading.history.bytes),
    })
}
