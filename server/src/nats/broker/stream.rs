//! What the stream of histories, and that of keys, are asked.
//!
//! In: subjects, batches, places in a stream. Out: the same, or what is known of what was asked. Knows the engine's words,
//! and nothing of what a channel's history means.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_EXPECTED_STREAM};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, push};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::nats::error::LinkError;
use crate::nats::fresh::Fresh;
use crate::nats::link::Link;

/// How many keys there is room for beyond those that are let in: what was let in by several nodes at once must be recorded,
/// or its channel could not go on.
const SPARE_KEYS: u64 = 1 << 17;
/// How often in a row a stream is changed that others change, too.
const CHANGES: usize = 5;

/// One stream: what it is to be, and what is known of it.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its name.
    name: String,
    /// What it keeps, but how much of each subject and for how long.
    config: Config,
    /// How much it is known to keep.
    known: Fresh<Span>,
    /// How much this node has asked it to keep, and it has once.
    needed: Mutex<Option<Span>>,
    making: tokio::sync::Mutex<()>,
}

/// How much of each subject a stream keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// So many messages; `None`: as many as come.
    pub(super) count: Option<i64>,
    /// For so long.
    pub(super) age: Duration,
}

impl Span {
    fn covers(&self, other: &Self) -> bool {
        let is_enough = match (self.count, other.count) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own >= other,
        };
        is_enough && self.age >= other.age
    }

    fn and(&self, other: &Self) -> Self {
        let count = self.count.zip(other.count).map(|(own, other)| own.max(other));
        Self { count, age: self.age.max(other.age) }
    }
}

/// A message of a stream.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) payload: Bytes,
}

