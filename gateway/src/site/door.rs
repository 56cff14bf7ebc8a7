//! A site's door: who gets in, and as whom.
//!
//! In: credentials; connections that begin and end. Out: an identity, or a refusal; what the site is told of its users.
//! What is configured may change meanwhile: whoever is inside stays.

use std::sync::Arc;

use arc_swap::ArcSwap;
use reqwest::Client;
use tokensocket_server::{Identity, Socket};

use super::auth_url::{self, AuthClient};
use super::client::{self, ClientError};
use super::credentials::Credentials;
use super::identity::{self, Known};
use super::jwt::{BadKey, Verifier};
use super::refusal::Refused;
use super::user_state::UserStates;
use crate::config::SiteConfig;

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
}

#[derive(Debug)]
pub(super) struct Door {
    client: Client,
    now: ArcSwap<Now>,
    pub(super) states: UserStates,
}

/// What is configured at one moment, and what was made of it.
#[derive(Debug)]
struct Now {
    config: Arc<SiteConfig>,
    auth: Option<Arc<AuthClient>>,
    jwt: Option<Arc<Verifier>>,
}

impl Door {
    pub(super) fn new(config: SiteConfig) -> Result<Self, DoorError> {
        Self::following(config, None)
    }

    /// The door of a site whose server is another one now. What is still to be told of users stays in order.
    pub(super) fn following(config: SiteConfig, before: Option<&Self>) -> Result<Self, DoorError> {
        let client = client::client()?;
        let states = match before {
            Some(before) => before.states.clone(),
            None => UserStates::new(&config.name, client.clone()),
        };
        let now = Now::new(&client, config, None)?;
        Ok(Self { client, now: ArcSwap::from_pointee(now), states })
    }

    /// The client for everything that this site answers.
    pub(super) fn client(&self) -> &Client {
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
        let now = Now::new(&self.client, config, Some(&self.now.load()))?;
        self.now.store(Arc::new(now));
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
            let rooms = auth.rooms(credentials).await?;
            let authorization = token.and_then(|token| now.authorization(token));
            return Known { rooms, authorization, ..Known::default() }.on(&now.config);
        }
        if now.config.open { Ok(as_it_says(credentials, &now.config)) } else { Err(Refused::Failed) }
    }

    /// A connection has begun.
    pub(super) fn came(&self, socket: &Socket) {
        let identity = socket.identity();
        if let Some(user) = identity.user_id().filter(|_| !identity.is_passing()) {
            let config = self.config();
            self.states.came(user, config.update_user_url.as_deref(), identity::authorization(identity));
        }
    }

    /// A connection has ended.
    pub(super) fn went(&self, socket: &Socket) {
        let identity = socket.identity();
        if let Some(user) = identity.user_id().filter(|_| !identity.is_passing()) {
            let config = self.config();
            self.states.went(user, config.update_user_url.as_deref(), identity::authorization(identity));
        }
    }
}

impl Now {
    /// What has not changed is kept as it was, with what it has learnt.
    fn new(client: &Client, config: SiteConfig, before: Option<&Self>) -> Result<Self, DoorError> {
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
