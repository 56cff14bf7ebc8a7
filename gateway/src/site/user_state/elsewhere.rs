//! Where else a user has connections: on nodes that share an engine.
//!
//! ```text
//! first connection here ─▶ join ─▶ the first anywhere? ─▶ the site is told
//! last connection here  ─▶ leave ─▶ the last anywhere? ─▶ the site is told
//! a node dies ─▶ its lease ends ─▶ whoever notices has the site told, once
//! this node was cut off for long ─▶ the others took it for dead ─▶ the site is told of all its users again
//! ```
//!
//! In: users who came to this node, or left it. Out: whether that is news to the site. Each node is one client of one
//! reserved channel for each user it has, in a store of presence that no server of the site knows.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Change, Channel, Member, NodeId, PresenceStore, RawJson, StoreError, Timestamp};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The channel on which users are.
const USERS: &str = "users";
/// How long a store may take for one change.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long is waited after the first failure; then twice as long each time, up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How often is looked for nodes that died.
const LOOK: Duration = Duration::from_secs(3);
/// After so long without the store others may have taken this node for dead: a lease is 30 s, and up to a third of it was
/// over when the store was lost.
const CUT_OFF: Duration = Duration::from_secs(20);

/// The users of a site on all nodes.
pub(in crate::site) struct Elsewhere {
    store: Box<dyn PresenceStore>,
    node: NodeId,
    channel: Channel,
    /// When the store last answered.
    answered: Mutex<Instant>,
}

/// What became of the users of nodes.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Those who are nowhere any more, since their node died, and what they were authorized with.
    pub(super) lost: Vec<(Arc<str>, Option<HeaderValue>)>,
    /// Whether others may have said so of the users of this node, which are there.
    pub(super) was_cut_off: bool,
}

/// There can be no such store.
#[derive(Debug, thiserror::Error)]
#[error("the users of a site cannot be shared between nodes: {0}")]
pub(crate) struct NotShared(String);

/// What another node has to know to tell of a user whose node died.
#[derive(Debug, Serialize, Deserialize)]
struct Info {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization: Option<String>,
}

/// What became of one change of the store.
enum Changed {
    News,
    Nothing,
    Failed(StoreError),
}

impl Elsewhere {
    /// `store`: one that nobody has started.
    pub(in crate::site) fn new(store: Box<dyn PresenceStore>) -> Result<Self, NotShared> {
        let failed = |error: &dyn std::fmt::Display| NotShared(error.to_string());
        let channel = Channel::new(USERS).map_err(|error| failed(&error))?;
        let node = NodeId::random().map_err(|error| failed(&error))?;
        store.start(node).map_err(|error| failed(&error))?;
        Ok(Self { store, node, channel, answered: Mutex::new(Instant::now()) })
    }

    /// The user has come to this node. Whether it was on no other. Asks until it is known, or it is too late.
    pub(super) async fn is_first_here(
        &self,
        user: &Arc<str>,
        authorization: Option<&HeaderValue>,
        hurry: &CancellationToken,
    ) -> bool {
        self.until_known(hurry, async |is_again| {
            // Whether a change was done that nobody answered is not known: undone and done again, it says so.
            if is_again {
                self.leave(user).await;
            }
            match self.join(user, authorization).await {
                // Whoever else came meanwhile was told the same. Twice harms nobody, never would.
                Changed::Nothing if is_again => Changed::News,
                changed => changed,
            }
        })
        .await
    }

    /// The user has left this node. Whether it is on no other.
    pub(super) async fn was_last_here(&self, user: &Arc<str>, hurry: &CancellationToken) -> bool {
        self.until_known(hurry, async |is_again| {
            if is_again {
                self.join(user, None).await;
            }
            self.leave(user).await
        })
        .await
    }

    /// Looks what became of the users of nodes. Waits a while first.
    pub(super) async fn look(&self) -> Looked {
        sleep(LOOK).await;
        let lost = match self.store.expire(Timestamp::now()).await {
            Ok(lost) => lost,
            Err(error) => {
                tracing::debug!(%error, "whether a node died is not known");
                return Looked::default();
            }
        };
        let before = std::mem::replace(&mut *self.answered.lock(), Instant::now());
        let was_cut_off = before.elapsed() >= CUT_OFF;
        let ours = lost.into_iter().filter(|(channel, _)| *channel == self.channel);
        let lost = ours.filter_map(|(_, member)| {
            let info: Option<Info> = member.info.parse().ok();
            let authorization = info.and_then(|info| info.authorization);
            let authorization = authorization.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
            let authorization = authorization.map(|mut value| {
                value.set_sensitive(true);
                value
            });
            Some((member.user?, authorization))
        });
        Looked { lost: lost.collect(), was_cut_off }
    }

    async fn until_known<F: Future<Output = Changed>>(
        &self,
        hurry: &CancellationToken,
        change: impl Fn(bool) -> F,
    ) -> bool {
        let mut pause = PAUSES.0;
        let mut is_again = false;
        loop {
            let error = match change(is_again).await {
                Changed::News => return true,
                Changed::Nothing => return false,
                Changed::Failed(error) => error,
            };
            if hurry.is_cancelled() {
                // The node's lease ends, and another one tells.
                tracing::warn!(%error, "whether a user is on other nodes is not known: the end has come");
                return false;
            }
            tracing::debug!(%error, ?pause, "whether a user is on other nodes is not known yet");
            tokio::select! {
                () = sleep(pause) => {}
                () = hurry.cancelled() => {}
            }
            pause = (pause * 2).min(PAUSES.1);
            is_again = true;
        }
    }

    async fn join(&self, user: &Arc<str>, authorization: Option<&HeaderValue>) -> Changed {
        let authorization = authorization.and_then(|value| String::from_utf8(value.as_bytes().to_vec()).ok());
        let member = Member {
            client: self.client(user),
            user: Some(Arc::clone(user)),
            info: RawJson::new(&Info { authorization }).unwrap_or_default(),
            since: Timestamp::now(),
        };
        outcome(self.store.join(&self.channel, member, true)).await
    }

    async fn leave(&self, user: &Arc<str>) -> Changed {
        outcome(self.store.leave(&self.channel, &self.client(user), true)).await
    }

    fn client(&self, user: &str) -> Arc<str> {
        format!("{}/{user}", self.node).into()
    }
}

async fn outcome(changing: impl Future<Output = Result<Change, StoreError>>) -> Changed {
    match timeout(TIMEOUT, changing).await {
        Ok(Ok(Change::Joined(_) | Change::Left(_))) => Changed::News,
        Ok(Ok(Change::None)) => Changed::Nothing,
        Ok(Err(error)) => Changed::Failed(error),
        Err(_) => Changed::Failed(StoreError::Timeout),
    }
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elsewhere").field("node", &self.node).finish_non_exhaustive()
    }
}
