//! Idempotency keys: which publications were accepted a short while ago, by any node.
//!
//! A record of a key tells until when it counts and where its publication stands. On a channel with history the record
//! is written behind the publication, which carries the key too: whoever appends the next message writes the records of
//! the last one first, so a key is known either way, whichever node died in between. On a channel without history the
//! record is made first, by whoever is fastest, as one that is being published by its owner, and again once it is:
//!
//! ```text
//! free ──taken──▶ owner's ──published──▶ nobody's: a duplicate
//!   ▲               │ └─ not known whether it was published: not known to anybody who asks
//!   └──given back───┘
//! ```
//!
//! In: keys of channels. Out: what is known of them. Knows nothing of how channels are kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Position};
use tokio::sync::Semaphore;

use super::frame::{EntryKey, KeyRecord};
use super::stream::{Span, Stored, Stream, Which};
use crate::nats::error::LinkError;
use crate::nats::link::Link;
use crate::nats::names::{self, Names};
use crate::timestamp::Timestamp;

/// For how long records are kept at least; a longer window makes it longer.
const LEAST: Duration = Duration::from_mins(15);

/// How long to wait before JetStream is asked again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// The same of what is done for a key behind its publication.
const LATER: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// For so many keys at once something is tried again behind their publications. Those beyond stay as they are.
const AT_ONCE: usize = 1024;
/// How often the records are counted, at most.
const COUNT: Duration = Duration::from_secs(1);

/// What came of an attempt to take a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Taken,
    /// It was published with this key.
    Duplicate,
    /// Somebody else is about to publish, or may have.
    Others,
    /// Somebody was faster with something.
    Raced,
}

/// Why a key was not taken.
#[derive(Debug)]
pub(super) struct NotTaken {
    pub(super) error: LinkError,
    /// It may be its owner's all the same, or become so yet.
    pub(super) may_stand: bool,
}

/// How many records there are, as far as this node knows.
#[derive(Debug, Default)]
struct Used {
    /// When they were counted last.
    counted: Option<Instant>,
    /// How many there were then, and how many came from here since.
    records: u64,
    /// For how many more there is room set aside.
    set_aside: u64,
}

/// Room for records. It is free again when this is dropped, unless it is used.
#[derive(Debug)]
pub(super) struct Room {
    used: Arc<Mutex<Used>>,
    count: u64,
}

impl Room {
    /// Whether so many records have room here.
    pub(super) fn is_for(&self, count: usize) -> bool {
        count as u64 <= self.count
    }

    /// They are made, so they count from now on.
    pub(super) fn be_used(self) {
        self.used.lock().records += self.count;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.lock().set_aside -= self.count;
    }
}

/// The keys of all channels of a namespace.
#[derive(Debug)]
pub(super) struct Keys {
    link: Arc<Link>,
    names: Names,
    stream: Stream,
    used: Arc<Mutex<Used>>,
    counting: tokio::sync::Mutex<()>,
    /// What is tried again behind publications.
    later: Semaphore,
}

impl Keys {
    pub(super) fn new(link: &Arc<Link>, names: &Names) -> Self {
        let stream = Stream::keys(names.stream("keys"), &names.subject("k"), link);
        let (link, names) = (Arc::clone(link), names.clone());
        let counting = tokio::sync::Mutex::new(());
        Self { link, names, stream, used: Arc::default(), counting, later: Semaphore::new(AT_ONCE) }
    }

    fn subject(&self, channel: &Channel, key: &str) -> String {
        // A channel is one token here, so that no key of one looks like another channel's.
        self.names.subject(format_args!("k.{}.{}", names::token(channel.as_str()), names::token(key)))
    }

    async fn ensure(&self, window: Duration) -> Result<(), LinkError> {
        // Longer than the window, since clocks differ.
        let age = LEAST.max(window.saturating_add(window / 4));
        self.stream.ensure(&self.link, Span { count: Some(1), age }).await
    }

    async fn find(&self, subject: &str) -> Result<(u64, Option<KeyRecord>), LinkError> {
        let found = self.stream.get(&self.link, &Which::Last(subject)).await?;
        let Some(Stored { sequence, payload }) = found else { return Ok((0, None)) };
        Ok((sequence, KeyRecord::decode(payload)))
    }