/// Which message of a stream.
#[derive(Debug, Serialize)]
pub(super) enum Which<'a> {
    /// The last of a subject.
    #[serde(rename = "last_by_subj")]
    Last(&'a str),
    /// The first of a subject from a place on.
    #[serde(untagged)]
    Next { seq: u64, next_by_subj: &'a str },
}

#[derive(Deserialize)]
struct Found {
    message: FoundMessage,
}

#[derive(Deserialize)]
struct FoundMessage {
    seq: u64,
    #[serde(default)]
    data: String,
}

impl Stream {
    /// The stream of histories: each message is published again, on `live`, once it is kept.
    pub(super) fn histories(name: String, subject: &str, live: &str, link: &Link) -> Self {
        let republish = Republish {
            source: format!("{subject}.>"),
            destination: format!("{live}.>"),
            headers_only: false,
        };
        let config = Config {
            subjects: vec![format!("{subject}.>")],
            republish: Some(republish),
            max_bytes: limit(link.options.max_history_bytes),
            description: Some("histories of TokenSocket's channels".to_owned()),
            ..Self::config(&name, link)
        };
        Self::new(name, config)
    }

    /// The stream of idempotency keys: one record for each.
    pub(super) fn keys(name: String, subject: &str, link: &Link) -> Self {
        let config = Config {
            subjects: vec![format!("{subject}.>")],
            max_messages: limit(Some(link.options.max_keys.saturating_add(SPARE_KEYS))),
            discard: DiscardPolicy::New,
            description: Some("idempotency keys of TokenSocket's publications".to_owned()),
            ..Self::config(&name, link)
        };
        Self::new(name, config)
    }

    fn config(name: &str, link: &Link) -> Config {
        Config {
            name: name.to_owned(),
            max_bytes: -1,
            max_messages: -1,
            max_consumers: -1,
            storage: StorageType::File,
            num_replicas: link.options.replicas,
            allow_direct: true,
            ..Config::default()
        }
    }

    fn new(name: String, config: Config) -> Self {
        Self {
            name,
            config,
            known: Fresh::new(),
            needed: Mutex::new(None),
            making: tokio::sync::Mutex::new(()),
        }
    }

    /// How much it keeps, as far as that is known.
    pub(super) fn span(&self) -> Option<Span> {
        self.known.last()
    }

    /// Forgets that the stream is there, so that it is looked for again.
    pub(super) fn forget(&self) {
        self.known.forget();
    }

    /// Sees to it that the stream is there and keeps at least so much, and what was asked for before. Two nodes that
    /// change it at once each go by what was there before: so it is looked at again, and now and then from then on.
    pub(super) async fn ensure(&self, link: &Link, span: Span) -> Result<(), LinkError> {
        if self.is_known_to_keep(&span) {
            return Ok(());
        }
        // One asks at a time: who waits for that has no more time than who asks.
        let making = tokio::time::timeout(link.options.timeout, self.make(link, span));
        making.await.unwrap_or(Err(LinkError::Nobody))
    }

    fn is_known_to_keep(&self, span: &Span) -> bool {
        self.known.get().is_some_and(|known| known.covers(span))
    }

    async fn make(&self, link: &Link, span: Span) -> Result<(), LinkError> {
        let _making = self.making.lock().await;
        if self.is_known_to_keep(&span) {
            return Ok(());
        }
        let needed = self.needed.lock().map_or(span, |needed| needed.and(&span));
        for _ in 0..CHANGES {
            let info: Response<jetstream::stream::Info> = self.api(link, "INFO", &()).await?;
            let (verb, wanted, config) = match info {
                Response::Ok(info) => {
                    let keeps = keeps(&info.config);
                    if keeps.covers(&needed) {
                        // Not before: what it will not keep must not be in the way of what it does.
                        *self.needed.lock() = Some(needed);
                        self.known.is_seen(keeps);
                        return Ok(());
                    }
                    ("UPDATE", keeps.and(&needed), info.config)
                }
                Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    ("CREATE", needed, self.config.clone())
                }
                Response::Err { error } => return Err(error.into()),
            };
            self.known.forget();
            let config = Config {
                max_messages_per_subject: wanted.count.unwrap_or(-1),
                max_age: if wanted.age == Duration::MAX { Duration::ZERO } else { wanted.age },
                ..config
            };
            match self.api(link, verb, &config).await? {
                Response::<jetstream::stream::Info>::Ok(_) => {}
                // Another node was faster.
                Response::Err { error } if error.error_code() == ErrorCode::STREAM_NAME_EXIST => {}
                Response::Err { error } => return Err(error.into()),
            }
        }
        // Others change it all the time.
        Err(LinkError::Nobody)
    }

    /// How many messages there are.
    pub(super) async fn count(&self, link: &Link) -> Result<u64, LinkError> {
        let info = self.api(link, "INFO", &()).await?;
        match info {
            Response::<jetstream::stream::Info>::Ok(info) => Ok(info.state.messages),
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(0),
            Response::Err { error } => Err(error.into()),
        }
    }

    /// Asks something about the stream that can be asked again.
    async fn api<T: serde::de::DeserializeOwned>(
        &self,
        link: &Link,
        verb: &str,
        request: &(impl Serialize + Sync),
    ) -> Result<T, LinkError> {
        link.jetstream()?;
        let answer = |error: serde_json::Error| LinkError::Answer(error.to_string());
        let question = serde_json::to_vec(request).map_err(answer)?;
        let subject = format!("$JS.API.STREAM.{verb}.{}", self.name);
        let answered = link.request_again(subject, None, question.into()).await?;
        serde_json::from_slice(&answered.payload).map_err(answer)
    }

    /// Appends a message if the last one of its subject is `last` (0: if there is none; `None`: in any case), and
    /// returns its place.
    pub(super) async fn append(
        &self,
        link: &Link,
        subject: &str,
        last: Option<u64>,
        payload: Bytes,
    ) -> Result<u64, LinkError> {
        link.jetstream()?;
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string().as_str());
        }
        headers.insert(NATS_EXPECTED_STREAM, self.name.as_str());
        let answer = link.request_again(subject.to_owned(), Some(headers), payload).await?;
        let answer: Response<PublishAck> =
            serde_json::from_slice(&answer.payload).map_err(|error| LinkError::Answer(error.to_string()))?;
        match answer {
            Response::Ok(kept) => Ok(kept.sequence),
            Response::Err { error } => Err(error.into()),
        }
    }

    /// Reads one message. Where a stream has replicas its leader is asked, since the others may be behind.
    pub(super) async fn get(&self, link: &Link, which: &Which<'_>) -> Result<Option<Stored>, LinkError> {
        link.jetstream()?;
        let question = serde_json::to_vec(which).map_err(|error| LinkError::Answer(error.to_string()))?;
        if self.config.num_replicas == 1 {
            let subject = format!("$JS.API.DIRECT.GET.{}", self.name);
            let answer = link.request_again(subject, None, question.into()).await?;
            return match answer.status.map(|status| status.as_u16()) {
                None => {
                    let sequence = answer
                        .headers
                        .as_ref()
                        .and_then(|all| all.get("Nats-Sequence")?.as_str().parse().ok());
                    let sequence = sequence.ok_or_else(|| LinkError::Answer("no sequence".to_owned()))?;
                    Ok(Some(Stored { sequence, payload: answer.payload }))
                }
                Some(404) => Ok(None),
                Some(status) => {
                    Err(LinkError::Answer(format!("{status} {}", answer.description.unwrap_or_default())))
                }
            };
        }
        let answer = link
            .request_again(format!("$JS.API.STREAM.MSG.GET.{}", self.name), None, question.into())
            .await?;
        let answer: Response<Found> =
            serde_json::from_slice(&answer.payload).map_err(|error| LinkError::Answer(error.to_string()))?;
        match answer {
            Response::Ok(Found { message }) => {
                let payload =
                    STANDARD.decode(message.data).map_err(|error| LinkError::Answer(error.to_string()))?;
                Ok(Some(Stored { sequence: message.seq, payload: payload.into() }))
            }
            Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            Response::Err { error } => Err(error.into()),
        }
    }

    /// Reads all messages of a subject from a place on.
    pub(super) async fn read(&self, link: &Link, subject: &str, from: u64) -> Result<Vec<Stored>, LinkError> {
        let jetstream = link.jetstream()?;
        let reading = async {
            let inbox = link.client().new_inbox();
            let subscribing = link.client().subscribe(inbox.clone());
            let mut messages = subscribing.await.map_err(|error| LinkError::Answer(error.to_string()))?;
            let config = push::Config {
                deliver_subject: inbox,
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.max(1) },
                ack_policy: AckPolicy::None,
                filter_subject: subject.to_owned(),
                num_replicas: 1,
                memory_storage: true,
                inactive_threshold: Duration::from_secs(10),
                ..push::Config::default()
            };
            let creating = jetstream.create_consumer_on_stream(config, &self.name);
            let consumer: Consumer<push::Config> = creating.await.map_err(|error| consumer_error(&error))?;
            let info = consumer.cached_info();
            let mut stored = Vec::new();
            let mut is_more = info.num_pending + info.delivered.consumer_sequence > 0;
            while is_more {
                let message = messages.next().await.ok_or(LinkError::Unknown)?;
                let message = jetstream::Message { message, context: jetstream.clone() };
                let info = message.info().map_err(|error| LinkError::Answer(error.to_string()))?;
                let (sequence, number) = (info.stream_sequence, info.consumer_sequence);
                is_more = info.pending > 0;
                stored.push(Stored { sequence, payload: message.message.payload });
                if number != stored.len() as u64 {
                    // More came than was taken.
                    return Err(LinkError::Unknown);
                }
            }
            Ok(stored)
        };
        let limit = tokio::time::timeout(link.options.timeout, link.during(reading));
        limit.await.unwrap_or(Err(LinkError::Unknown))
    }

    /// Drops what stands before a place on a subject.
    pub(super) async fn purge(&self, link: &Link, subject: &str, before: u64) -> Result<(), LinkError> {
        #[derive(Serialize)]
        struct Purge<'a> {
            seq: u64,
            filter: &'a str,
        }
        let purge = Purge { seq: before, filter: subject };
        let answer: Response<serde::de::IgnoredAny> = self.api(link, "PURGE", &purge).await?;
        match answer {
            Response::Ok(_) => Ok(()),
            Response::Err { error } => Err(error.into()),
        }
    }
}

/// How much a stream that is configured so keeps of each subject.
fn keeps(config: &Config) -> Span {
    let count = (config.max_messages_per_subject > 0).then_some(config.max_messages_per_subject);
    Span { count, age: if config.max_age.is_zero() { Duration::MAX } else { config.max_age } }
}

fn limit(bytes: Option<u64>) -> i64 {
    bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn consumer_error(error: &jetstream::stream::ConsumerError) -> LinkError {
    use jetstream::stream::ConsumerErrorKind as Kind;
    match error.kind() {
        Kind::TimedOut => LinkError::Unknown,
        Kind::JetStream(error) => error.into(),
        _ => LinkError::Answer(error.to_string()),
    }
}
