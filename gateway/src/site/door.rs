//! A site's door: who gets in, and as whom.
//!
//! In: credentials; connections that begin and end. Out: an identity, or a refusal; what the site is told of its users.
//! What is configured may change meanwhile: whoever is inside stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokensocket_server::{Identity, PresenceStore, Socket};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::auth_url::{self, AuthClient, Member};
use super::client::{ClientError, SiteClient};
use super::credentials::Credentials;
use super::identity::{self, Known};
use super::jwt::Verifier;
use super::refusal::Refused;
use super::user_state::{Elsewhere, NotShared, UserStates};
use crate::config::SiteConfig;
use crate::config::public_key::BadKey;

/// What stands before a token where no auth URL says otherwise.
const USUAL_SCHEME: &str = "Bearer";
/// Who gives no name, where nobody has to.
const NOBODY: &str = "anonymous";

/// The door cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Key(#[from] BadKey),
    #[error(transparent)]
    NotShared(#[from] NotShared),
}

#[derive(Debug)]
pub(super) struct Door {
    client: SiteClient,
    now: ArcSwap<Now>,
    pub(super) states: UserStates,
    /// Events that the site is being given.
    passing: TaskTracker,
    /// How many connections there are.
    inside: AtomicUsize,
}

/// The site has as many connections as it may.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this site has as many connections as it may: come again later")]
pub(super) struct Full;

/// What is configured at one moment, and what was made of it.
#[derive(Debug)]
struct Now {
    config: Arc<SiteConfig>,
    auth: Option<Arc<AuthClient>>,
    jwt: Option<Arc<Verifier>>,
}

impl Door {
    pub(super) fn new(config: SiteConfig) -> Result<Self, DoorError> {
        Self::following(config, None, None)
    }

    /// The door of a site whose server is another one now. What is still to be told of users stays in order. `users`: a
    /// store of presence that nodes share, and nobody has started; only for a site that was not there `before`.
    pub(super) fn following(
        config: SiteConfig,
        before: Option<&Self>,
        users: Option<Box<dyn PresenceStore>>,
    ) -> Result<Self, DoorError> {
        let (client, states, passing) = if let Some(before) = before {
            if config.asks_by_https() {
                before.client.become_secure()?;
            }
            (before.client.clone(), before.states.clone(), before.passing.clone())
        } else {
            let client = SiteClient::new(config.asks_by_https())?;
            let elsewhere = users.map(Elsewhere::new).transpose()?;
            (client.clone(), UserStates::new(&config.name, client, elsewhere), TaskTracker::new())
        };
        let now = Now::new(&client, config, None)?;
        Ok(Self { client, now: ArcSwap::from_pointee(now), states, passing, inside: AtomicUsize::new(0) })
    }

    /// Has the site told of its users where it is configured now.
    pub(super) fn open(&self) {
        self.states.tell_at(self.config().update_user_url.as_deref());
    }

    /// Where events are passed on: their clients need not wait for that.
    pub(super) fn passing(&self) -> &TaskTracker {
        &self.passing
    }

    /// Waits until all events are passed on, at most so long.
    pub(super) async fn passes_on(&self, limit: Duration) {
        self.passing.close();
        if timeout(limit, self.passing.wait()).await.is_err() {
            tracing::warn!(
                site = self.config().name,
                "a site takes its last events too slowly: some are lost"
            );
        }
    }

    /// The client for everything that this site answers.
    pub(super) fn client(&self) -> &SiteClient {
        &self.client
    }

    pub(super) fn config(&self) -> Arc<SiteConfig> {
        Arc::clone(&self.now.load().config)
    }

    /// Whether there is anything by which a client can be known here. If not, only issued tokens let somebody in.
    pub(super) fn asks_somebody(&self) -> bool {
        let now = self.now.load();
        now.auth.is_some() || now.jwt.is_some() || !now.config.services.is_empty() || now.config.open
    }

    /// Holds for who comes from now on.
    pub(super) fn change(&self, config: SiteConfig) -> Result<(), DoorError> {
        if config.asks_by_https() {
            self.client.become_secure()?;
        }
        let now = Now::new(&self.client, config, Some(&self.now.load()))?;
        self.now.store(Arc::new(now));
        self.open();
        Ok(())
    }

