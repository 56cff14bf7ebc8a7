//! What the server keeps beyond its connections, and where: histories and device queues, in a directory or in
//! memory.
//!
//! In: a directory, or none. Out: a store that is open, and words on what was found there. It must not know what is
//! kept for whom.

use std::fmt;
use std::path::{Path, PathBuf};

use tokensocket_server::{EmbeddedError, EmbeddedOptions, EmbeddedStore, OpenReport, ServerBuilder};

use crate::engine::Engine;

/// Where what is kept lies, while the server runs.
#[allow(clippy::enum_variant_names, reason = "they say where")]
pub(crate) enum Storage {
    /// In this process, and gone with it.
    InMemory,
    /// In an engine, which other nodes have open, too.
    InEngine(Engine),
    /// In a directory, which no other process has open.
    InDirectory {
        /// Which.
        path: PathBuf,
        /// What it is open as.
        store: EmbeddedStore,
        /// What was found in it.
        found: OpenReport,
    },
}

/// The directory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}\n--data names another directory; --in-memory keeps histories and deliveries only as long as the server runs"
)]
pub(crate) struct StorageError(EmbeddedError);

impl Storage {
    /// Opens the directory, and makes it when it is not there. Blocks until everything in it was read and checked.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StorageError> {
        let is_new = !path.exists();
        let (store, found) = EmbeddedStore::open(&path, EmbeddedOptions::new()).map_err(StorageError)?;
        if is_new {
            ignore(&path);
        }
        tracing::info!(
            directory = %path.display(),
            channels = found.channels,
            publications = found.publications,
            devices = found.devices,
            deliveries = found.entries,
            took = ?found.took,
            "opened what was kept"
        );
        Ok(Self::InDirectory { path, store, found })
    }

    /// Has the server keep things here.
    pub(crate) fn serve(&self, builder: ServerBuilder) -> ServerBuilder {
        match self {
            Self::InMemory => builder,
            Self::InEngine(engine) => engine.serve(builder),
            Self::InDirectory { store, .. } => builder.broker(store.broker()).device_store(store.devices()),
        }
    }

    /// Whether what is kept is gone with the server.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self, Self::InMemory)
    }

    /// Writes what is still to be written. Blocks until then.
    pub(crate) fn close(self) {
        if let Self::InDirectory { store, .. } = self {
            store.close();
        }
    }
}

/// Where things are kept, and what was found there: one line, and more when something was lost.
impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, found) = match self {
            Self::InMemory => {
                return f.write_str("Histories and deliveries are kept in memory: they end with the server");
            }
            Self::InEngine(engine) => return write!(f, "{engine}"),
            Self::InDirectory { path, found, .. } => (path, found),
        };
        write!(f, "Histories and deliveries are kept in {}", path.display())?;
        if found.channels + found.devices > 0 {
            let OpenReport { channels, publications, devices, entries, .. } = found;
            write!(
                f,
                ": {} of {}, {} for {}",
                counted(*publications, "publication"),
                counted(*channels, "channel"),
                counted(*entries, "delivery"),
                counted(*devices, "device"),
            )?;
        }
        if !found.is_whole() {
            f.write_str("\nIt was damaged, and whatever could be read was kept:")?;
        }
        for damage in &found.damage {
            write!(f, "\n  {}: {}", damage.file.display(), damage.what)?;
            if let Some(kept) = &damage.kept_as {
                write!(f, " (it lies in {} now)", kept.display())?;
            }
        }
        if found.lost.unknown {
            f.write_str(
                "\n  it is not known what was lost: every device resyncs, every channel begins anew",
            )?;
        } else if found.lost.devices + found.lost.channels > 0 {
            let (devices, channels) = (found.lost.devices, found.lost.channels);
            write!(
                f,
                "\n  whoever may miss something is told: {} and the followers of {}",
                counted(devices, "device"),
                counted(channels, "channel")
            )?;
        }
        Ok(())
    }
}

fn counted(number: usize, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}

/// Keeps the directory out of the repository that it may lie in. It is no harm when that cannot be.
fn ignore(path: &Path) {
    let file = path.join(".gitignore");
    if let Err(error) = std::fs::write(&file, "*\n") {
        tracing::debug!(%error, file = %file.display(), "not written");
    }
}
