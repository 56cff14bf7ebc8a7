//! Tokens that all nodes share, in a stream that NATS holds in memory.
//!
//! ```text
//! issue   publish on …t.KEY, only where nothing is        ──▶ kept, full, or there already
//! redeem  read …t.KEY, compare, have that message deleted ──▶ deleted by this call: the identity
//! ```
//!
//! In: tokens. Out: each token's identity, once among all nodes. Knows no socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, RequestErrorKind};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::{HeaderMap, header};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use tokensocket_protocol::Token;
use tokio::sync::Mutex;

use super::Nats;
use super::error::LinkError;
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
    /// How long the stream is known to keep a message, in milliseconds; 0 when it is not known to be there.
    kept: AtomicU64,
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
            kept: AtomicU64::new(0),
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
        let value = Kept { secret: token.secret(), expires, identity }.write();
        let mut is_again = false;
        loop {
            self.make(ttl).await?;
            let mut headers = HeaderMap::new();
            headers.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
            match self.link.request(self.subject_of(token), Some(headers), value.clone()).await {
                Ok(answer) => {
                    return match serde_json::from_slice(&answer.payload) {
                        Ok(Response::<serde::de::IgnoredAny>::Ok(_)) => Ok(()),
                        Ok(Response::Err { error }) => Err(error.into()),
                        Err(error) => Err(LinkError::Answer(error.to_string())),
                    };
                }
                // NATS has started anew, and the stream with it.
                Err(LinkError::Nobody) if !is_again => {
                    is_again = true;
                    self.kept.store(0, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the stream, or has it keep messages for longer.
    async fn make(&self, ttl: Duration) -> Result<(), LinkError> {
        // For this long NATS keeps a token at least, and no shorter time is known to it.
        let ttl = ttl.clamp(Duration::from_millis(100), LONGEST);
        let wanted = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if self.kept.load(Ordering::Relaxed) >= wanted {
            return Ok(());
        }
        let _making = self.making.lock().await;
        if self.kept.load(Ordering::Relaxed) >= wanted {
            return Ok(());
        }
        let jetstream = self.link.jetstream()?;
        let capacity = i64::try_from(self.capacity).unwrap_or(i64::MAX).max(1);
        let config = Config {
            name: self.stream.clone(),
            subjects: vec![format!("{}.*", self.subject)],
            storage: StorageType::Memory,
            discard: DiscardPolicy::New,
            max_messages: capacity,
            max_age: ttl,
            // Not longer than the messages are kept.
            duplicate_window: ttl.min(Duration::from_mins(2)),
            num_replicas: self.link.options.replicas,
            ..Config::default()
        };
        let answer = |error: &dyn std::fmt::Display| LinkError::Answer(error.to_string());
        let making = self.link.during(async {
            let stream = jetstream.get_or_create_stream(config).await.map_err(|error| answer(&error))?;
            let mut config = stream.cached_info().config.clone();
            if config.max_age < ttl {
                config.max_age = ttl;
                jetstream.update_stream(config).await.map_err(|error| answer(&error))?;
                return Ok(wanted);
            }
            Ok(u64::try_from(config.max_age.as_millis()).unwrap_or(u64::MAX))
        });
        self.kept.store(making.await?, Ordering::Relaxed);
        Ok(())
    }

    async fn take(&self, token: &Token) -> Result<Option<Identity>, LinkError> {
        let jetstream = self.link.jetstream()?;
        let stream = self.stream.as_str();
        // What the stream's leader has: a token may be used as soon as it is issued.
        let wanted = serde_json::json!({ "last_by_subj": self.subject_of(token) });
        let got = self.link.during(asked(jetstream, format!("STREAM.MSG.GET.{stream}"), &wanted));
        let Some(Got { message }) = found(got.await?)? else { return Ok(None) };
        let Some(kept) = message.read() else {
            return Err(LinkError::Answer("a token is not as it was written".to_owned()));
        };
        let matches = bool::from(kept.secret.ct_eq(&token.secret()));
        if !matches || kept.expires <= Timestamp::now() {
            return Ok(None);
        }
        let wanted = serde_json::json!({ "seq": message.seq, "no_erase": true });
        let deleted = self.link.during(asked(jetstream, format!("STREAM.MSG.DELETE.{stream}"), &wanted));
        let is_ours = found(deleted.await?)?.is_some_and(|deleted: Deleted| deleted.success);
        Ok(is_ours.then_some(kept.identity))
    }
}

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

async fn asked<T: DeserializeOwned>(
    jetstream: &Context,
    subject: String,
    wanted: &serde_json::Value,
) -> Result<Response<T>, LinkError> {
    jetstream.request(subject, wanted).await.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => LinkError::Nobody,
        _ => LinkError::Unknown,
    })
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
