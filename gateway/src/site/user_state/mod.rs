//! Telling a site when its users come and go: `PUT updateUserUrl`.
//!
//! ```text
//! connections of a user ─▶ first one comes, last one goes ─▶ the user's queue ─▶ PUT, again after a failure ─▶ next
//! ```
//!
//! In: connections that begin and end. Out: one request for each change, each user's in order, however often one has
//! to be repeated. A user with several tabs came with the first and goes with the last. What a site does not take in
//! time is given up, and logged: a site that is down holds up nothing here.

mod queue;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client;
use queue::Queues;

/// How many requests one site gets at a time.
const AT_ONCE: usize = 16;
/// How often one is made, at most.
const TRIES: u32 = 6;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long is waited after the first failure; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(250);
/// What may stand in a path as it is.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The users of a site, and what it is to be told of them. Cloning gives another handle.
#[derive(Debug, Clone)]
pub(super) struct UserStates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    site: String,
    client: Client,
    /// How many connections each user has.
    connections: Mutex<HashMap<Arc<str>, usize>>,
    queues: Mutex<Queues>,
    turns: Semaphore,
    tasks: TaskTracker,
    /// Nobody waits for repetitions any more.
    hurry: CancellationToken,
}

/// Something that a site is told.
#[derive(Debug, Clone)]
struct Update {
    url: String,
    body: Value,
    authorization: Option<HeaderValue>,
}

impl UserStates {
    pub(super) fn new(site: &str, client: Client) -> Self {
        Self(Arc::new(Inner {
            site: site.to_owned(),
            client,
            connections: Mutex::default(),
            queues: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            tasks: TaskTracker::new(),
            hurry: CancellationToken::new(),
        }))
    }

    /// A connection of the user has begun. `url`: where to tell, if anywhere.
    pub(super) fn came(&self, user: &Arc<str>, url: Option<&str>, authorization: Option<HeaderValue>) {
        let mut connections = self.0.connections.lock();
        let open = connections.entry(Arc::clone(user)).or_default();
        *open += 1;
        // Queued while nobody else can count: so what is told is in the order of what happened.
        if *open == 1 {
            self.tell(user, url, "last_connected", authorization);
        }
    }

    /// A connection of the user has ended.
    pub(super) fn went(&self, user: &Arc<str>, url: Option<&str>, authorization: Option<HeaderValue>) {
        let mut connections = self.0.connections.lock();
        let Some(open) = connections.get_mut(user) else { return };
        *open -= 1;
        if *open == 0 {
            connections.remove(user);
            self.tell(user, url, "last_disconnected", authorization);
        }
    }

    fn tell(&self, user: &Arc<str>, url: Option<&str>, what: &str, authorization: Option<HeaderValue>) {
        let Some(url) = url else { return };
        let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let update = Update {
            url: url.replacen(":id", &utf8_percent_encode(user, IN_PATH).to_string(), 1),
            body: json!({ "id": &**user, "user": { what: at } }),
            authorization,
        };
        match self.0.queues.lock().push(user, update) {
            Ok(queue::Begin(true)) => {
                let (inner, user) = (Arc::clone(&self.0), Arc::clone(user));
                self.0.tasks.spawn(async move { inner.work_off(&user).await });
            }
            Ok(queue::Begin(false)) => {}
            Err(queue::Full) => {
                tracing::warn!(site = self.0.site, "too many user states wait to be told: one is given up");
            }
        }
    }

    /// Waits until everything was told, for so long; then what is left is tried once more and given up.
    pub(super) async fn settle(&self, within: Duration) {
        self.0.tasks.close();
        if timeout(within, self.0.tasks.wait()).await.is_err() {
            self.0.hurry.cancel();
            self.0.tasks.wait().await;
        }
    }
}

impl Inner {
    /// Tells what waits for one user, one after the other.
    async fn work_off(&self, user: &Arc<str>) {
        loop {
            let Some(update) = self.queues.lock().next(user) else { return };
            self.tell(&update).await;
        }
    }

    async fn tell(&self, update: &Update) {
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            if self.hurry.is_cancelled() {
                tracing::warn!(
                    site = self.site,
                    url = update.url,
                    "a user's state was not told: the end has come"
                );
                return;
            }
            let outcome = {
                let Ok(_turn) = self.turns.acquire().await else { return };
                self.put(update).await
            };
            match outcome {
                Ok(()) => return,
                Err(Failed { why, is_final }) if is_final || left == 0 => {
                    tracing::error!(site = self.site, url = update.url, why, "a user's state was not told");
                    return;
                }
                Err(Failed { why, .. }) => {
                    tracing::debug!(
                        site = self.site,
                        url = update.url,
                        why,
                        left,
                        "a user's state was not told yet"
                    );
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.hurry.cancelled() => {}
            }
            pause *= 2;
        }
    }

    async fn put(&self, update: &Update) -> Result<(), Failed> {
        let mut request = self.client.put(&update.url).header(http::header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &update.authorization {
            request = request.header(http::header::AUTHORIZATION, authorization);
        }
        let sending = timeout(TIMEOUT, request.body(update.body.to_string()).send());
        let failed = |why: String, is_final| Failed { why, is_final };
        let response = match tokio::select! {
            sent = sending => sent,
            () = self.hurry.cancelled() => return Err(failed("the end has come".to_owned(), true)),
        } {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failed(client::with_causes(&error.without_url()), false)),
            Err(_) => return Err(failed("no answer in time".to_owned(), false)),
        };
        let status = response.status();
        // A refusal stands; whoever has too much to do is asked again.
        let is_final = status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429);
        if status.is_success() {
            Ok(())
        } else {
            Err(failed(format!("the site answered {status}"), is_final))
        }
    }
}

struct Failed {
    why: String,
    is_final: bool,
}