    /// What became of the publications of these keys, as far as they still count.
    pub(super) async fn look_up(
        &self,
        channel: &Channel,
        keys: &[(&EntryKey, Timestamp)],
        window: Duration,
    ) -> Result<Vec<Option<KeyRecord>>, LinkError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.ensure(window).await?;
        let looking = keys.iter().map(async |(key, now)| {
            let (_, record) = self.find(&self.subject(channel, &key.text)).await?;
            Ok(record.filter(|record| record.end > *now))
        });
        try_join_all(looking).await
    }

    /// Records keys of publications that are kept.
    pub(super) async fn record(
        &self,
        channel: &Channel,
        keys: &[(EntryKey, Position)],
        now: Timestamp,
    ) -> Result<(), LinkError> {
        // One whose window is over may be somebody else's by now.
        let counting: Vec<_> = keys.iter().filter(|(key, _)| key.end > now).collect();
        let Some(longest) = counting.iter().map(|(key, _)| now.until(key.end)).max() else { return Ok(()) };
        self.ensure(longest).await?;
        let recording = counting.into_iter().map(async |(key, position)| {
            let record = KeyRecord { end: key.end, owner: 0, position: Some(position.clone()) };
            self.stream.append(&self.link, &self.subject(channel, &key.text), None, record.encode()).await
        });
        try_join_all(recording).await.map(drop)
    }

    /// Room for so many more, if there is. Other nodes record theirs at the same time, so it may become a few too many.
    pub(super) async fn room(&self, more: usize) -> Result<Option<Room>, LinkError> {
        let is_old = || self.used.lock().counted.is_none_or(|when| when.elapsed() > COUNT);
        if is_old() {
            // One count does for all who wait.
            let _counting = self.counting.lock().await;
            if is_old() {
                let counted = self.stream.count(&self.link).await;
                let mut used = self.used.lock();
                used.counted = Some(Instant::now());
                match counted {
                    Ok(count) => used.records = count,
                    // Whoever takes or records them then knows more.
                    Err(error) if error.passes() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let count = more as u64;
        let mut used = self.used.lock();
        let after = used.records.saturating_add(used.set_aside).saturating_add(count);
        if after > self.link.options.max_keys {
            return Ok(None);
        }
        used.set_aside += count;
        drop(used);
        Ok(Some(Room { used: Arc::clone(&self.used), count }))
    }

    /// Whether something is known to be published with a key that counts.
    pub(super) async fn is_published(
        &self,
        channel: &Channel,
        key: &EntryKey,
        now: Timestamp,
    ) -> Result<bool, LinkError> {
        let (_, found) = self.find(&self.subject(channel, &key.text)).await?;
        Ok(found.is_some_and(|found| found.end > now && is_of_a_publication(&found)))
    }

    /// Takes a key for a publication of `owner` that is not kept, unless it was published with it: `false`. While somebody
    /// else is about to publish it, waits for what becomes of that. While NATS is away it waits for it, if it `waits`.
    pub(super) async fn take(
        &self,
        channel: &Channel,
        key: &EntryKey,
        now: Timestamp,
        owner: u64,
        waits: bool,
    ) -> Result<bool, NotTaken> {
        let record = KeyRecord { end: key.end, owner, position: None };
        let timeout = self.link.options.timeout;
        let mut until = Instant::now() + timeout;
        let (mut pause, mut may_stand, mut was_raced) = (AGAIN.0, false, false);
        loop {
            let error = match self.try_to_take(channel, key, &record, now, &mut may_stand).await {
                Ok(Attempt::Taken) => return Ok(true),
                Ok(Attempt::Duplicate) => return Ok(false),
                // Looked at again at once, by which it is mostly known; not so by a server that is behind.
                Ok(Attempt::Raced) if !was_raced => {
                    was_raced = true;
                    continue;
                }
                Ok(Attempt::Raced | Attempt::Others) => LinkError::Unknown,
                Err(LinkError::Away) if waits => {
                    self.link.returned().await;
                    until = Instant::now() + timeout;
                    LinkError::Nobody
                }
                Err(error) => {
                    // It may be this one's by now, which its owner says.
                    if error.passes() {
                        self.stream.forget();
                    }
                    error
                }
            };
            if !error.passes() || error == LinkError::Away || Instant::now() >= until {
                return Err(NotTaken { error, may_stand });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN.1);
        }
    }

    async fn try_to_take(
        &self,
        channel: &Channel,
        key: &EntryKey,
        record: &KeyRecord,
        now: Timestamp,
        may_stand: &mut bool,
    ) -> Result<Attempt, LinkError> {
        self.ensure(now.until(key.end)).await?;
        let subject = self.subject(channel, &key.text);
        let (sequence, found) = self.find(&subject).await?;
        if let Some(found) = found.filter(|found| found.end > now) {
            return Ok(if found.owner == record.owner {
                Attempt::Taken
            } else if is_of_a_publication(&found) {
                Attempt::Duplicate
            } else {
                Attempt::Others
            });
        }
        match self.stream.append(&self.link, &subject, Some(sequence), record.encode()).await {
            Ok(at) if self.link.is_strict() || at == sequence + 1 => Ok(Attempt::Taken),
            // Two may have been let through: the record that is there now says whose it is.
            Ok(_) => {
                *may_stand = true;
                Ok(Attempt::Raced)
            }
            Err(error) if error.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => Ok(Attempt::Raced),
            Err(error) => {
                *may_stand |= matches!(error, LinkError::Unknown | LinkError::Answer(_));
                Err(error)
            }
        }
    }

    /// Notes that what was to be published with a key that was taken is published. One try.
    pub(super) async fn note(&self, channel: &Channel, key: &EntryKey) -> Result<(), LinkError> {
        let record = KeyRecord { end: key.end, owner: NOBODY, position: None };
        let subject = self.subject(channel, &key.text);
        self.stream.append(&self.link, &subject, None, record.encode()).await.map(drop)
    }

    /// Notes it after a try that failed for this reason, until it is noted or the key is over.
    pub(super) async fn note_later(&self, channel: &Channel, key: &EntryKey, mut error: LinkError) {
        let noting = async {
            let mut pause = LATER.0;
            while error.passes() {
                self.wait(&mut pause).await;
                match self.note(channel, key).await {
                    Ok(()) => return,
                    Err(again) => error = again,
                }
            }
            tracing::debug!(%channel, %error, "a key stays taken");
        };
        self.later(channel, key, noting).await;
    }

    /// Gives back a key that `owner` has taken, or may have without being told, and whose publication was not published:
    /// until that is known for sure or the key is over.
    pub(super) async fn release(&self, channel: &Channel, key: &EntryKey, owner: u64) {
        let releasing = async {
            let subject = self.subject(channel, &key.text);
            let free = KeyRecord { end: Timestamp(0), owner: NOBODY, position: None };
            let (mut looks, mut pause) = (0, LATER.0);
            // What was sent may be under way still when it is looked at first.
            loop {
                match self.find(&subject).await {
                    Ok((sequence, Some(found))) if found.owner == owner => {
                        // Looked at again in any case.
                        match self.stream.append(&self.link, &subject, Some(sequence), free.encode()).await {
                            Ok(_) => (looks, pause) = (0, LATER.0),
                            Err(_) => looks = 0,
                        }
                    }
                    Ok(_) if looks == 1 => return,
                    Ok(_) => (looks, pause) = (1, LATER.0),
                    Err(_) => {}
                }
                self.wait(&mut pause).await;
            }
        };
        self.later(channel, key, releasing).await;
    }

    /// Does this, until the key is over, unless too much of the like is done already.
    async fn later(&self, channel: &Channel, key: &EntryKey, work: impl Future<Output = ()>) {
        let Ok(_permit) = self.later.try_acquire() else {
            tracing::debug!(%channel, "a key stays taken");
            return;
        };
        let left = Timestamp::now().until(key.end);
        // What is not done by then need not be done.
        let _ = tokio::time::timeout(left, work).await;
    }

    /// Waits before another try, longer each time, and for NATS.
    async fn wait(&self, pause: &mut Duration) {
        self.link.returned().await;
        tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        *pause = (*pause * 2).min(LATER.1);
    }
}

/// Whose a record is that nobody publishes any more.
const NOBODY: u64 = 0;

/// Whether a record that counts is of something that was published.
fn is_of_a_publication(record: &KeyRecord) -> bool {
    record.owner == NOBODY || record.position.is_some()
}
