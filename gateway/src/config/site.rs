//! One site, as it was configured.
//!
//! In: a section of a file, or variables. Out: a [`SiteConfig`] that can be served, or what is wrong with it.

mod jwt;
mod origin;
pub(crate) mod public_key;
mod reading;
mod secret;
mod service;

use std::collections::BTreeMap;
use std::time::Duration;

use confique::Config;

use super::value::{EventMode, HttpUrl, Number, Path, Seconds, Sources, Text, Texts, Truth};

pub(super) use reading::Reading;

pub(crate) use jwt::{Algorithm, JwtConfig, JwtKey};
pub(crate) use secret::Secret;
pub(crate) use service::Service;

/// Where event clients connect, unless a site says otherwise.
pub(crate) const EVENTS_PATH: &str = "/events";

/// What a site was told. Everything has its default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(crate) struct SiteConfig {
    /// Its name: the namespace, and the first part of its paths.
    pub(crate) name: String,
    /// Who has one of these may send, and everything else of the API.
    pub(crate) api_keys: Vec<Secret>,
    /// Nobody has to prove anything: every client is whom it says, and no key is asked for.
    pub(crate) open: bool,
    /// Who is asked about clients.
    pub(crate) auth: Option<AuthUrl>,
    /// Signed tokens, which nobody has to be asked about.
    pub(crate) jwt: Option<JwtConfig>,
    /// Keys of programs that connect.
    pub(crate) services: Vec<Service>,
    /// Rooms that begin with this belong to one user each.
    pub(crate) user_room_prefix: Option<String>,
    /// The room of those who have no private one.
    pub(crate) public_channel: Option<String>,
    /// Who is told when users come and go; `:id` stands for the user.
    pub(crate) update_user_url: Option<String>,
    /// For how long a device that is away is remembered.
    pub(crate) device_ttl: Duration,
    /// The origins whose pages may ask for tokens; empty: any.
    pub(crate) allow_origins: Vec<String>,
    /// Whether clients may follow channels.
    pub(crate) subscribe: bool,
    /// Whether clients may publish.
    pub(crate) publish: bool,
    /// How many publications a channel keeps, and for how long; 0: none.
    pub(crate) history: (usize, Duration),
    /// Whether channels say who is there.
    pub(crate) presence: bool,
    /// How many connections the site may have.
    pub(crate) max_connections: usize,
    /// What event clients may do.
    pub(crate) events: EventMode,
    /// Where they connect, below the site's name.
    pub(crate) events_path: String,
    /// Who is given the events that are no questions for data.
    pub(crate) passthrough_url: Option<String>,
    /// Where the data of `data:get:NAME` comes from, by name.
    pub(crate) data_sources: BTreeMap<String, String>,
}

/// A site's own word on who its clients are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthUrl {
    pub(crate) url: String,
    /// Stands before the client's token.
    pub(crate) scheme: String,
    /// How long an answer may take, retries included.
    pub(crate) timeout: Duration,
    /// How often a question is asked again that got no answer.
    pub(crate) retries: u32,
    /// How many questions may be open at a time.
    pub(crate) concurrency: usize,
}

/// The settings of a site as they are written. The names in files are these in camelCase, as they always were; the
/// variables are those of a single site.
#[derive(Config)]
#[config(layer_attr(derive(Debug)))]
pub(super) struct Written {
    #[config(env = "API_KEY")]
    api_key: Option<Texts>,
    #[config(env = "AUTH_URL")]
    auth_url: Option<HttpUrl>,
    #[config(env = "AUTH_SCHEME", default = "Bearer")]
    auth_scheme: Text,
    #[config(default = 5)]
    auth_timeout: Seconds,
    #[config(default = 2)]
    auth_retries: Number,
    #[config(default = 32)]
    auth_concurrency: Number,
    #[config(env = "USER_ROOM_PREFIX")]
    user_room_prefix: Option<Text>,
    #[config(env = "PUBLIC_CHANNEL")]
    public_channel: Option<Text>,
    #[config(env = "UPDATE_USER_URL")]
    update_user_url: Option<HttpUrl>,
    device_ttl: Option<Seconds>,
    #[config(default = false)]
    open: Truth,
    allow_origins: Option<Texts>,
    jwt_secret: Option<Text>,
    jwt_public_key: Option<Text>,
    jwks_url: Option<HttpUrl>,
    jwt_algorithms: Option<Texts>,
    jwt_issuer: Option<Text>,
    jwt_audience: Option<Texts>,
    #[config(default = "rooms")]
    jwt_rooms: Text,
    services: Option<Vec<Service>>,
    #[config(default = true)]
    subscribe: Truth,
    #[config(default = false)]
    publish: Truth,
    #[config(default = 0)]
    history: Number,
    #[config(default = 86400)]
    history_age: Seconds,
    #[config(default = false)]
    presence: Truth,
    max_connections: Option<Number>,
    #[config(default = false)]
    events: EventMode,
    #[config(default = "/events")]
    events_path: Path,
    passthrough_url: Option<HttpUrl>,
    data_sources: Option<Sources>,
}

impl SiteConfig {
    /// A site that lets everybody in and asks for no key.
    pub(crate) fn open(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            api_keys: Vec::new(),
            open: true,
            auth: None,
            jwt: None,
            services: Vec::new(),
            user_room_prefix: None,
            public_channel: None,
            update_user_url: None,
            device_ttl: Duration::from_hours(1),
            allow_origins: Vec::new(),
            subscribe: true,
            publish: true,
            history: (100, Duration::from_hours(24)),
            presence: true,
            max_connections: usize::MAX,
            events: EventMode::Off,
            events_path: EVENTS_PATH.to_owned(),
            passthrough_url: None,
            data_sources: BTreeMap::new(),
        }
    }

    /// Whether anybody whom the site names is asked by https.
    pub(crate) fn asks_by_https(&self) -> bool {
        let jwks = self.jwt.as_ref().and_then(|jwt| match &jwt.key {
            JwtKey::Jwks(url) => Some(url),
            _ => None,
        });
        let urls = self.auth.iter().map(|auth| &auth.url).chain(jwks).chain(&self.update_user_url);
        let mut urls = urls.chain(&self.passthrough_url).chain(self.data_sources.values());
        urls.any(|url| url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")))
    }

    /// Whether a change from one to the other needs another server, because it is about what a server is built with.
    pub(crate) fn needs_another_server(&self, other: &Self) -> bool {
        let built = |site: &Self| (site.device_ttl, site.allow_origins.clone(), site.history, site.presence);
        built(self) != built(other)
    }
}
