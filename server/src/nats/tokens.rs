//! Tokens that all nodes share, in a stream that NATS holds in memory.
//!
//! ```text
//! issue   publish on …t.KEY, only where nothing is        ──▶ kept, full, or there already
//! redeem  read …t.KEY, compare, have that message deleted ──▶ deleted by this call: the identity
//! ```
//!
//! In: tokens. Out: each token's identity, once among all nodes. Knows no socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType};
use async_nats::{HeaderMap, header};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokensocket_protocol::Token;
use tokio::sync::Mutex;

use super::Nats;
use super::error::LinkError;
use super::fresh::Fresh;
use super::link::Link;
use crate::identity::Identity;
use crate::timestamp::Timestamp;
use crate::token::{TokenStore, TokenStoreError};

/// Tokens that all nodes share by a stream of NATS.
///
/// A token is redeemed by having its message deleted, which a server of NATS, or the leader of its cluster, does for one
/// caller. The stream is in the servers' memory: when NATS starts anew, tokens that wait are forgotten, and their clients
/// ask for others; no token is ever good twice. When the connection is lost in the middle of a call, the token may be
/// spent: the caller is told that it is not known.
///
/// A token's time to live is counted by the clocks of the nodes, which should agree to a second or so. Tokens that nobody
/// redeems take memory for the longest time to live that was asked for since the stream was made.
pub struct NatsTokenStore {
    link: Arc<Link>,
    stream: String,
    subject: String,
    capacity: usize,
    /// How long the stream is known to keep a message.
    kept: Fresh<Duration>,
    /// How long this node has asked it to, and it has once.
    needed: parking_lot::Mutex<Duration>,
    making: Mutex<()>,
}

/// What is kept of a token: its secret, when it expires, and then its identity.
struct Kept {
    secret: [u8; 8],
    expires: Timestamp,
    identity: Identity,
}

impl Kept {
    fn write(&self) -> Bytes {
        let identity = self.identity.to_json();
        let mut value = BytesMut::with_capacity(16 + identity.len());
        value.put_slice(&self.secret);
        value.put_u64(self.expires.0);
        value.put_slice(&identity);
        value.freeze()
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (secret, value) = value.split_first_chunk()?;
        let (expires, value) = value.split_first_chunk()?;
        let identity = Identity::from_json(value).ok()?;
        Some(Self { secret: *secret, expires: Timestamp(u64::from_be_bytes(*expires)), identity })
    }
}

impl NatsTokenStore {
    /// A store for at most 1,000,000 tokens that wait to be redeemed.
    pub fn new(nats: &Nats) -> Self {
        Self::with_capacity(nats, 1_000_000)
    }

    /// A store for at most `capacity` tokens that wait to be redeemed. Counts where the stream is made; one that is there
    /// stays as it is.
    pub fn with_capacity(nats: &Nats, capacity: usize) -> Self {
        Self {
            link: Arc::clone(&nats.link),
            stream: nats.names.stream("tokens"),
            subject: nats.names.subject("t"),
            capacity,
            kept: Fresh::new(),
            needed: parking_lot::Mutex::new(Duration::ZERO),
            making: Mutex::new(()),
        }
    }
}

/// What JetStream answers to a deletion.
#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

impl NatsTokenStore {
    fn subject_of(&self, token: &Token) -> String {
        format!("{}.{:016x}", self.subject, token.key())
    }

