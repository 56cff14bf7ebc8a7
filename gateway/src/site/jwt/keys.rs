//! The public keys that a site publishes (RFC 7517), fetched when they are needed and kept.
//!
//! In: the name of a key. Out: the key. Keys are fetched anew when they are old, and when a token names one that is
//! not among them, but never more often than every few seconds, whatever tokens come; while that fails, the old ones
//! count.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::time::{Instant, timeout};

use crate::site::client::{self, SiteClient};
use crate::site::refusal::Refused;

/// How long keys are kept.
const FRESH: Duration = Duration::from_mins(10);
/// How long old ones are used while no newer can be had.
const USABLE: Duration = Duration::from_hours(24);
/// How long is waited after fetching them before they are fetched for an unknown one.
const PAUSE: Duration = Duration::from_secs(10);
/// The same after a failure.
const PAUSE_FAILED: Duration = Duration::from_secs(1);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;

const NO_KEYS: Refused = Refused::Unknown("the site's keys cannot be fetched");

#[derive(Debug)]
pub(super) struct Keys {
    client: SiteClient,
    url: String,
    kept: Mutex<Kept>,
    /// One fetches, the others wait.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Option<(Arc<JwkSet>, Instant)>,
    /// Nobody fetches before.
    not_before: Option<Instant>,
}

impl Keys {
    pub(super) fn new(client: SiteClient, url: String) -> Arc<Self> {
        Arc::new(Self { client, url, kept: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// The key of this name, fit for this algorithm. Only who names one that is not known waits for the site.
    pub(super) async fn find(
        self: &Arc<Self>,
        name: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Refused> {
        if let Some(key) = self.kept(name, algorithm, FRESH) {
            return Ok(key);
        }
        if let Some(key) = self.kept(name, algorithm, USABLE) {
            let keys = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(_one) = keys.fetching.try_lock()
                    && keys.may_fetch()
                {
                    keys.fetch().await;
                }
            });
            return Ok(key);
        }
        let _one = self.fetching.lock().await;
        // Somebody else may have fetched them while we waited.
        if self.kept(name, algorithm, FRESH).is_none() && self.may_fetch() {
            self.fetch().await;
        }
        let found = self.kept(name, algorithm, USABLE);
        found.ok_or_else(|| if self.has_any() { Refused::Failed } else { NO_KEYS })
    }

    fn may_fetch(&self) -> bool {
        self.kept.lock().not_before.is_none_or(|moment| moment <= Instant::now())
    }

    fn has_any(&self) -> bool {
        self.kept.lock().keys.as_ref().is_some_and(|(_, fetched)| fetched.elapsed() < USABLE)
    }

    fn kept(&self, name: Option<&str>, algorithm: Algorithm, age: Duration) -> Option<DecodingKey> {
        let keys = {
            let kept = self.kept.lock();
            let (keys, fetched) = kept.keys.as_ref()?;
            (fetched.elapsed() < age).then(|| Arc::clone(keys))?
        };
        let mut fit = keys.keys.iter().filter(|key| fits(key, algorithm));
        let key = match name {
            Some(name) => fit.find(|key| key.common.key_id.as_deref() == Some(name))?,
            // Without a name there must be no doubt.
            None => fit.next().filter(|_| fit.next().is_none())?,
        };
        DecodingKey::from_jwk(key).ok()
    }

    async fn fetch(&self) {
        let fetched =
            timeout(TIMEOUT, self.ask()).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let mut kept = self.kept.lock();
        let now = Instant::now();
        match fetched {
            Ok(keys) => {
                tracing::debug!(url = self.url, keys = keys.keys.len(), "fetched a site's keys");
                *kept = Kept { keys: Some((Arc::new(keys), now)), not_before: Some(now + PAUSE) };
            }
            Err(why) => {
                tracing::warn!(url = self.url, why, "a site's keys cannot be fetched");
                kept.not_before = Some(now + PAUSE_FAILED);
            }
        }
    }

    async fn ask(&self) -> Result<JwkSet, String> {
        let request = self.client.get(&self.url).header(http::header::ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| client::with_causes(&error.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(format!("the site answered {}", response.status()));
        }
        let body = client::body(response, MAX_ANSWER).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&body).map_err(|error| format!("this is no set of keys: {error}"))
    }
}

/// Public keys only: a set that is open to all must not hold what signs.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => curve.curve == EllipticCurve::P256,
        _ => false,
    };
    let is_for_this =
        key.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let signs = key.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    is_kind && is_for_this && signs
}
