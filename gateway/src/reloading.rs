//! What is configured while the gateway runs: read again at SIGHUP, and when a file has changed.
//!
//! In: files, a keeper of sites. Out: sites that are what the files say. A configuration with mistakes changes nothing,
//! and is logged, line by line. A file that has just changed is left alone until it rests: whoever writes it may not be
//! done.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{self, Loaded, Mistake, Settings};
use crate::site::{Changes, Keeper};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    paths: Vec<PathBuf>,
}

/// How the files were when they were looked at.
type Look = Vec<Option<(SystemTime, u64)>>;

impl Source {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }

    /// Reads everything.
    pub(crate) async fn load(&self) -> anyhow::Result<Loaded> {
        let paths = self.paths.clone();
        Ok(spawn_blocking(move || config::load(&paths, |name| std::env::var(name).ok())).await?)
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
pub(crate) async fn follow(source: Source, keeper: Arc<Keeper>, began: Settings, read: Vec<PathBuf>) {
    let mut hangup = Hangup::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut files = source.watched(&read);
    let mut known = look(&files).await;
    let mut seen = known.clone();
    loop {
        let is_asked = tokio::select! {
            () = hangup.next() => true,
            _ = ticks.tick() => false,
        };
        let now = look(&files).await;
        let rests = now == seen;
        seen = now;
        if !is_asked && (seen == known || !rests) {
            continue;
        }
        known.clone_from(&seen);
        match source.load().await {
            Ok(loaded) => {
                files = source.watched(&loaded.files);
                known = look(&files).await;
                seen.clone_from(&known);
                take(loaded, &keeper, &began).await;
            }
            Err(error) => tracing::error!(%error, "the configuration was not read"),
        }
    }
}

async fn take(loaded: Loaded, keeper: &Arc<Keeper>, began: &Settings) {
    log(&loaded.mistakes);
    let Some(settings) = loaded.settings else {
        tracing::error!("the configuration has mistakes: everything stays as it was");
        return;
    };
    let at_start = |settings: &Settings| Settings { sites: Vec::new(), ..settings.clone() };
    if at_start(&settings) != at_start(began) {
        tracing::warn!("what is configured beside sites holds from the next start on");
    }
    // What has begun is done, also when the end begins meanwhile: the end waits for it.
    let keeper = Arc::clone(keeper);
    let applied = tokio::spawn(async move { keeper.apply(&settings.sites).await }).await;
    let Ok(changes) = applied.inspect_err(|error| tracing::error!(%error, "sites were not changed")) else {
        return;
    };
    let Changes { added, changed, removed, failed } = changes;
    for (site, error) in &failed {
        tracing::error!(site, %error, "a site cannot be served as it is configured");
    }
    tracing::info!(?added, ?changed, ?removed, "the configuration was read again");
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

/// SIGHUP, where there is one.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    #[cfg(unix)]
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        let signal = signal.inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be waited for"));
        Self { signal: signal.ok() }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
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
