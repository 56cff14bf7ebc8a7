//! Who begins, changes and ends sites, so that what is served is what is configured.
//!
//! In: settings, again and again. Out: [`Sites`], and a namespace for each. A site that did not change is not touched;
//! one that changed goes on with its connections, unless its server has to be built anew; one that was taken away ends
//! in order. What it kept stays where it lies. A site that cannot be as it is configured stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderMap;
use tokensocket_server::socketio::{ConnectRequest, NamespaceOptions, Refusal, SocketIo};
use tokensocket_server::{BuildError, Drain};
use tokio::sync::Mutex;
use tokio::task::{JoinError, spawn_blocking};

use super::build;
use super::credentials::Credentials;
use super::door::{Door, DoorError};
use super::{Site, Sites};
use crate::config::SiteConfig;
use crate::engine::{Engine, EngineError};
use crate::storage::{Storage, StorageError};

/// How long a site may take to be told of the last users that went.
const LAST_STATES: Duration = Duration::from_secs(5);
/// How long a site may take to be given the last events of clients that went.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// A site cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Door(#[from] DoorError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("what a site keeps could not be opened: {0}")]
    Opening(#[from] JoinError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Keeps sites as they are configured.
pub(crate) struct Keeper {
    sites: Sites,
    io: SocketIo,
    place: Place,
    drain: Drain,
    storages: Mutex<Storages>,
}

/// Where sites keep things.
pub(crate) enum Place {
    /// In this process.
    Memory,
    /// Below a folder, each in one of its own.
    Folder(PathBuf),
    /// In an engine, each in a namespace of its own.
    Engine(Engine),
}

/// What is open, by the site's name.
#[derive(Default)]
struct Storages {
    open: BTreeMap<String, Storage>,
    /// Sites whose server has ended, and which could not be begun again.
    ended: BTreeSet<String>,
    /// The end has come: nothing is opened any more.
    is_closed: bool,
}

/// What a change came to, by name.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) added: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) failed: Vec<(String, KeepError)>,
}

impl Keeper {
    /// `drain`: how clients are sent elsewhere when a server ends.
    pub(crate) fn new(io: SocketIo, place: Place, drain: Drain) -> Self {
        Self { sites: Sites::default(), io, place, drain, storages: Mutex::default() }
    }

