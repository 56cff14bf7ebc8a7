//! A site: a namespace with a server of its own, so that rooms, queues, keys and limits of two sites never meet.
//!
//! ```text
//! client ─▶ Credentials ─▶ Door: a service's key, a signed token, or the site itself ─▶ Known ─▶ identity
//! settings ─▶ Keeper ─▶ Sites, each a Site: Server, Door
//! ```
//!
//! In: what was configured, credentials of clients. Out: identities, and what the API asks of a site. It must not know
//! paths or HTTP's other side.

mod auth_url;
mod breaker;
mod build;
mod client;
mod credentials;
mod data_source;
mod door;
mod identity;
mod jwt;
mod keeper;
mod offer;
mod passthrough;
mod refusal;
mod sites;
#[cfg(test)]
mod stub;
mod user_state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokensocket_server::Server;

use crate::config::SiteConfig;
use door::Door;

pub(crate) use keeper::{Changes, KeepError, Keeper, Place};
pub(crate) use sites::{DEFAULT, Sites};

/// One site that is being served.
pub(crate) struct Site {
    name: String,
    server: Server,
    door: Arc<Door>,
    /// What it takes now would be thrown away with its server.
    forgets: AtomicBool,
}

impl Site {
    /// A site that lets everybody in, on a server that knows how; from pages of these origins, or of any.
    pub(crate) fn open(server: Server, allow_origins: Vec<String>) -> Result<Self, KeepError> {
        Self::of(server, SiteConfig { allow_origins, ..SiteConfig::open(DEFAULT) })
    }

    /// A site on a server that lets clients in by itself.
    pub(crate) fn of(server: Server, config: SiteConfig) -> Result<Self, KeepError> {
        Ok(Self::with(config.name.clone(), server, Arc::new(Door::new(config)?)))
    }

    fn with(name: String, server: Server, door: Arc<Door>) -> Self {
        door.open();
        Self { name, server, door, forgets: AtomicBool::new(false) }
    }

    /// Another server is about to take this one's place. `forgets`: what this one keeps is gone then.
    fn leave(&self, forgets: bool) {
        self.forgets.store(forgets, Ordering::SeqCst);
    }

    /// Whether what is sent to it now would be thrown away, since another server is about to take its place. To be asked
    /// before something is kept, and again after that.
    pub(crate) fn forgets(&self) -> bool {
        self.forgets.load(Ordering::SeqCst)
    }

    /// The name, which is also the first part of its paths and its namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The site's own server.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// What is configured at this moment. It may change while the site is served.
    pub(crate) fn config(&self) -> Arc<SiteConfig> {
        self.door.config()
    }

    /// Whether whoever sends has to prove nothing here: clients need not, and no key is configured that would be meant.
    pub(crate) fn is_open(&self) -> bool {
        let config = self.config();
        config.open && config.api_keys.is_empty()
    }

    /// Whether this is one of the site's keys, compared in constant time. No key opens a site that is open: ask
    /// [`is_open`](Self::is_open) first.
    pub(crate) fn accepts_key(&self, key: &str) -> bool {
        // All are compared, so that nobody learns which one nearly fitted.
        self.config().api_keys.iter().fold(false, |accepted, own| own.is(key) | accepted)
    }

    /// The name of a room as the server knows it: one that belongs to one user as it is, a shared one in lower case,
    /// since shared rooms are the same whatever their case. To be called for every room that comes from outside.
    pub(crate) fn room(&self, name: &str) -> String {
        room(&self.config(), name)
    }
}

/// See [`Site::room`].
fn room(config: &SiteConfig, name: &str) -> String {
    let shared = name.to_lowercase();
    match &config.user_room_prefix {
        // What is no private room does not become one by its case.
        Some(prefix) if name.starts_with(prefix.as_str()) || shared.starts_with(prefix.as_str()) => {
            name.to_owned()
        }
        _ => shared,
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("name", &self.name).finish_non_exhaustive()
    }
}
