//! How an embedded store keeps what it keeps.

use std::path::PathBuf;

use crate::delivery::QueueLimits;

/// When something counts as kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It is on the disk (`fdatasync`): it survives the process and the machine. Callers of the same moment share
    /// one such write.
    #[default]
    Synced,
    /// The operating system has it: it survives the process, but not the machine. Opened after the machine has
    /// stopped, all devices must resync and all channels begin a new epoch, since the last messages may be missing.
    Written,
}

/// Options of an [`EmbeddedStore`](super::EmbeddedStore).
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    pub(super) durability: Durability,
    pub(super) queues: QueueLimits,
    pub(super) max_pending: usize,
    pub(super) max_pending_bytes: usize,
    pub(super) reserve: u64,
    pub(super) write_buffer: u64,
    pub(super) cache: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            queues: QueueLimits::default(),
            max_pending: 65_536,
            max_pending_bytes: 64 << 20,
            reserve: 256 << 20,
            write_buffer: 32 << 20,
            cache: 32 << 20,
        }
    }
}

impl EmbeddedOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// When something counts as kept. Default [`Durability::Synced`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How much the devices' queues hold.
    #[must_use]
    pub fn queues(mut self, limits: QueueLimits) -> Self {
        self.queues = limits;
        self
    }

    /// How many operations may wait to be written; one more is refused as
    /// [`StoreError::Overloaded`](crate::StoreError::Overloaded). Default 65,536.
    #[must_use]
    pub fn max_pending(mut self, operations: usize) -> Self {
        self.max_pending = operations;
        self
    }

    /// How many bytes may wait to be written before the next operation is refused. Default 64 MiB.
    #[must_use]
    pub fn max_pending_bytes(mut self, bytes: usize) -> Self {
        self.max_pending_bytes = bytes;
        self
    }

    /// How many bytes of the disk are left free: with less, what would need more room is refused as
    /// [`StoreError::DiskFull`](crate::StoreError::DiskFull), while acknowledgements and reading go on. The
    /// database needs some for tidying up, which is what makes room again. Default 256 MiB. On Unix only.
    #[must_use]
    pub fn reserve(mut self, bytes: u64) -> Self {
        self.reserve = bytes;
        self
    }

    /// How many bytes are gathered in memory, and in the journal, before they become a table. More make
    /// writing cheaper and opening slower. Default 32 MiB.
    #[must_use]
    pub fn write_buffer(mut self, bytes: u64) -> Self {
        self.write_buffer = bytes.max(64 << 10);
        self
    }

    /// How many bytes of tables are cached in memory. Default 32 MiB.
    #[must_use]
    pub fn cache(mut self, bytes: u64) -> Self {
        self.cache = bytes;
        self
    }
}

/// Why an embedded store could not be opened. What is in the folder is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// Another process has it open.
    #[error("{0} is in use by another process: stop that one, or name another folder")]
    InUse(PathBuf),
    /// The folder cannot be read or written.
    #[error("cannot open the store at {path}: {source}")]
    Io {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It was written by a later version.
    #[error("the store at {0} was written by a later version: use that one")]
    Later(PathBuf),
    /// The database says so.
    #[error("cannot open the store at {path}: {reason}")]
    Database {
        /// Which folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
