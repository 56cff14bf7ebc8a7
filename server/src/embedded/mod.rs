//! Keeps device queues and histories on the disk of this machine, in a folder.
//!
//! ```text
//! devices ─┐                                                    ┌─ report, mended journals, rebuilt tables
//!          ├─ changes ─▶ writer ─▶ disk ─▶ database (fjall) ─▶ folder
//! broker  ─┘    one thread, one fdatasync for all that waits
//! ```
//!
//! [`EmbeddedStore::open`] gives a store from which a server takes its [`broker`](EmbeddedStore::broker) and its
//! [`devices`](EmbeddedStore::devices). What it answers is on the disk first. What is damaged there is found by
//! checksums when the store is opened, put aside, and reported; the rest is kept, and whoever may miss something is
//! told. A disk that is full or cannot be written makes senders fail, and is tried again by itself.
//!
//! In: operations. Out: that they are kept. Knows no socket and no node.

mod broker;
mod bytes;
mod contents;
mod database;
mod devices;
mod disk;
mod folder;
mod histories;
mod journal;
mod layout;
mod manifest;
mod options;
mod publisher;
mod reader;
mod record;
mod report;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Instant;

pub use broker::EmbeddedBroker;
pub use devices::EmbeddedDeviceStore;
pub use options::{Durability, EmbeddedError, EmbeddedOptions};
pub use report::{Damage, Lost, OpenReport};

use broker::Channels;
use contents::Contents;
use devices::Devices;
use disk::{DatabaseDisk, Disk, Fetch};
use publisher::Publisher;
use reader::Reader;
use record::Write;
use writer::{Restore, Writer};

/// A store in a folder of this machine, which one process has open at a time.
///
/// It is closed when it, its broker and its devices are all dropped; that waits for what is being written.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tokensocket_server::{EmbeddedOptions, EmbeddedStore};
///
/// let (store, report) = EmbeddedStore::open("data", EmbeddedOptions::new())?;
/// if !report.is_whole() {
///     eprintln!("the store was damaged: {:?}", report.damage);
/// }
/// let (broker, devices) = (store.broker(), store.devices());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EmbeddedStore {
    devices: Arc<Devices>,
    channels: Arc<Channels>,
    writer: Arc<Writer>,
}

impl EmbeddedStore {
    /// Opens the store in a folder, which is made if it is not there. Blocks until all of it was read and checked.
    #[allow(clippy::needless_pass_by_value, reason = "options are made for this call")]
    pub fn open(
        path: impl AsRef<Path>,
        options: EmbeddedOptions,
    ) -> Result<(Self, OpenReport), EmbeddedError> {
        let begun = Instant::now();
        let path = path.as_ref();
        let (disk, contents, damage) = DatabaseDisk::open(path, options.clone())?;
        let fetch = disk.records();
        let (store, mut report) =
            Self::build(disk, fetch, contents, &options).map_err(|error| match error {
                BuildError::Io(source) => EmbeddedError::Io { path: path.to_owned(), source },
                BuildError::Store(error) => {
                    EmbeddedError::Database { path: path.to_owned(), reason: error.to_string() }
                }
            })?;
        for damage in &damage {
            tracing::error!(file = %damage.file.display(), what = damage.what, "the store was damaged");
        }
        report.damage = damage;
        if report.lost != Lost::default() {
            tracing::error!(lost = ?report.lost, "the store lost records; whoever may miss something is told");
        }
        report.took = begun.elapsed();
        Ok((store, report))
    }

    fn build(
        mut disk: impl Disk,
        fetch: Arc<dyn Fetch>,
        mut contents: Contents,
        options: &EmbeddedOptions,
    ) -> Result<(Self, OpenReport), BuildError> {
        let writer = Arc::new(Writer::new(options));
        let reader = Reader::start().map_err(BuildError::Io)?;
        let publisher = Publisher::new().map_err(BuildError::Io)?;
        let devices = Devices::new(options.queues.clone(), Arc::clone(&writer), reader, fetch);
        let channels = Channels::new(Arc::clone(&writer), publisher);
        let mut writes: Vec<Write> = devices.restore(&mut contents);
        writes.extend(channels.restore(&mut contents));
        disk.write(&mut writes).and_then(|()| disk.restored()).map_err(BuildError::Store)?;
        let followers: [Weak<dyn Restore>; 2] =
            [Arc::downgrade(&devices) as Weak<dyn Restore>, Arc::downgrade(&channels) as Weak<dyn Restore>];
        writer.start(disk, followers.to_vec()).map_err(BuildError::Io)?;
        let ((known, entries), (with_history, publications)) = (devices.counts(), channels.counts());
        let report = OpenReport {
            devices: known,
            entries,
            channels: with_history,
            publications,
            lost: Lost {
                records: contents.loss.records,
                unknown: contents.loss.unknown,
                devices: contents.concerned.devices,
                channels: contents.concerned.channels,
            },
            ..OpenReport::default()
        };
        Ok((Self { devices, channels, writer }, report))
    }

    /// Its broker, for [`ServerBuilder::broker`](crate::ServerBuilder::broker).
    pub fn broker(&self) -> EmbeddedBroker {
        EmbeddedBroker(Arc::clone(&self.channels))
    }

    /// Its device queues.
    pub fn devices(&self) -> EmbeddedDeviceStore {
        EmbeddedDeviceStore(Arc::clone(&self.devices))
    }

    /// Writes what waits to be written, and refuses what comes after. Blocks until then.
    pub fn close(&self) {
        self.writer.close();
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmbeddedStore")
    }
}

enum BuildError {
    Io(std::io::Error),
    Store(crate::store::StoreError),
}
