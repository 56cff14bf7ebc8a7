//! The Redis of a comparison, which is installed and not built.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    cores::Cores,
    error::CompareError,
    launch::{self, Running},
};

/// The program's name.
const PROGRAM: &str = "redis-server";

/// How often another port is tried when somebody was faster.
const TRIES: usize = 8;

/// What it keeps on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keeping<'a> {
    Nothing,
    /// Everything, below this folder, before it answers.
    Everything(&'a Path),
}

/// A Redis of our own in a folder that goes with it. It listens on a Unix
/// socket, which needs no free port, and on a port where one is asked for.
#[derive(Debug)]
pub(super) struct Redis {
    running: Running,
    folder: TempDir,
}

impl Redis {
    /// Starts one that keeps nothing on the server's core.
    pub(super) fn start(cores: Option<&Cores>) -> Result<Self, CompareError> {
        Self::start_with(&["--port", "0"], Keeping::Nothing, cores)
    }

    /// Starts one that keeps everything below this folder.
    pub(super) fn start_strict(below: &Path, cores: Option<&Cores>) -> Result<Self, CompareError> {
        Self::start_with(&["--port", "0"], Keeping::Everything(below), cores)
    }

    /// Starts one that listens on a port of 127.0.0.1 too, and gives that.
    pub(super) fn start_on_port(
        keeping: Keeping<'_>,
        cores: Option<&Cores>,
    ) -> Result<(Self, u16), CompareError> {
        let mut tries = 0;
        loop {
            // It cannot be asked to choose one, so one that was just free is tried.
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let port =
                free.map_err(|source| CompareError::Program { program: PROGRAM.to_owned(), source })?.port();
            let started =
                Self::start_with(&["--bind", "127.0.0.1", "--port", &port.to_string()], keeping, cores);
            tries += 1;
            match started {
                Err(_) if tries < TRIES => {}
                started => return started.map(|redis| (redis, port)),
            }
        }
    }

    fn start_with(
        listening: &[&str],
        keeping: Keeping<'_>,
        cores: Option<&Cores>,
    ) -> Result<Self, CompareError> {
        let temporary = std::env::temp_dir();
        let (below, kept): (_, &[&str]) = match keeping {
            Keeping::Nothing => (temporary.as_path(), &["no"]),
            Keeping::Everything(below) => (below, &["yes", "--appendfsync", "always"]),
        };
        let folder = tempfile::tempdir_in(below)
            .map_err(|source| CompareError::File { path: below.to_owned(), source })?;
        let mut command = Command::new(PROGRAM);
        command
            .args(["--save", ""])
            .args(listening)
            .arg("--appendonly")
            .args(kept)
            .arg("--dir")
            .arg(folder.path())
            .arg("--unixsocket")
            .arg(socket_in(&folder));
        let ready = |line: &str| line.contains("eady to accept connections").then_some(());
        let (running, ()) = launch::start(PROGRAM, command, cores, ready)?;
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
