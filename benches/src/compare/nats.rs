//! The `nats-server` of a comparison, which is installed and not built.
//!
//! In: a folder for its configuration. Out: the command that starts it. It
//! prints `… ws://127.0.0.1:PORT`.

use std::{fs, path::Path, process::Command};

use super::error::CompareError;

/// The program's name.
const PROGRAM: &str = "nats-server";

/// What to do when it is not there.
pub(super) const INSTALL: &str =
    "nats-server is not installed, so it is left out; Debian has it as the package nats-server";

/// Free ports, WebSocket without TLS, and the log where we read it.
const CONFIGURATION: &str = r#"
listen: "127.0.0.1:-1"
log_file: "/dev/stdout"
websocket { listen: "127.0.0.1:-1", no_tls: true }
"#;

/// Whether it can be run.
pub(super) fn is_installed() -> bool {
    Command::new(PROGRAM).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The command that starts it with a configuration in `folder`, which it has
/// read once it listens.
pub(super) fn command(folder: &Path) -> Result<Command, CompareError> {
    let path = folder.join("nats.conf");
    fs::write(&path, CONFIGURATION).map_err(|source| CompareError::File { path: path.clone(), source })?;
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(path);
    Ok(command)
}

/// When one with JetStream writes to the disk what it has been handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    /// Every two minutes, as it comes. It writes each message before it acknowledges it.
    Seldom,
    /// Before it acknowledges a message: from 2.10 on.
    Always,
}

/// The command that starts one with JetStream, which keeps things in `folder`, one copy.
/// It prints `… client connections on 127.0.0.1:PORT`: see [`address_in`].
pub(super) fn jetstream_command(folder: &Path, sync: Sync) -> Result<Command, CompareError> {
    let path = folder.join("jetstream.conf");
    let strict = if sync == Sync::Always { "\n sync_interval: always" } else { "" };
    let store = folder.join("jetstream");
    let text = format!(
        "listen: \"127.0.0.1:-1\"\nlog_file: \"/dev/stdout\"\njetstream {{ store_dir: \"{}\"{strict}\n}}\n",
        store.display()
    );
    fs::write(&path, text).map_err(|source| CompareError::File { path: path.clone(), source })?;
    let mut command = Command::new(PROGRAM);
    command.arg("--config").arg(path);
    Ok(command)
}

/// The strictest that the one that is installed can be told. Tries a configuration in `folder`.
pub(super) fn strictest(folder: &Path) -> Result<Sync, CompareError> {
    let tried = jetstream_command(folder, Sync::Always)?.arg("-t").output();
    let takes = tried.is_ok_and(|output| output.status.success());
    Ok(if takes { Sync::Always } else { Sync::Seldom })
}

/// The address in the line of a server that listens for clients.
pub(super) fn address_in(line: &str) -> Option<String> {
    let (_, address) = line.split_once("Listening for client connections on ")?;
    Some(address.trim().to_owned())
}