    async fn keep(&self, token: &Token, identity: Identity, ttl: Duration) -> Result<(), LinkError> {
        let expires = Timestamp::now().after(ttl);
        let kept = Kept { secret: token.secret(), expires, identity };
        let value = kept.write();
        let until = Instant::now() + self.link.options.timeout;
        let mut is_sent = false;
        loop {
            match self.try_to_keep(token, &value, ttl).await {
                // The same was sent before, and its answer lost.
                Err(error) if is_sent && error.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) => {
                    let stands = self.look(token).await?;
                    let is_ours = stands.is_some_and(|(_, stands)| stands.secret == kept.secret);
                    return if is_ours { Ok(()) } else { Err(error) };
                }
                // A server that has just begun, or a stream that is being made, may not answer.
                Err(error) if error.passes() && error != LinkError::Away && Instant::now() < until => {
                    is_sent |= error == LinkError::Unknown;
                    self.kept.forget();
                    tokio::time::sleep(AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_to_keep(&self, token: &Token, value: &Bytes, ttl: Duration) -> Result<(), LinkError> {
        self.make(ttl).await?;
        let mut headers = HeaderMap::new();
        headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        let answer = self.link.request_again(self.subject_of(token), Some(headers), value.clone()).await?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Response::<IgnoredAny>::Ok(_)) => Ok(()),
            Ok(Response::Err { error }) => Err(error.into()),
            Err(error) => Err(LinkError::Answer(error.to_string())),
        }
    }

    /// Makes the stream, or has it keep messages for longer. Two nodes that do so at once each go by what was there before,
    /// so it is looked at again.
    async fn make(&self, ttl: Duration) -> Result<(), LinkError> {
        // For this long NATS keeps a token at least, and no shorter time is known to it.
        let ttl = ttl.clamp(Duration::from_millis(100), LONGEST);
        if self.is_known_to_keep(ttl) {
            return Ok(());
        }
        // One asks at a time: who waits for that has no more time than who asks.
        let making = tokio::time::timeout(self.link.options.timeout, self.make_for(ttl));
        making.await.unwrap_or(Err(LinkError::Nobody))
    }

    fn is_known_to_keep(&self, ttl: Duration) -> bool {
        self.kept.get().is_some_and(|kept| kept >= ttl)
    }

    async fn make_for(&self, ttl: Duration) -> Result<(), LinkError> {
        let _making = self.making.lock().await;
        if self.is_known_to_keep(ttl) {
            return Ok(());
        }
        let needed = ttl.max(*self.needed.lock());
        for _ in 0..CHANGES {
            let (verb, config) = match self.asked("INFO", &()).await? {
                Response::<Info>::Ok(info) if info.config.max_age >= needed => {
                    // Not before: what it will not keep must not be in the way of what it does.
                    *self.needed.lock() = needed;
                    self.kept.is_seen(info.config.max_age);
                    return Ok(());
                }
                Response::Ok(info) => ("UPDATE", info.config),
                Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    ("CREATE", self.config())
                }
                Response::Err { error } => return Err(error.into()),
            };
            self.kept.forget();
            // No longer than the messages are kept.
            let window = needed.min(Duration::from_mins(2));
            let config = Config { max_age: needed, duplicate_window: window, ..config };
            match self.asked(verb, &config).await? {
                Response::<Info>::Ok(_) => {}
                // Another node was faster.
                Response::Err { error } if error.error_code() == ErrorCode::STREAM_NAME_EXIST => {}
                Response::Err { error } => return Err(error.into()),
            }
        }
        // Others change it all the time.
        Err(LinkError::Nobody)
    }

    fn config(&self) -> Config {
        Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}.*", self.subject)],
            storage: StorageType::Memory,
            discard: DiscardPolicy::New,
            max_messages: i64::try_from(self.capacity).unwrap_or(i64::MAX).max(1),
            num_replicas: self.link.options.replicas,
            ..Config::default()
        }
    }

    /// Asks something about the stream that can be asked again.
    async fn asked<T: DeserializeOwned>(
        &self,
        verb: &str,
        wanted: &(impl Serialize + Sync),
    ) -> Result<Response<T>, LinkError> {
        let subject = format!("$JS.API.STREAM.{verb}.{}", self.stream);
        self.link.jetstream()?;
        let wanted = serde_json::to_vec(wanted).map_err(|error| LinkError::Answer(error.to_string()))?;
        let answer = self.link.request_again(subject, None, wanted.into()).await?;
        serde_json::from_slice(&answer.payload).map_err(|error| LinkError::Answer(error.to_string()))
    }

    /// What stands of a token, and where. What the stream's leader has: a token may be used as soon as it is issued.
    async fn look(&self, token: &Token) -> Result<Option<(u64, Kept)>, LinkError> {
        let wanted = serde_json::json!({ "last_by_subj": self.subject_of(token) });
        let until = Instant::now() + self.link.options.timeout;
        let got = loop {
            match self.asked("MSG.GET", &wanted).await {
                Err(error) if error.passes() && error != LinkError::Away && Instant::now() < until => {
                    tokio::time::sleep(AGAIN).await;
                }
                got => break found(got?)?,
            }
        };
        let Some(Got { message }) = got else { return Ok(None) };
        match message.read() {
            Some(kept) => Ok(Some((message.seq, kept))),
            None => Err(LinkError::Answer("a token is not as it was written".to_owned())),
        }
    }

    async fn take(&self, token: &Token) -> Result<Option<Identity>, LinkError> {
        let Some((sequence, kept)) = self.look(token).await? else { return Ok(None) };
        let matches = bool::from(kept.secret.ct_eq(&token.secret()));
        if !matches || kept.expires <= Timestamp::now() {
            return Ok(None);
        }
        // Never asked again: of two answers the second would say that somebody else was faster.
        let wanted = serde_json::json!({ "seq": sequence, "no_erase": true });
        let wanted = wanted.to_string().into();
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{}", self.stream);
        let answer = self.link.request(subject, None, wanted).await?;
        let deleted =
            serde_json::from_slice(&answer.payload).map_err(|error| LinkError::Answer(error.to_string()))?;
        let is_ours = found(deleted)?.is_some_and(|deleted: Deleted| deleted.success);
        Ok(is_ours.then_some(kept.identity))
    }
}

