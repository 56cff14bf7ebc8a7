//! Telling a site when its users come and go: `PUT updateUserUrl`.
//!
//! ```text
//! connections of a user ─▶ first one comes, last one goes ─▶ the user's queue ─▶ PUT, again after a failure ─▶ next
//!                                                                              └▶ other nodes: is it there, too?
//! ```
//!
//! In: connections that begin and end. Out: one request for each change, each user's in order, however often one has
//! to be repeated. A user with several tabs came with the first and goes with the last, on whatever nodes they are. What a
//! site does not take in time is given up, and logged: a site that is down holds up nothing here.

mod elsewhere;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use http::{HeaderValue, Method};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{self, SiteClient};
use queue::Queues;

pub(super) use elsewhere::{Elsewhere, NotShared};

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
    client: SiteClient,
    /// Where to tell, if anywhere; `:id` stands for the user.
    url: ArcSwapOption<String>,
    /// Who else has connections of users; `None`: nobody.
    elsewhere: Option<Elsewhere>,
    /// Somebody looks for users whose node died.
    is_looking: AtomicBool,
    /// The connections of each user here.
    connections: Mutex<HashMap<Arc<str>, Connections>>,
    queues: Mutex<Queues>,
    turns: Semaphore,
    tasks: TaskTracker,
    /// The end has begun.
    ending: CancellationToken,
    /// Nobody waits for repetitions any more.
    hurry: CancellationToken,
}

/// The connections of one user.
#[derive(Debug, Default)]
struct Connections {
    open: usize,
    /// What the first one was authorized with.
    authorization: Option<HeaderValue>,
}

/// What became of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    /// Its first connection to this node has begun.
    Connected,
    /// It is connected all the while, though others may have said that it is gone.
    Still,
    /// Its last one has ended.
    Disconnected,
    /// The last one has ended with another node that died.
    Lost,
}

impl Became {
    fn field(self) -> &'static str {
        match self {
            Self::Connected | Self::Still => "last_connected",
            Self::Disconnected | Self::Lost => "last_disconnected",
        }
    }
}

/// Something that a site is told.
#[derive(Debug, Clone)]
struct Update {
    became: Became,
    /// `None`: only other nodes are.
    url: Option<String>,
    body: Value,
    authorization: Option<HeaderValue>,
}

impl UserStates {
    /// `elsewhere`: what is known of other nodes' connections.
    pub(super) fn new(site: &str, client: SiteClient, elsewhere: Option<Elsewhere>) -> Self {
        Self(Arc::new(Inner {
            site: site.to_owned(),
            client,
            url: ArcSwapOption::empty(),
            elsewhere,
            is_looking: AtomicBool::new(false),
            connections: Mutex::default(),
            queues: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            hurry: CancellationToken::new(),
        }))
    }

    /// Where the site is told from now on. From the first time on it is told of the users of nodes that die, too, which
    /// needs a tokio runtime where there are other nodes.
    pub(super) fn tell_at(&self, url: Option<&str>) {
        self.0.url.store(url.map(|url| Arc::new(url.to_owned())));
        if self.0.elsewhere.is_none() || self.0.is_looking.swap(true, Ordering::Relaxed) {
            return;
        }
        let inner = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let ending = inner.ending.clone();
            ending.run_until_cancelled(inner.look_for_the_lost()).await;
        });
    }

    /// A connection of the user has begun.
    pub(super) fn came(&self, user: &Arc<str>, authorization: Option<HeaderValue>) {
        let mut connections = self.0.connections.lock();
        let here = connections.entry(Arc::clone(user)).or_default();
        here.open += 1;
        // Queued while nobody else can count: so what is told is in the order of what happened.
        if here.open == 1 {
            here.authorization.clone_from(&authorization);
            self.0.note(user, Became::Connected, authorization);
        }
    }

    /// A connection of the user has ended.
    pub(super) fn went(&self, user: &Arc<str>, authorization: Option<HeaderValue>) {
        let mut connections = self.0.connections.lock();
        let Some(here) = connections.get_mut(user) else { return };
        here.open -= 1;
        if here.open == 0 {
            connections.remove(user);
            self.0.note(user, Became::Disconnected, authorization);
        }
    }

    /// Waits until everything was told, for so long; then what is left is tried once more and given up.
    pub(super) async fn settle(&self, within: Duration) {
        self.0.ending.cancel();
        self.0.tasks.close();
        if timeout(within, self.0.tasks.wait()).await.is_err() {
            self.0.hurry.cancel();
            self.0.tasks.wait().await;
        }
    }
}

