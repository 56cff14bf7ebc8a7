//! What is configured while the gateway runs: read again at SIGHUP, and when a file has changed.
//!
//! In: files, a keeper of sites. Out: sites that are what the files say. A configuration with mistakes changes nothing,
//! and is logged, line by line. A file that has just changed is left alone until it rests: whoever writes it may not be
//! done. A site that cannot be served as it is configured is tried again, at the next look and then more and more seldom.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{self, Loaded, Mistake, Settings, SiteConfig};
use crate::site::{Changes, KeepError, Keeper};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// The variable that names an engine.
pub(crate) const BROKER_VARIABLE: &str = "BROKER_URL";
/// After how many looks a site that could not begin is tried again, at first and at most.
const AGAIN: (u32, u32) = (1, 64);

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    paths: Vec<PathBuf>,
    /// Stands for the variable `BROKER_URL`.
    broker: Option<String>,
}

/// How the files were when they were looked at.
type Look = Vec<Option<(SystemTime, u64)>>;

impl Source {
    /// `broker`: an engine that comes before all that is configured.
    pub(crate) fn new(paths: Vec<PathBuf>, broker: Option<String>) -> Self {
        Self { paths, broker }
    }

    /// Reads everything.
    pub(crate) async fn load(&self) -> anyhow::Result<Loaded> {
        let Self { paths, broker } = self.clone();
        let variable = move |name: &str| match &broker {
            Some(broker) if name == BROKER_VARIABLE => Some(broker.clone()),
            _ => std::env::var(name).ok(),
        };
        Ok(spawn_blocking(move || config::load(&paths, variable)).await?)
    }

    /// What is to be watched: what was named, what was read, and what might be there next time.
    fn watched(&self, read: &[PathBuf]) -> Vec<PathBuf> {
        let mut watched: Vec<PathBuf> = self.paths.iter().chain(read).cloned().collect();
        watched.sort_unstable();
        watched.dedup();
        watched
    }
}

async fn look(files: &[PathBuf]) -> Look {
    let files = files.to_vec();
    let look = move || {
        let state = |file: &PathBuf| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        files.iter().map(state).collect()
    };
    spawn_blocking(look).await.unwrap_or_default()
}

/// Keeps the sites as they are configured, until it is dropped. `read` are the files that the gateway began with.
pub(crate) async fn follow(
    mut hangup: Hangup,
    source: Source,
    keeper: Arc<Keeper>,
    began: Settings,
    read: Vec<PathBuf>,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut files = source.watched(&read);
    let mut known = look(&files).await;
    let mut seen = known.clone();
    let mut again: Option<Again> = None;
    loop {
        let is_asked = tokio::select! {
            () = hangup.next() => true,
            _ = ticks.tick() => false,
        };
        let now = look(&files).await;
        let rests = now == seen;
        seen = now;
        if !is_asked && (seen == known || !rests) {
            if let Some(waiting) = again.take() {
                again = waiting.look(&keeper).await;
            }
            continue;
        }
        known.clone_from(&seen);
        match source.load().await {
            Ok(loaded) => {
                files = source.watched(&loaded.files);
                known = look(&files).await;
                seen.clone_from(&known);
                if let Some(settings) = take(loaded, &began) {
                    again = apply(&keeper, settings.sites).await.map(Again::new);
                }
            }
            Err(error) => tracing::error!(%error, "the configuration was not read"),
        }
    }
}

/// The settings, if they can be served.
fn take(loaded: Loaded, began: &Settings) -> Option<Settings> {
    log(&loaded.mistakes);
    let Some(settings) = loaded.settings else {
        tracing::error!("the configuration has mistakes: everything stays as it was");
        return None;
    };
    let at_start = |settings: &Settings| Settings { sites: Vec::new(), ..settings.clone() };
    if at_start(&settings) != at_start(began) {
        tracing::warn!("what is configured beside sites holds from the next start on");
    }
    Some(settings)
}

/// Has the sites be like this. What could not be done is given back, with why.
async fn apply(keeper: &Arc<Keeper>, sites: Vec<SiteConfig>) -> Option<(Vec<SiteConfig>, String)> {
    // What has begun is done, also when the end begins meanwhile: the end waits for it.
    let kept = Arc::clone(keeper);
    let applied = tokio::spawn(async move { (kept.apply(&sites).await, sites) }).await;
    let applied = applied.inspect_err(|error| tracing::error!(%error, "sites were not changed"));
    let (Changes { added, changed, removed, failed }, sites) = applied.ok()?;
    tracing::info!(?added, ?changed, ?removed, "the configuration was read again");
    let words = |(site, error): &(String, KeepError)| format!("{site}: {error}");
    let why: Vec<String> = failed.iter().map(words).collect();
    for (site, error) in &failed {
        tracing::error!(site, %error, "a site cannot be served as it is configured");
    }
    (!failed.is_empty()).then(|| (sites, why.join("; ")))
}

/// Sites that could not be served as they are configured, to be tried again.
struct Again {
    sites: Vec<SiteConfig>,
    why: String,
    /// So many looks are passed by, and so many are left of them.
    pause: u32,
    left: u32,
}

impl Again {
    fn new((sites, why): (Vec<SiteConfig>, String)) -> Self {
        Self { sites, why, pause: AGAIN.0, left: AGAIN.0 }
    }

    /// One look later: tries again, if it is time. `None`: all is well.
    async fn look(self, keeper: &Arc<Keeper>) -> Option<Self> {
        if self.left > 1 {
            return Some(Self { left: self.left - 1, ..self });
        }
        let Self { sites, why, pause, .. } = self;
        let kept = Arc::clone(keeper);
        let applied = tokio::spawn(async move { (kept.apply(&sites).await, sites) }).await;
        let (Changes { added, changed, failed, .. }, sites) = applied.ok()?;
        if !(added.is_empty() && changed.is_empty()) {
            tracing::info!(?added, ?changed, "what could not be served before is served");
        }
        let now: Vec<String> = failed.iter().map(|(site, error)| format!("{site}: {error}")).collect();
        let now = now.join("; ");
        if now != why && !now.is_empty() {
            tracing::error!(why = now, "sites cannot be served as they are configured");
        }
        let pause = (pause * 2).min(AGAIN.1);
        (!now.is_empty()).then_some(Self { sites, why: now, pause, left: pause })
    }
}

/// Mistakes as errors, notes as warnings.
pub(crate) fn log(mistakes: &[Mistake]) {
    for Mistake { file, line, column, message, suggestion, severe } in mistakes {
        let suggestion = suggestion.as_deref();
        if *severe {
            tracing::error!(file, line, column, suggestion, "{message}");
        } else {
            tracing::warn!(file, line, column, suggestion, "{message}");
        }
    }
}

/// Waits for SIGHUP, where there is one. From [`Hangup::new`] on, it no longer ends the program.
pub(crate) struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    /// Begins to listen. Needs a tokio runtime.
    #[cfg(unix)]
    pub(crate) fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        let signal = signal.inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be waited for"));
        Self { signal: signal.ok() }
    }

    /// Begins to listen: to nothing here.
    #[cfg(not(unix))]
    pub(crate) fn new() -> Self {
        Self {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
