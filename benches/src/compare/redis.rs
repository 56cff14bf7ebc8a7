//! The Redis that the original server needs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    cores::Cores,
    error::CompareError,
    launch::{self, Running},
};

/// A Redis of our own, without persistence, in a folder that goes with it. It
/// listens on a Unix socket only, so it needs no free port.
#[derive(Debug)]
pub(super) struct Redis {
    running: Running,
    folder: TempDir,
}

impl Redis {
    /// Starts it on the server's core.
    pub(super) fn start(cores: Option<&Cores>) -> Result<Self, CompareError> {
        Self::start_in(&std::env::temp_dir(), &["--appendonly", "no"], cores)
    }

    /// Starts one that answers when it is on the disk, below this folder.
    pub(super) fn start_strict(cores: Option<&Cores>, below: &Path) -> Result<Self, CompareError> {
        Self::start_in(below, &["--appendonly", "yes", "--appendfsync", "always"], cores)
    }

    fn start_in(below: &Path, keeping: &[&str], cores: Option<&Cores>) -> Result<Self, CompareError> {
        let folder = tempfile::tempdir_in(below)
            .map_err(|source| CompareError::File { path: below.to_owned(), source })?;
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", ""])
            .args(keeping)
            .arg("--dir")
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(socket_in(&folder));
        let ready = |line: &str| line.contains("eady to accept connections").then_some(());
        let (running, ()) = launch::start("redis-server", command, cores, ready)?;
        Ok(Self { running, folder })
    }

    /// The Unix socket it listens on.
    pub(super) fn socket(&self) -> PathBuf {
        socket_in(&self.folder)
    }

    pub(super) fn pid(&self) -> u32 {
        self.running.pid()
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("redis.sock")
}
