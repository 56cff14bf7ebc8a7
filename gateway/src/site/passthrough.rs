//! Events of clients that are no questions for data, passed on to a site.
//!
//! ```text
//! {"event":"cart:add","id":7} ──▶ POST passthroughUrl {"user":"8",…,"message":{"event":"cart:add","id":7}}
//!                                 ◀── {"event":"cart:added","n":1}, or nothing ──▶ the socket
//! ```
//!
//! In: messages, and whose they are. Out: what the site answered, for the socket that sent the message. What a site gets at
//! a time is bounded, and so is what waits, how long an answer may take, and what it may hold; a site that fails again
//! and again is left alone for a while. What cannot be passed on is lost, since there are no errors on this wire: the log
//! says so, at most once a second, with the number.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokensocket_server::events::{EventMessage, EventSocket};
use tokensocket_server::{Identity, RawJson};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::breaker::Breaker;
use super::client::{SiteClient, body, with_causes};
use super::data_source::Authorize;

/// How many requests of one site may run at a time.
const AT_ONCE: usize = 64;
/// How many may wait for one of these; one more is lost.
const WAITING: usize = 1024;
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How long one request may take, its wait included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the log says no more of lost events, when it has.
const BETWEEN_LOGS: Duration = Duration::from_secs(1);
/// How much of a lost event's name is logged, in characters.
const MAX_LOGGED: usize = 64;

/// Why an event was lost. Its sender is not told; the log is.
#[derive(Debug, Clone, thiserror::Error)]
enum Lost {
    #[error("too many wait for this site")]
    Busy,
    #[error("the site answered {0}")]
    Status(StatusCode),
    #[error("the site did not answer: {0}")]
    Unreachable(String),
}

/// What a site is given.
#[derive(Serialize)]
struct Passed<'a> {
    /// Whose it is; null for nobody in particular.
    user: Option<&'a str>,
    /// Which connection sent it.
    socket: String,
    /// The whole message.
    message: &'a RawJson,
}

/// All that is asked of an answer: that it is an event.
#[derive(Deserialize)]
struct Answered {
    #[serde(rename = "event")]
    _event: String,
}

/// A site that is given events.
pub(super) struct Passthrough {
    url: String,
    client: SiteClient,
    authorize: Authorize,
    running: Semaphore,
    waiting: Semaphore,
    breaker: Breaker<Lost>,
    losses: Mutex<Losses>,
}

/// What was lost, and how often the log says so: clients can lose events as fast as they send them.
#[derive(Debug, Default)]
struct Losses {
    /// When the log said so last.
    told: Option<Instant>,
    untold: u64,
}

impl Losses {
    /// One more is lost. How many there were since the log said so last, if it is to say so now.
    fn one_more(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now.duration_since(told) < BETWEEN_LOGS) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        let events = self.losses.get_mut().untold;
        if events > 0 {
            tracing::warn!(url = self.url, events, "events were lost");
        }
    }
}

impl Passthrough {
    /// `authorize` says what stands in `Authorization`.
    pub(super) fn new(client: SiteClient, url: String, authorize: Authorize) -> Self {
        Self {
            url,
            client,
            authorize,
            running: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(WAITING),
            breaker: Breaker::of("passthrough URL"),
            losses: Mutex::default(),
        }
    }

    /// Gives the site an event, and the socket what the site answers.
    pub(super) async fn pass(self: Arc<Self>, message: EventMessage, socket: EventSocket) {
        match self.answer(&message, &socket).await {
            Ok(Some(answer)) => {
                // A message that came as JSON can be sent as JSON.
                let _ = socket.send(&answer);
            }
            Ok(None) => {}
            Err(why) => {
                if let Some(events) = self.losses.lock().one_more(Instant::now()) {
                    let event: String = message.event().chars().take(MAX_LOGGED).collect();
                    tracing::warn!(url = self.url, events, event, %why, "events are lost");
                }
            }
        }
    }

    async fn answer(&self, message: &EventMessage, socket: &EventSocket) -> Result<Option<RawJson>, Lost> {
        let deadline = Instant::now() + TIMEOUT;
        let waiting = self.waiting.try_acquire().map_err(|_| Lost::Busy)?;
        let running = timeout_at(deadline, self.running.acquire()).await;
        let _running = running.map_err(|_| Lost::Busy)?.map_err(|_| Lost::Busy)?;
        drop(waiting);
        let attempt = self.breaker.admit()?;
        let asked = timeout_at(deadline, self.post(message, socket)).await;
        let asked = asked.unwrap_or_else(|_| Err(Lost::Unreachable("it took too long".to_owned())));
        match &asked {
            Err(why @ Lost::Unreachable(_)) => attempt.failed(why),
            Err(why @ Lost::Status(status)) if status.is_server_error() => attempt.failed(why),
            _ => attempt.succeeded(),
        }
        asked
    }

    async fn post(&self, message: &EventMessage, socket: &EventSocket) -> Result<Option<RawJson>, Lost> {
        let broken = |error: reqwest::Error| Lost::Unreachable(with_causes(&error.without_url()));
        let identity: &Identity = socket.identity();
        let passed = Passed {
            user: identity.user_id().filter(|_| !identity.is_passing()).map(|user| &**user),
            socket: socket.socket().id().to_string(),
            message: message.json(),
        };
        let text = serde_json::to_vec(&passed).map_err(|error| Lost::Unreachable(error.to_string()))?;
        let mut request = self.client.request(Method::POST, &self.url);
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(text);
        if let Some(credentials) = (self.authorize)(identity) {
            request = request.header(AUTHORIZATION, credentials);
        }
        let response = request.send().await.map_err(broken)?;
        if !response.status().is_success() {
            return Err(Lost::Status(response.status()));
        }
        let body = body(response, MAX_ANSWER).await;
        let body = body.map_err(|error| Lost::Unreachable(error.to_string()))?;
        Ok(event(&body))
    }
}

/// What is to be sent back: an object with an `event`. Anything else is for nobody.
fn event(body: &[u8]) -> Option<RawJson> {
    let text: &RawValue = serde_json::from_slice(body).ok()?;
    serde_json::from_str::<Answered>(text.get()).ok()?;
    RawJson::from_text(text.get().to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_at_most_once_a_second_that_events_are_lost() {
        let (mut losses, begun) = (Losses::default(), Instant::now());
        let said: Vec<_> =
            (0..2_500).filter_map(|at| losses.one_more(begun + Duration::from_millis(at))).collect();
        assert_eq!(said, [1, 1_000, 1_000]);
        assert_eq!(losses.untold, 499);
    }

    #[test]
    fn only_an_event_is_sent_back() {
        let sent = |body: &str| event(body.as_bytes()).map(|json| json.as_str().to_owned());
        assert_eq!(sent(" {\"event\":\"a\",\"n\":1}\n").as_deref(), Some("{\"event\":\"a\",\"n\":1}"));
        for nothing in ["", "null", "OK", "[]", "{}", "{\"event\":1}", "\"event\""] {
            assert_eq!(sent(nothing), None, "{nothing}");
        }
    }
}
