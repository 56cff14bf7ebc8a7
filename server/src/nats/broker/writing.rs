//! How publications become a message of the stream.
//!
//! ```text
//! head known? ─no─▶ read it ─▶ keys known? ─▶ append behind the head ─yes─▶ positions
//!      ▲                                          │ another node was faster
//!      └──────────────────────────────────────────┘
//! ```
//!
//! A message whose outcome is not known is sent again on the same condition, so that it is kept at most once; whether the
//! first was kept is then seen by what stands behind the head. In: publications of one channel, in order. Out: their
//! positions, or why they have none.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use tokensocket_protocol::Position;

use super::NO_ROOM_FOR_KEYS;
use super::channel::Head;
use super::frame::{AROUND_BATCH, Batch, EntryKey};
use super::histories::{Histories, Slot, Waiting, told};
use super::keys::Room;
use super::stream::Span;
use crate::broker::{BrokerError, Published};
use crate::history::History;
use crate::nats::error::LinkError;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// So many publications go in one message, at most.
const MOST: usize = 4096;
/// What a stream keeps of each channel beyond what its history says: messages that only say where it stands.
const BEYOND: i64 = 8;
/// How long to wait before JetStream is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// After how many lost races in a row others are asked to make way, and how often.
const PATIENCE: u32 = 3;
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What is being written.
struct Write {
    waiting: Vec<Waiting>,
    /// What was sent of these, and whose outcome is not known.
    sent: Option<Batch>,
    /// Those that wait for one of what was sent, which has their key: by its place there.
    later: HashMap<usize, Vec<Waiting>>,
    /// For the keys of these.
    room: Option<Room>,
}