    /// Who a client is.
    pub(super) async fn admit(&self, credentials: &Credentials) -> Result<Identity, Refused> {
        let now = self.now.load_full();
        credentials.check().map_err(|_| Refused::Failed)?;
        let token = credentials.token.as_deref();
        if let Some(token) = token {
            // All are compared, so that nobody learns which one nearly fitted.
            let services = now.config.services.iter();
            let service = services
                .fold(None, |found, service| if service.key.is(token) { Some(service) } else { found });
            if let Some(service) = service {
                let known = Known {
                    user: Some(service.user.clone()),
                    rooms: service.rooms.clone(),
                    public: service.info.clone(),
                    ..Known::default()
                };
                return known.on(&now.config);
            }
            if let Some(jwt) = &now.jwt
                && (now.auth.is_none() || Verifier::is_meant(token))
            {
                let known = jwt.verify(token).await?;
                let authorization = now.authorization(token);
                return Known { authorization, ..known }.on(&now.config);
            }
        }
        if let Some(auth) = &now.auth {
            let Member { rooms, info } = auth.ask_about(credentials).await?;
            let authorization = token.and_then(|token| now.authorization(token));
            return Known { rooms, public: info, authorization, ..Known::default() }.on(&now.config);
        }
        if now.config.open { Ok(as_it_says(credentials, &now.config)) } else { Err(Refused::Failed) }
    }

    /// Whether there are as many connections as there may be. To be asked first: who is refused later, when it has said who
    /// it is, does not come back by itself.
    pub(super) fn check_room(&self) -> Result<(), Full> {
        if self.inside.load(Ordering::Relaxed) < self.config().max_connections { Ok(()) } else { Err(Full) }
    }

    /// A connection begins, unless there are too many.
    pub(super) fn came(&self, socket: &Socket) -> Result<(), Full> {
        let most = self.config().max_connections;
        let one_more = |inside: usize| (inside < most).then_some(inside + 1);
        self.inside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).map_err(|_| Full)?;
        let identity = socket.identity();
        if let Some(user) = told_of(identity) {
            self.states.came(user, identity::authorization(identity));
        }
        Ok(())
    }

    /// A connection has ended.
    pub(super) fn went(&self, socket: &Socket) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
        let identity = socket.identity();
        if let Some(user) = told_of(identity) {
            self.states.went(user, identity::authorization(identity));
        }
    }
}

/// The user of whom a site is told, if any. Not of `.` and `..`: as a part of a URL these are steps to another one,
/// however they are written.
fn told_of(identity: &Identity) -> Option<&Arc<str>> {
    identity.user_id().filter(|user| !identity.is_passing() && !matches!(&***user, "." | ".."))
}

impl Now {
    /// What has not changed is kept as it was, with what it has learnt.
    fn new(client: &SiteClient, config: SiteConfig, before: Option<&Self>) -> Result<Self, DoorError> {
        let auth = config.auth.clone().map(|auth| {
            let kept = before.and_then(|now| now.auth.as_ref()).filter(|kept| *kept.config() == auth);
            kept.cloned().unwrap_or_else(|| Arc::new(AuthClient::new(client.clone(), auth)))
        });
        let jwt = match (&config.jwt, before) {
            (None, _) => None,
            (same, Some(before)) if *same == before.config.jwt => before.jwt.clone(),
            (Some(jwt), _) => Some(Arc::new(Verifier::new(client.clone(), jwt.clone())?)),
        };
        Ok(Self { config: Arc::new(config), auth, jwt })
    }

    /// What a client's token is sent back to the site as.
    fn authorization(&self, token: &str) -> Option<String> {
        let scheme = self.auth.as_ref().map_or(USUAL_SCHEME, |auth| &auth.config().scheme);
        auth_url::authorization(scheme, token).map(|_| match scheme {
            "" => token.to_owned(),
            scheme => format!("{scheme} {token}"),
        })
    }
}

/// Who nobody has checked is whom it says: `?user=ann&rooms=kitchen,garden`.
fn as_it_says(credentials: &Credentials, config: &SiteConfig) -> Identity {
    let says = |user: &str| Identity::new(serde_json::json!({ "user": user }));
    let Some(user) = &credentials.user else { return says(NOBODY) };
    let rooms = credentials.rooms.as_deref().unwrap_or_default().split(',').map(str::trim);
    let rooms = rooms.filter(|room| !room.is_empty()).map(|room| super::room(config, room));
    says(user).user(user.as_str()).rooms(rooms)
}