impl Inner {
    /// Has the site told of a change, behind what it is still to be told of this user.
    fn note(self: &Arc<Self>, user: &Arc<str>, became: Became, authorization: Option<HeaderValue>) {
        let url = self.url.load_full();
        if url.is_none() && self.elsewhere.is_none() {
            return;
        }
        let at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let update = Update {
            became,
            url: url.map(|url| url.replacen(":id", &utf8_percent_encode(user, IN_PATH).to_string(), 1)),
            body: json!({ "id": &**user, "user": { became.field(): at } }),
            authorization,
        };
        match self.queues.lock().push(user, update) {
            Ok(queue::Begin(true)) => {
                let (inner, user) = (Arc::clone(self), Arc::clone(user));
                self.tasks.spawn(async move { inner.work_off(&user).await });
            }
            Ok(queue::Begin(false)) => {}
            Err(queue::Full) => {
                tracing::warn!(site = self.site, "too many user states wait to be told: one is given up");
            }
        }
    }

    /// Tells what waits for one user, one after the other.
    async fn work_off(&self, user: &Arc<str>) {
        loop {
            let Some(update) = self.queues.lock().next(user) else { return };
            // Other nodes have to know it, wherever the site is told, or not.
            if self.concerns_the_site(user, &update).await
                && let Some(url) = &update.url
            {
                self.tell(url, &update).await;
            }
        }
    }

    /// Whether the user came to, or is gone from, all nodes.
    async fn concerns_the_site(&self, user: &Arc<str>, update: &Update) -> bool {
        let Some(elsewhere) = &self.elsewhere else { return true };
        match update.became {
            Became::Connected => {
                elsewhere.is_first_here(user, update.authorization.as_ref(), &self.hurry).await
            }
            Became::Disconnected => elsewhere.was_last_here(user, &self.hurry).await,
            Became::Still | Became::Lost => true,
        }
    }

    /// Tells of users whose node died, and of those whose node was taken for dead, again and again.
    async fn look_for_the_lost(self: &Arc<Self>) {
        let Some(elsewhere) = &self.elsewhere else { return };
        loop {
            let looked = elsewhere.look().await;
            if looked.was_cut_off {
                tracing::info!(site = self.site, "this node was cut off: its users are told again");
                for (user, here) in &*self.connections.lock() {
                    self.note(user, Became::Still, here.authorization.clone());
                }
            }
            for (user, authorization) in looked.lost {
                tracing::info!(site = self.site, user = &*user, "a user's node is gone");
                self.note(&user, Became::Lost, authorization);
            }
        }
    }

    async fn tell(&self, url: &str, update: &Update) {
        let mut pause = PAUSE;
        for left in (0..TRIES).rev() {
            if self.hurry.is_cancelled() {
                tracing::warn!(site = self.site, url, "a user's state was not told: the end has come");
                return;
            }
            let outcome = {
                let Ok(_turn) = self.turns.acquire().await else { return };
                self.put(url, update).await
            };
            match outcome {
                Ok(()) => return,
                Err(Failed { why, is_final }) if is_final || left == 0 => {
                    tracing::error!(site = self.site, url, why, "a user's state was not told");
                    return;
                }
                Err(Failed { why, .. }) => {
                    tracing::debug!(site = self.site, url, why, left, "a user's state was not told yet");
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.hurry.cancelled() => {}
            }
            pause *= 2;
        }
    }

    async fn put(&self, url: &str, update: &Update) -> Result<(), Failed> {
        let mut request =
            self.client.request(Method::PUT, url).header(http::header::CONTENT_TYPE, "application/json");
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
