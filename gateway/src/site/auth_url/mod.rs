//! Asking a site who a client is: `GET authUrl` with the client's token, answered by the names of its rooms, and perhaps
//! by what others may know of it.
//!
//! ```text
//! client ─▶ line (bounded) ─▶ at most N at once ─▶ breaker ─▶ GET, again after a failure ─▶ rooms, or a refusal
//!           └───────────────────── all within one time limit ─────────────────────────┘
//! ```
//!
//! In: credentials. Out: the names of rooms, or why not. Each site has all of this by itself, so that a site that is
//! slow, down or lying holds up its own clients only.

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::breaker::Breaker;
use super::client::{self, BodyError, SiteClient};
use super::credentials::Credentials;
use super::refusal::Refused;
use crate::config::AuthUrl;

/// The largest answer, in bytes: 1,024 rooms with long names.
const MAX_ANSWER: usize = 512 * 1024;
/// How many may wait for their turn.
const LINE: usize = 4_096;
/// How long is waited before a question is asked again, the first time; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(100);

const META: HeaderName = HeaderName::from_static("x-meta");
const SLOW: Refused = Refused::Unknown("the site did not answer in time");
const UNREACHABLE: Refused = Refused::Unknown("the site cannot be reached");
const CROWDED: Refused = Refused::Unknown("too many clients are connecting, try again later");
const NOT_ROOMS: Refused = Refused::Unknown("the site's answer is not a list of rooms");
const TOO_LARGE: Refused = Refused::Unknown("the site's answer is too large");

/// A site's own word on who its clients are.
#[derive(Debug)]
pub(super) struct AuthClient {
    client: SiteClient,
    config: AuthUrl,
    line: Semaphore,
    turns: Semaphore,
    breaker: Breaker<Refused>,
}

/// What a site says of a client.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Member {
    /// The names of its rooms.
    pub(super) rooms: Vec<String>,
    /// What others may know of it.
    pub(super) info: Option<Value>,
}

/// The two forms of an answer: the original's, and one that can say more.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Rooms(Vec<String>),
    More {
        rooms: Vec<String>,
        #[serde(default)]
        info: Option<Value>,
    },
}

impl From<Written> for Member {
    fn from(written: Written) -> Self {
        match written {
            Written::Rooms(rooms) => Self { rooms, info: None },
            Written::More { rooms, info } => Self { rooms, info },
        }
    }
}

/// What one request came to.
enum Asked {
    /// A member, or a refusal that stands.
    Settled(Result<Member, Refused>),
    /// The site is not well.
    Failed(Refused),
}

impl AuthClient {
    pub(super) fn new(client: SiteClient, config: AuthUrl) -> Self {
        let turns = Semaphore::new(config.concurrency);
        let line = Semaphore::new(config.concurrency.saturating_add(LINE).min(Semaphore::MAX_PERMITS));
        Self { client, config, line, turns, breaker: Breaker::of("auth URL") }
    }

    pub(super) fn config(&self) -> &AuthUrl {
        &self.config
    }

    /// Who the client is, in the site's words.
    pub(super) async fn ask_about(&self, credentials: &Credentials) -> Result<Member, Refused> {
        let deadline = Instant::now() + self.config.timeout;
        let _place = self.line.try_acquire().map_err(|_| CROWDED)?;
        let turn = timeout_at(deadline, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| CROWDED)?.map_err(|_| CROWDED)?;
        let mut pause = PAUSE;
        let mut left = self.config.retries;
        loop {
            let attempt = self.breaker.admit()?;
            let asked = timeout_at(deadline, self.ask(credentials)).await.unwrap_or(Asked::Failed(SLOW));
            let refused = match asked {
                Asked::Settled(settled) => {
                    attempt.succeeded();
                    return settled;
                }
                Asked::Failed(refused) => refused,
            };
            attempt.failed(&refused);
            tracing::debug!(url = %self.config.url, %refused, left, "a site's auth URL failed");
            if left == 0 || Instant::now() + pause >= deadline {
                return Err(refused);
            }
            left -= 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn ask(&self, credentials: &Credentials) -> Asked {
        let mut request = self.client.get(&self.config.url).header(ACCEPT, "application/json");
        if let Some(token) = &credentials.token {
            match authorization(&self.config.scheme, token) {
                Some(value) => request = request.header(AUTHORIZATION, value),
                // No site ever issued such a token.
                None => return Asked::Settled(Err(Refused::Failed)),
            }
        }
        if let Some(meta) = &credentials.meta {
            match HeaderValue::from_bytes(meta.as_bytes()) {
                Ok(value) => request = request.header(META, value),
                Err(_) => return Asked::Settled(Err(Refused::Failed)),
            }
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(
                    error = client::with_causes(&error.without_url()),
                    "a site cannot be reached"
                );
                return Asked::Failed(UNREACHABLE);
            }
        };
        match response.status() {
            StatusCode::OK => match client::body(response, MAX_ANSWER).await {
                Ok(body) => Asked::Settled(member(&body)),
                Err(BodyError::TooLarge(_)) => Asked::Settled(Err(TOO_LARGE)),
                Err(BodyError::Broken(error)) => {
                    tracing::debug!(error, "a site broke off its answer");
                    Asked::Failed(UNREACHABLE)
                }
            },
            StatusCode::UNAUTHORIZED => Asked::Settled(Err(Refused::Failed)),
            // What is in front of a site says so when the site itself is not well.
            status @ (StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => Asked::Failed(Refused::Status(status.as_u16())),
            status => Asked::Settled(Err(Refused::Status(status.as_u16()))),
        }
    }
}

/// `Bearer TOKEN`, if that can stand in a header.
pub(super) fn authorization(scheme: &str, token: &str) -> Option<HeaderValue> {
    let text = if scheme.is_empty() { token.to_owned() } else { format!("{scheme} {token}") };
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn member(body: &[u8]) -> Result<Member, Refused> {
    serde_json::from_slice(body).map_err(|_| NOT_ROOMS)
}
