//! Where the writer puts what it is given: a trait, so that tests can put something worse than a disk there.
//!
//! In: writes. Out: that they are kept, or why not. Knows neither queues nor channels.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use tokensocket_protocol::RawJson;

use super::contents::Contents;
use super::database::{self, Database, Failure, Keyspaces};
use super::folder::{Folder, Opened};
use super::options::{Durability, EmbeddedError, EmbeddedOptions};
use super::record::{self, Write};
use super::report::Damage;
use crate::store::StoreError;

/// Keeps writes. Used by the writer's thread alone; everything may block.
pub(super) trait Disk: Send + 'static {
    /// Keeps all of these, durable when it returns. After an error nothing is known of them, and the next call must
    /// be [`Disk::reopen`].
    fn write(&mut self, writes: &mut [Write]) -> Result<(), StoreError>;

    /// Begins anew, with what is kept.
    fn reopen(&mut self) -> Result<(Contents, Vec<Damage>), StoreError>;

    /// Everybody has what is kept, and what was put right is written.
    fn restored(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether there is room for more.
    fn has_room(&self) -> bool;
}

/// Reads the arguments of messages, from any thread. May block.
pub(super) trait Fetch: Send + Sync + 'static {
    /// The arguments in the record at this key; `None` when they are not there, or cannot be read.
    fn args(&self, key: &[u8]) -> Result<Option<RawJson>, StoreError>;
}

/// The database in its folder.
pub(super) struct DatabaseDisk {
    folder: Folder,
    options: EmbeddedOptions,
    database: Option<Database>,
    records: Arc<Records>,
    /// Whoever must be told of damage is.
    is_restored: bool,
}

/// The database as readers see it; nothing while it is being opened.
#[derive(Default)]
pub(super) struct Records(RwLock<Option<Keyspaces>>);

impl Fetch for Records {
    fn args(&self, key: &[u8]) -> Result<Option<RawJson>, StoreError> {
        let records = self.0.read();
        let Some(records) = &*records else {
            return Err(StoreError::Unavailable("the database is being opened".to_owned()));
        };
        match records.get(key) {
            Ok(value) => Ok(value.and_then(|value| record::read_args(&value))),
            Err(Failure::Io(error)) => Err(database::store_error(&error)),
            Err(Failure::Damaged(_) | Failure::Poisoned) => Ok(None),
        }
    }
}

impl DatabaseDisk {
    pub(super) fn open(
        path: &Path,
        options: EmbeddedOptions,
    ) -> Result<(Self, Contents, Vec<Damage>), EmbeddedError> {
        let folder = Folder::take(path)?;
        let Opened { database, contents, damage } = folder.open(&options)?;
        let records = Arc::new(Records(RwLock::new(Some(database.keyspaces()))));
        Ok((
            Self { folder, options, database: Some(database), records, is_restored: false },
            contents,
            damage,
        ))
    }

    pub(super) fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records)
    }

    /// Whether the disk takes anything at all: a full one is found out without opening the database.
    fn probe(&self) -> Result<(), StoreError> {
        const PROBE: usize = 256 << 10;
        let path = self.folder.path().join("probe");
        let tried = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![1; PROBE])?;
            file.sync_all()
        });
        // It may never have been made.
        let _ = fs::remove_file(&path);
        tried.map_err(|error| database::store_error(&error))
    }

    fn explain(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Io(error) => database::store_error(&error),
            Failure::Damaged(reason) => StoreError::Unavailable(reason),
            Failure::Poisoned => match self.probe() {
                Err(error) => error,
                Ok(()) => StoreError::Unavailable("the database has to be opened again".to_owned()),
            },
        }
    }
}

impl Disk for DatabaseDisk {
    fn write(&mut self, writes: &mut [Write]) -> Result<(), StoreError> {
        let Some(database) = &mut self.database else { return Err(StoreError::Closed) };
        database.write(writes).map_err(|failure| self.explain(failure))
    }

    fn reopen(&mut self) -> Result<(Contents, Vec<Damage>), StoreError> {
        self.probe()?;
        self.is_restored = false;
        // The engine goes when nobody has any of it.
        *self.records.0.write() = None;
        self.database = None;
        let Opened { database, contents, damage } =
            self.folder.open(&self.options).map_err(|error| match error {
                EmbeddedError::Io { source, .. } => database::store_error(&source),
                other => StoreError::Unavailable(other.to_string()),
            })?;
        *self.records.0.write() = Some(database.keyspaces());
        self.database = Some(database);
        Ok((contents, damage))
    }

    fn restored(&mut self) -> Result<(), StoreError> {
        let Some(database) = &self.database else { return Err(StoreError::Closed) };
        let marked = match self.options.durability {
            Durability::Synced => self.folder.end_unsynced(),
            Durability::Written => {
                // Whoever has to be told must not be forgotten by the next stop of the machine.
                database.sync().map_err(|failure| self.explain(failure))?;
                self.folder.begin_unsynced()
            }
        };
        marked.map_err(|error| database::store_error(&error))?;
        self.is_restored = true;
        Ok(())
    }

    fn has_room(&self) -> bool {
        free(self.folder.path()).is_none_or(|free| free > self.options.reserve)
    }
}

impl Drop for DatabaseDisk {
    fn drop(&mut self) {
        *self.records.0.write() = None;
        let is_behind = self.is_restored && self.options.durability == Durability::Written;
        if is_behind && self.database.as_ref().is_some_and(|database| database.sync().is_ok()) {
            // Left behind, it makes the store careful without need.
            let _ = self.folder.end_unsynced();
        }
    }
}

/// How many bytes of the disk may still be taken, where the system tells.
#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}