    /// What nodes share, if there are others.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.place {
            Place::Engine(engine) => Some(engine),
            Place::Memory | Place::Folder(_) => None,
        }
    }

    /// The sites that are served.
    pub(crate) fn sites(&self) -> &Sites {
        &self.sites
    }

    /// Serves a site that is there already, beside those that are configured.
    pub(crate) async fn adopt(&self, site: Site, storage: Storage) {
        let site = Arc::new(site);
        self.storages.lock().await.open.insert(site.name().to_owned(), storage);
        offer(&self.io, &site, &format!("/{}", site.name()));
        self.sites.insert(&site);
        self.offer_root();
    }

    /// Serves these sites from now on, and no others.
    pub(crate) async fn apply(&self, configs: &[SiteConfig]) -> Changes {
        let mut storages = self.storages.lock().await;
        let mut changes = Changes::default();
        if storages.is_closed {
            return changes;
        }
        let mut wanted: Vec<&SiteConfig> = configs.iter().collect();
        let mut replaced = Vec::new();
        let mut removed = Vec::new();
        for site in self.sites.all() {
            let (name, now) = (site.name().to_owned(), site.config());
            let Some(at) = wanted.iter().position(|config| config.name == name) else {
                self.forget(&name);
                removed.push((site, storages.open.remove(&name)));
                changes.removed.push(name);
                continue;
            };
            if !now.needs_another_server(wanted[at]) && !storages.ended.contains(&name) {
                let config = wanted.swap_remove(at);
                if *config != *now {
                    match change(&site, config) {
                        Ok(()) => changes.changed.push(name),
                        Err(error) => changes.failed.push((name, error.into())),
                    }
                }
                continue;
            }
            replaced.push((site, storages.open.remove(&name), wanted.swap_remove(at)));
        }
        let removed = join_all(removed.into_iter().map(|(site, storage)| end(site, storage)));
        // It keeps its place meanwhile: whoever comes is told to come again, not that there is no such site.
        let replaced =
            join_all(replaced.into_iter().map(|(site, storage, config)| self.replace(site, storage, config)));
        let added = join_all(wanted.into_iter().map(|config| async move {
            let begun = match self.prepare(config, None) {
                Ok(door) => self.begin(config, door).await,
                Err(error) => Err(error),
            };
            (config, begun)
        }));
        let (_, replaced, added) = tokio::join!(removed, replaced, added);
        for (config, begun) in replaced {
            let name = config.name.clone();
            storages.ended.remove(&name);
            match begun {
                Replaced::Begun(storage) => {
                    storages.open.insert(name.clone(), storage);
                    changes.changed.push(name);
                }
                Replaced::Stays(storage, error) => {
                    storages.open.extend(storage.map(|storage| (name.clone(), storage)));
                    changes.failed.push((name, error));
                }
                Replaced::Ended(error) => {
                    storages.ended.insert(name.clone());
                    changes.failed.push((name, error));
                }
            }
        }
        for (config, begun) in added {
            let name = config.name.clone();
            match begun {
                Ok(storage) => {
                    storages.open.insert(name.clone(), storage);
                    changes.added.push(name);
                }
                Err(error) => changes.failed.push((name, error)),
            }
        }
        self.offer_root();
        changes
    }

    /// Nobody finds the site any more.
    fn forget(&self, name: &str) {
        self.io.remove(&format!("/{name}"));
        self.sites.remove(name);
    }

    /// The namespace `/` is the plain site's, for whoever has a token that it issued.
    fn offer_root(&self) {
        match self.sites.plain() {
            Some(site) => self.io.namespace_by_token("/", NamespaceOptions::new(), &site.server),
            None => drop(self.io.remove("/")),
        }
    }

    /// Ends all of them, in order, and for good.
    pub(crate) async fn close(&self) {
        let mut storages = self.storages.lock().await;
        storages.is_closed = true;
        let all = self.sites.all().into_iter().map(|site| {
            let storage = storages.open.remove(site.name());
            end(site, storage)
        });
        join_all(all).await;
    }

    /// Begins a site anew that is there. What can be tried before the old server ends is tried before.
    async fn replace<'a>(
        &self,
        site: Arc<Site>,
        storage: Option<Storage>,
        config: &'a SiteConfig,
    ) -> (&'a SiteConfig, Replaced) {
        let door = match self.prepare(config, Some(&site.door)) {
            Ok(door) => door,
            Err(error) => return (config, Replaced::Stays(storage, error)),
        };
        if let Place::Engine(_) = self.place {
            // Both may have it open: nobody has to wait.
            return match self.begin(config, door).await {
                Ok(new) => {
                    self.offer_root();
                    site.server.shutdown().await;
                    (config, Replaced::Begun(new))
                }
                Err(error) => (config, Replaced::Stays(storage, error)),
            };
        }
        site.leave(storage.as_ref().is_none_or(Storage::forgets));
        site.server.shutdown().await;
        close(site.name(), storage).await;
        let begun = self.begin(config, door).await;
        (config, begun.map_or_else(Replaced::Ended, Replaced::Begun))
    }

    /// Everything of a site that can fail, but for opening what it keeps. `before`: the door that the site had, whose
    /// users are still to be told of.
    fn prepare(&self, config: &SiteConfig, before: Option<&Door>) -> Result<Arc<Door>, KeepError> {
        let users = match (&self.place, before) {
            (Place::Engine(engine), None) => Some(engine.users(&config.name)?),
            _ => None,
        };
        let door = Arc::new(Door::following(config.clone(), before, users)?);
        build::build(config, &door, &Storage::InMemory, self.drain)?;
        Ok(door)
    }

    async fn begin(&self, config: &SiteConfig, door: Arc<Door>) -> Result<Storage, KeepError> {
        let storage = match &self.place {
            Place::Folder(folder) => {
                let folder = folder.join(&config.name);
                spawn_blocking(|| Storage::open(folder)).await??
            }
            Place::Engine(engine) => Storage::InEngine(engine.namespace(&config.name)?),
            Place::Memory => Storage::InMemory,
        };
        let server = build::build(config, &door, &storage, self.drain)?;
        let site = Arc::new(Site::with(config.name.clone(), server, door));
        offer(&self.io, &site, &format!("/{}", site.name()));
        self.sites.insert(&site);
        Ok(storage)
    }
}

/// What became of a site that was to be begun anew.
enum Replaced {
    Begun(Storage),
    /// The new one cannot be, and the old one goes on.
    Stays(Option<Storage>, KeepError),
    /// The old one has ended, and the new one could not begin.
    Ended(KeepError),
}

async fn end(site: Arc<Site>, storage: Option<Storage>) {
    site.server.shutdown().await;
    tokio::join!(site.door.states.settle(LAST_STATES), site.door.passes_on(LAST_EVENTS));
    close(site.name(), storage).await;
}