/// How long to wait before JetStream is asked again.
const AGAIN: Duration = Duration::from_millis(20);
/// How often in a row the stream is changed that others change, too.
const CHANGES: usize = 5;
/// No token is kept for longer: a year.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// What JetStream answers to a question for a message.
#[derive(Deserialize)]
struct Got {
    message: Stored,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
    /// In base 64.
    data: String,
}

impl Stored {
    fn read(&self) -> Option<Kept> {
        let value = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &self.data).ok()?;
        Kept::read(&value)
    }
}

/// What is there, or that it is not.
fn found<T>(response: Response<T>) -> Result<Option<T>, LinkError> {
    match response {
        Response::Ok(found) => Ok(Some(found)),
        Response::Err { error } => {
            let is_gone = [
                ErrorCode::NO_MESSAGE_FOUND,
                ErrorCode::SEQUENCE_NOT_FOUND,
                ErrorCode::STREAM_MESSAGE_DELETE_FAILED,
                // NATS has started anew: whoever has a token of before asks for another.
                ErrorCode::STREAM_NOT_FOUND,
            ];
            if is_gone.contains(&error.error_code()) { Ok(None) } else { Err(error.into()) }
        }
    }
}

impl From<LinkError> for TokenStoreError {
    fn from(error: LinkError) -> Self {
        use crate::store::StoreError;
        if error.is(ErrorCode::STREAM_WRONG_LAST_SEQUENCE) {
            return Self::Full;
        }
        match StoreError::from(error) {
            StoreError::DiskFull => Self::Full,
            StoreError::Timeout => {
                Self::Unavailable("NATS did not answer; whether the token is spent is not known".to_owned())
            }
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl TokenStore for NatsTokenStore {
    fn issue(
        &self,
        token: Token,
        identity: Identity,
        ttl: Duration,
    ) -> BoxFuture<'_, Result<(), TokenStoreError>> {
        async move { Ok(self.keep(&token, identity, ttl).await?) }.boxed()
    }

    fn redeem(&self, token: Token) -> BoxFuture<'_, Result<Option<Identity>, TokenStoreError>> {
        async move { Ok(self.take(&token).await?) }.boxed()
    }
}

impl std::fmt::Debug for NatsTokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NatsTokenStore")
    }
}