impl Histories {
    /// Keeps what it can of these, and tells who waits; what does not fit into one message goes back into the line.
    /// Says whether the channel's head is now known for sure.
    pub(super) async fn write(&self, slot: &Slot, mut all: VecDeque<Waiting>) -> bool {
        let room = self.link.client().max_payload().saturating_sub(AROUND_BATCH + 256);
        let mut bytes = 0;
        let fits = all.iter().take(MOST).take_while(|waiting| {
            bytes += waiting.entry.size();
            bytes <= room
        });
        // One that is too large by itself is refused before it comes here; a server may have become smaller.
        let count = fits.count().max(1);
        let rest = all.split_off(count);
        if !rest.is_empty() {
            let mut line = slot.line.lock();
            for waiting in rest.into_iter().rev() {
                line.publications.push_front(waiting);
            }
        }
        let mut write = Write { waiting: all.into(), sent: None, later: HashMap::new(), room: None };
        if self.waits {
            write.wait_from_now(self.link.options.timeout);
        }
        let polite_until = slot.polite_until.lock().take();
        if let Some(until) = polite_until.filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until.into()).await;
        }
        let (mut lost, mut asked) = (0, None::<Instant>);
        loop {
            write.give_up_late();
            if write.waiting.is_empty() {
                return false;
            }
            match self.attempt(slot, &mut write).await {
                Ok(true) => return true,
                Ok(false) => {
                    lost += 1;
                    if lost >= PATIENCE && asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN) {
                        self.ask_for_way(slot).await;
                        asked = Some(Instant::now());
                    }
                }
                Err(error) if error.passes() => self.pause(slot, &mut write, &error).await,
                Err(error) => {
                    write.fail(&told(&error));
                    return false;
                }
            }
        }
    }

    /// Waits until another attempt may succeed.
    async fn pause(&self, slot: &Slot, write: &mut Write, error: &LinkError) {
        if *error == LinkError::Nobody {
            // The stream may be gone, or about to be made by another node.
            self.streams[slot.stream].forget();
        }
        if self.link.is_there() {
            tokio::time::sleep(AGAIN.mul_f64(0.5 + rand::random::<f64>())).await;
            return;
        }
        if write.sent.is_none() && !self.waits {
            write.fail(&LinkError::Away.into());
            return;
        }
        let returned = self.link.returned();
        if let Some(until) = write.until().filter(|_| !self.waits || write.sent.is_some()) {
            drop(tokio::time::timeout_at(until.into(), returned).await);
        } else {
            returned.await;
            write.wait_from_now(self.link.options.timeout);
        }
    }

    /// One attempt. `true`: it is kept, and who waits was told.
    async fn attempt(&self, slot: &Slot, write: &mut Write) -> Result<bool, LinkError> {
        let history = write.history();
        self.streams[slot.stream].ensure(&self.link, span(&history)).await?;
        if let Some(batch) = write.sent.take() {
            return self.repeat(slot, write, batch, &history).await;
        }
        let head = self.head(slot).await?;
        self.record_keys(slot, &head, write.now()).await?;
        let later = self.duplicates(slot, write).await?;
        if write.waiting.is_empty() {
            return Ok(true);
        }
        let entries = write.waiting.iter().map(|waiting| waiting.entry.clone()).collect();
        let batch = self.batch(&head, entries);
        match self.append(slot, &batch).await {
            Ok(Some(sequence)) => {
                self.kept(slot, write, sequence, &batch, &history, later).await;
                Ok(true)
            }
            Ok(None) => {
                write.take_back(later);
                self.outdated(slot, head.sequence);
                Ok(false)
            }
            Err(error) => {
                if error == LinkError::Unknown {
                    (write.sent, write.later) = (Some(batch), later);
                } else {
                    write.take_back(later);
                }
                Err(error)
            }
        }
    }

    /// Sends again what may have been kept: on the same condition, so that it is kept at most once.
    async fn repeat(
        &self,
        slot: &Slot,
        write: &mut Write,
        batch: Batch,
        history: &History,
    ) -> Result<bool, LinkError> {
        let place = match self.append(slot, &batch).await {
            Ok(None) => self.find(slot, &batch).await,
            outcome => outcome,
        };
        let place = match place {
            Ok(place) => place,
            Err(error) => {
                write.sent = Some(batch);
                return Err(error);
            }
        };
        self.outdated(slot, batch.behind);
        let later = std::mem::take(&mut write.later);
        match place {
            Some(sequence) => self.kept(slot, write, sequence, &batch, history, later).await,
            None => write.take_back(later),
        }
        Ok(place.is_some())
    }

    /// Another node has appended behind this place: what is known of the head is no longer so.
    fn outdated(&self, slot: &Slot, sequence: u64) {
        self.change(slot, |known| {
            if known.head.as_ref().is_some_and(|head| head.sequence <= sequence) {
                known.head = None;
            }
        });
    }

    /// Where the channel stands, as far as is known: if that is outdated, nothing is appended.
    async fn head(&self, slot: &Slot) -> Result<Head, LinkError> {
        let head = slot.known.lock().head.clone();
        match head {
            Some(head) => Ok(head),
            None => self.read_head(slot).await,
        }
    }

    /// Before anything stands behind the last message, its keys are recorded.
    async fn record_keys(&self, slot: &Slot, head: &Head, now: Timestamp) -> Result<(), LinkError> {
        if head.keys.is_empty() {
            return Ok(());
        }
        self.keys.record(&slot.channel, &head.keys, now).await?;
        self.change(slot, |known| {
            if let Some(known) = known.head.as_mut().filter(|known| known.sequence == head.sequence) {
                known.keys.clear();
            }
        });
        Ok(())
    }

    /// Answers those whose key is known; those that share a key with an earlier one of the same message wait for it, by
    /// its place among those that are left.
    async fn duplicates(
        &self,
        slot: &Slot,
        write: &mut Write,
    ) -> Result<HashMap<usize, Vec<Waiting>>, LinkError> {
        let of = |waiting: &Waiting| waiting.entry.key.clone();
        let keys: Vec<(usize, EntryKey)> =
            write.waiting.iter().enumerate().filter_map(|(n, waiting)| Some((n, of(waiting)?))).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let window = write.waiting.iter().map(|waiting| waiting.window).max().unwrap_or_default();
        let asked: Vec<_> = keys.iter().map(|(n, key)| (key, write.waiting[*n].entry.at)).collect();
        let records = self.keys.look_up(&slot.channel, &asked, window).await?;
        let known: HashMap<usize, Option<Position>> =
            keys.iter().zip(records).filter_map(|((n, _), record)| Some((*n, record?.position))).collect();
        // One that is kept and whose key cannot be recorded would hold up all that come behind it.
        let unknown: HashSet<&str> =
            keys.iter().filter(|(n, _)| !known.contains_key(n)).map(|(_, key)| &*key.text).collect();
        if !write.room.as_ref().is_some_and(|room| room.is_for(unknown.len())) {
            // What was set aside for fewer is free again.
            write.room = None;
            if !unknown.is_empty() {
                write.room = self.keys.room(unknown.len()).await?;
            }
        }
        let is_room = write.room.is_some();
        let mut first: HashMap<String, usize> = HashMap::new();
        let mut later: HashMap<usize, Vec<Waiting>> = HashMap::new();
        let mut fresh: Vec<Waiting> = Vec::with_capacity(write.waiting.len());
        for (n, waiting) in std::mem::take(&mut write.waiting).into_iter().enumerate() {
            if let Some(position) = known.get(&n) {
                let published = Published { position: position.clone(), duplicate: true };
                let _ = waiting.told.send(Ok(published));
                continue;
            }
            let key = waiting.entry.key.as_ref().map(|key| key.text.clone());
            if key.is_some() && !is_room {
                let _ = waiting.told.send(Err(NO_ROOM_FOR_KEYS));
                continue;
            }
            if let Some(place) = key.as_ref().and_then(|key| first.get(key)) {
                later.entry(*place).or_default().push(waiting);
                continue;
            }
            if let Some(key) = key {
                first.insert(key, fresh.len());
            }
            fresh.push(waiting);
        }
        write.waiting = fresh;
        Ok(later)
    }

    /// It is kept: tells who waits, and records the keys.
    async fn kept(
        &self,
        slot: &Slot,
        write: &mut Write,
        sequence: u64,
        batch: &Batch,
        history: &History,
        mut later: HashMap<usize, Vec<Waiting>>,
    ) {
        let purge = self.change(slot, |known| {
            known.appended(sequence, batch, history);
            known.purge()
        });
        for (n, (offset, waiting)) in (batch.first..).zip(std::mem::take(&mut write.waiting)).enumerate() {
            let position = Some(Position { epoch: batch.epoch.clone(), offset });
            for later in later.remove(&n).into_iter().flatten() {
                let _ = later.told.send(Ok(Published { position: position.clone(), duplicate: true }));
            }
            let _ = waiting.told.send(Ok(Published { position, duplicate: false }));
        }
        if let Some(room) = write.room.take() {
            room.be_used();
        }
        let head = Head::of(sequence, batch);
        let now = batch.entries.iter().map(|entry| entry.at).max().unwrap_or_default();
        if let Err(error) = self.record_keys(slot, &head, now).await {
            // They are recorded before anything else is appended.
            tracing::debug!(channel = %slot.channel, %error, "keys wait to be recorded");
        }
        // Servers before 2.10 do not give the room of a purge by subject back to the account; and one of a cluster that begins
        // anew does it again as one of all channels. There the stream's own limits are all there is.
        if let Some(before) = purge.filter(|_| self.link.is_strict())
            && let Err(error) = self.streams[slot.stream].purge(&self.link, &slot.subject, before).await
        {
            tracing::debug!(channel = %slot.channel, %error, "what is not needed stays in the stream");
        }
    }
}