async fn close(site: &str, storage: Option<Storage>) {
    if let Some(storage) = storage
        && let Err(error) = spawn_blocking(|| storage.close()).await
    {
        tracing::error!(site, %error, "what a site keeps was not closed in order");
    }
}

/// What holds from now on, for who is there and who comes.
fn change(site: &Site, config: &SiteConfig) -> Result<(), DoorError> {
    site.door.change(config.clone())?;
    site.server.set_events(build::EVENTS, build::events(config, &site.door));
    Ok(())
}

/// Offers a site's namespace to Socket.IO clients. A token that the site's server issued is good once; any other is for
/// the door.
fn offer(io: &SocketIo, site: &Arc<Site>, namespace: &str) {
    let (door, server) = (Arc::clone(&site.door), site.server.clone());
    io.namespace(namespace, NamespaceOptions::new(), &site.server, move |request: ConnectRequest| {
        let (door, server) = (Arc::clone(&door), server.clone());
        async move {
            if !is_from_allowed_page(&door.config().allow_origins, request.headers()) {
                return Err(Refusal::new("Pages of this origin may not connect"));
            }
            // It comes back by itself, which one that is refused does not.
            door.check_room().map_err(|full| Refusal::try_again(full.to_string()))?;
            let unknown = match server.redeem_token_of(&request).await {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => None,
                // It may be one of the site's own, which only looks like ours.
                Err(error) => Some(error),
            };
            let admitted = if door.asks_somebody() {
                let credentials = Credentials::of(|name| request.query(name), request.headers());
                door.admit(&credentials).await.map_err(|refused| Refusal::new(refused.to_string()))
            } else {
                Err(Refusal::invalid_token())
            };
            admitted.map_err(|refusal| match unknown {
                None => refusal,
                Some(error) => {
                    tracing::warn!(%error, "a token could not be redeemed");
                    Refusal::try_again(error.to_string())
                }
            })
        }
    });
}

/// Whether a request comes from no page, or from one of these origins, or from one that was loaded from here; an empty
/// list is any. A script's request names no origin, so that its referrer stands for it.
fn is_from_allowed_page(allowed: &[String], headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let referrer = || url::Url::parse(text("referer")?).ok().map(|page| page.origin().ascii_serialization());
    let origin = match (text("origin"), text("sec-fetch-site")) {
        (Some(origin), _) => origin.to_owned(),
        (None, Some("same-origin" | "none")) => return true,
        // A browser's, from elsewhere.
        (None, Some(_)) => referrer().unwrap_or_default(),
        (None, None) => match referrer() {
            Some(page) => page,
            None => return true,
        },
    };
    let is_own = || {
        let (_, page) = origin.split_once("://").unwrap_or_default();
        !page.is_empty() && text("host") == Some(page)
    };
    allowed.is_empty() || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(&origin)) || is_own()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn asks(more: &[(&'static str, &'static str)]) -> HeaderMap {
        let headers = [("host", "push.test:1337")].into_iter().chain(more.iter().copied());
        let header = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        headers.map(header).collect()
    }

    #[test]
    fn pages_of_other_origins_are_kept_out_where_some_are_named() {
        let from = |origin| asks(&[("origin", origin)]);
        let named = ["https://www.test".to_owned()];
        assert!(is_from_allowed_page(&named, &from("https://www.test")));
        assert!(is_from_allowed_page(&named, &from("http://push.test:1337")));
        assert!(is_from_allowed_page(&named, &asks(&[])));
        assert!(is_from_allowed_page(&[], &from("https://evil.test")));
        for origin in ["https://evil.test", "null", "", "https://www.test.evil.test"] {
            assert!(!is_from_allowed_page(&named, &from(origin)), "{origin}");
        }
    }

    #[test]
    fn scripts_of_other_origins_are_kept_out_too() {
        let named = ["https://www.test".to_owned()];
        for allowed in [
            &[("referer", "https://www.test/page")][..],
            &[("referer", "http://push.test:1337/")],
            &[("referer", "https://www.test/page"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-origin")],
        ] {
            assert!(is_from_allowed_page(&named, &asks(allowed)), "{allowed:?}");
        }
        for foreign in [
            &[("referer", "https://evil.test/https://www.test")][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("referer", "https://evil.test/")],
        ] {
            assert!(!is_from_allowed_page(&named, &asks(foreign)), "{foreign:?}");
        }
    }
}
