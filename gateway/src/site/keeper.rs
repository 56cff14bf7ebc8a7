//! Who begins, changes and ends sites, so that what is served is what is configured.
//!
//! In: settings, again and again. Out: [`Sites`], and a namespace for each. A site that did not change is not touched;
//! one that changed goes on with its connections, unless its server has to be built anew; one that was taken away ends
//! in order. What it kept stays where it lies. A site that cannot be as it is configured stays as it is.
//!
//! ```text
//! apply ─▶ the same: untouched ─ changed ─ begun anew ─ added ─▶ Sites
//!            └▶ replaced, removed ─▶ Leaving: in a task of its own, at the pace of the drain
//! close ─▶ all that are served, and all that are leaving
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_server::socketio::{NamespaceOptions, SocketIo};
use tokensocket_server::{BuildError, Drain, Server};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::build;
use super::door::{Door, DoorError};
use super::offer::offer;
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
    #[error("the gateway is about to end")]
    Ending,
}

/// Keeps sites as they are configured.
pub(crate) struct Keeper {
    sites: Sites,
    io: SocketIo,
    place: Place,
    drain: Drain,
    storages: Mutex<Storages>,
    /// The end has come: nothing is begun any more.
    ending: CancellationToken,
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
    /// Sites that were taken away, by name, and whose clients are still there, and their folder open.
    leaving: BTreeMap<String, Leaving>,
    /// Servers that nobody finds any more, on their way to the end.
    last: JoinSet<()>,
}

/// A site that ends while others are served.
struct Leaving {
    server: Server,
    gone: CancellationToken,
}

impl Leaving {
    /// Ends without a pace: the same site is wanted again.
    async fn hurry(self) {
        tokio::join!(self.server.shutdown_at_once(), self.gone.cancelled());
    }
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
        let ending = CancellationToken::new();
        Self { sites: Sites::default(), io, place, drain, storages: Mutex::default(), ending }
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

    /// Serves these sites from now on, and no others. Whoever is sent elsewhere by that may take longer.
    pub(crate) async fn apply(&self, configs: &[SiteConfig]) -> Changes {
        let mut storages = self.storages.lock().await;
        let mut changes = Changes::default();
        if self.ending.is_cancelled() {
            return changes;
        }
        while storages.last.try_join_next().is_some() {}
        storages.leaving.retain(|_, leaving| !leaving.gone.is_cancelled());
        let mut wanted: Vec<&SiteConfig> = configs.iter().collect();
        let mut replaced = Vec::new();
        for site in self.sites.all() {
            let (name, now) = (site.name().to_owned(), site.config());
            let Some(at) = wanted.iter().position(|config| config.name == name) else {
                self.forget(&name);
                let storage = storages.open.remove(&name);
                storages.ended.remove(&name);
                storages.take_leave(site, storage);
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
        // It keeps its place meanwhile: whoever comes is told to come again, not that there is no such site.
        let replaced =
            join_all(replaced.into_iter().map(|(site, storage, config)| self.replace(site, storage, config)));
        let is_alone = !matches!(self.place, Place::Engine(_));
        let added = wanted.into_iter().map(|config| {
            // What one server has open no other can open; and of its users two would tell that know nothing of each other.
            let before = storages.leaving.remove(&config.name).filter(|_| is_alone);
            (config, before)
        });
        let added = added.collect::<Vec<_>>().into_iter().map(|(config, before)| async move {
            if let Some(before) = before {
                before.hurry().await;
            }
            let begun = match self.prepare(config, None) {
                Ok(door) => self.begin(config, door).await,
                Err(error) => Err(error),
            };
            (config, begun)
        });
        let (replaced, added) = tokio::join!(replaced, join_all(added));
        for (config, begun) in replaced {
            let name = config.name.clone();
            storages.ended.remove(&name);
            match begun {
                Replaced::Begun(storage, before) => {
                    if let Some(before) = before {
                        storages.last.spawn(async move { before.shutdown().await });
                    }
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

    /// Ends all of them, in order, and for good: those that are served and those that are leaving, side by side.
    pub(crate) async fn close(&self) {
        self.ending.cancel();
        let sites = self.sites.all();
        // Nobody waits here for a change that is under way.
        let (mut storages, _) =
            tokio::join!(self.storages.lock(), join_all(sites.iter().map(|site| site.server.shutdown())));
        let sites = self.sites.all();
        join_all(sites.iter().map(|site| site.server.shutdown())).await;
        // What their clients leave behind is the site's that is served now.
        while storages.last.join_next().await.is_some() {}
        join_all(sites.into_iter().map(|site| {
            let storage = storages.open.remove(site.name());
            end(site, storage)
        }))
        .await;
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
                    (config, Replaced::Begun(new, Some(site.server.clone())))
                }
                Err(error) => (config, Replaced::Stays(storage, error)),
            };
        }
        site.leave(storage.as_ref().is_none_or(Storage::forgets));
        // Whoever is sent away comes back here, to the next one, which can begin only after this one: a pace would keep
        // the site down for as long as that takes.
        site.server.shutdown_at_once().await;
        close(site.name(), storage).await;
        let begun = self.begin(config, door).await;
        (config, begun.map_or_else(Replaced::Ended, |new| Replaced::Begun(new, None)))
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
        if self.ending.is_cancelled() {
            return Err(KeepError::Ending);
        }
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
    /// With the one before, if that has not ended.
    Begun(Storage, Option<Server>),
    /// The new one cannot be, and the old one goes on.
    Stays(Option<Storage>, KeepError),
    /// The old one has ended, and the new one could not begin.
    Ended(KeepError),
}

impl Storages {
    /// Has a site end that nobody finds any more.
    fn take_leave(&mut self, site: Arc<Site>, storage: Option<Storage>) {
        let gone = CancellationToken::new();
        let leaving = Leaving { server: site.server.clone(), gone: gone.clone() };
        self.leaving.insert(site.name().to_owned(), leaving);
        self.last.spawn(async move {
            let _gone = gone.drop_guard();
            end(site, storage).await;
        });
    }
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
