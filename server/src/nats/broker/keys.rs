//! Idempotency keys: which publications were accepted a short while ago, by any node.
//!
//! A record of a key tells until when it counts and where its publication stands. On a channel with history the record
//! is written behind the publication, which carries the key too: whoever appends the next message writes the records of
//! the last one first, so a key is known either way, whichever node died in between. On a channel without history the
//! record is made first, by whoever is fastest.
//!
//! In: keys of channels. Out: what is known of them. Knows nothing of how channels are kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use futures_util::future::try_join_all;
use tokensocket_protocol::{Channel, Position};

use super::frame::{EntryKey, KeyRecord};
use super::stream::{Span, Stored, Stream, Which};
use crate::nats::error::LinkError;
use crate::nats::link::Link;
use crate::nats::names::{self, Names};
use crate::timestamp::Timestamp;

/// For how long records are kept at least; a longer window makes it longer.
const LEAST: Duration = Duration::from_mins(15);

/// How long to wait before JetStream is asked again.
const AGAIN: Duration = Duration::from_millis(20);

/// The keys of all channels of a namespace.
#[derive(Debug)]
pub(super) struct Keys {
    link: Arc<Link>,
    names: Names,
    stream: Stream,
}

impl Keys {
    pub(super) fn new(link: &Arc<Link>, names: &Names) -> Self {
        let stream = Stream::keys(names.stream("keys"), &names.subject("k"), link);
        Self { link: Arc::clone(link), names: names.clone(), stream }
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

    /// Takes a key for a publication that is not kept, unless somebody has: `false`.
    pub(super) async fn take(
        &self,
        channel: &Channel,
        key: &EntryKey,
        now: Timestamp,
    ) -> Result<bool, LinkError> {
        let record = KeyRecord { end: key.end, owner: rand::random(), position: None };
        let until = Instant::now() + self.link.options.timeout;
        loop {
            match self.try_to_take(channel, key, &record, now).await {
                // It may be this one's by now, which its owner says.
                Err(error) if error.passes() && error != LinkError::Away && Instant::now() < until => {
                    self.stream.forget();
                    tokio::time::sleep(AGAIN).await;
                }
                Ok(None) => {}
                Ok(Some(is_taken)) => return Ok(is_taken),
                Err(error) => return Err(error),
            }
        }
    }

    /// `None`: somebody was faster with something.
    async fn try_to_take(
        &self,
        channel: &Channel,
        key: &EntryKey,
        record: &KeyRecord,
        now: Timestamp,
    ) -> Result<Option<bool>, LinkError> {
        self.ensure(now.until(key.end)).await?;
        let subject = self.subject(channel, &key.text);
        let (sequence, found) = self.find(&subject).await?;
        if let Some(found) = found.filter(|found| found.end > now) {
            return Ok(Some(found.owner == record.owner));
        }
        match self.stream.append(&self.link, &subject, Some(sequence), record.encode()).await {
            Ok(at) if self.link.is_strict() || at == sequence + 1 => Ok(Some(true)),
            // Two may have been let through: the record that is there now says whose it is.
            Ok(_) => Ok(None),
            Err(error) if error.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives back a key whose publication was not published after all.
    pub(super) async fn give_back(&self, channel: &Channel, key: &EntryKey) {
        let record = KeyRecord { end: Timestamp(0), owner: 0, position: None };
        let subject = self.subject(channel, &key.text);
        if let Err(error) = self.stream.append(&self.link, &subject, None, record.encode()).await {
            tracing::debug!(%channel, %error, "a key stays taken");
        }
    }
}