/// What the stream must keep of each channel, so that a channel keeps this, and knows its epoch for twice as long.
pub(super) fn span(history: &History) -> Span {
    let count = i64::try_from(history.count).unwrap_or(i64::MAX).saturating_add(BEYOND);
    let age = history.age.saturating_mul(2).saturating_add(Duration::from_mins(1));
    // Whole seconds, so that nodes agree.
    Span { count: Some(count), age: Duration::from_secs(age.as_secs().min(100 * 365 * 24 * 3600) + 1) }
}

impl Write {
    /// What the stream must keep for all of these.
    fn history(&self) -> History {
        let all = self.waiting.iter().map(|waiting| &waiting.history);
        let first = all.clone().next().cloned().unwrap_or_else(|| History::new(1, Duration::ZERO));
        all.fold(first, |most, history| History {
            count: most.count.max(history.count),
            age: most.age.max(history.age),
            bytes: most.bytes.max(history.bytes),
        })
    }

    /// The publishers' time.
    fn now(&self) -> Timestamp {
        self.waiting.iter().map(|waiting| waiting.entry.at).max().unwrap_or_default()
    }

    fn until(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// What waited for NATS has its time from now on.
    fn wait_from_now(&mut self, time: Duration) {
        let until = Instant::now() + time;
        self.waiting.iter_mut().for_each(|waiting| waiting.until = waiting.until.max(until));
    }

    /// Tells those who have waited for long enough. What was sent goes together.
    fn give_up_late(&mut self) {
        let now = Instant::now();
        let is_late = |waiting: &Waiting| waiting.until <= now;
        if self.sent.is_some() {
            if self.waiting.iter().any(is_late) {
                self.fail(&StoreError::Timeout.into());
            }
            return;
        }
        let (late, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(is_late);
        self.waiting = waiting;
        for waiting in late {
            let _ = waiting.told.send(Err(LinkError::Nobody.into()));
        }
    }

    fn fail(&mut self, error: &BrokerError) {
        self.sent = None;
        let later = std::mem::take(&mut self.later);
        self.take_back(later);
        for waiting in self.waiting.drain(..) {
            let _ = waiting.told.send(Err(error.clone()));
        }
    }

    /// Nothing was kept: those who would have been duplicates stand in the line again, behind the others.
    fn take_back(&mut self, later: HashMap<usize, Vec<Waiting>>) {
        self.waiting.extend(later.into_values().flatten());
    }
}
