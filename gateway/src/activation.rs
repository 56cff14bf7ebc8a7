//! What passes between this program and a service manager that started it: the listener that it holds for us, and
//! word of how we are.
//!
//! In: the environment (`LISTEN_FDS`, `NOTIFY_SOCKET`), as systemd and others set it. Out: a listener that has been
//! there since before this process, and that outlives it. So nobody is refused while one process follows another:
//! who connects meanwhile waits. Without a service manager nothing happens here.

use std::io;
use std::net::TcpListener;

/// What the service manager holds cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActivationError {
    /// It is no TCP socket that listens.
    #[error(
        "what the service manager passes on is no TCP listener: {0}\nIts socket unit needs ListenStream=ADDRESS:PORT"
    )]
    NotTcp(io::Error),
    /// There are several.
    #[error("the service manager passes on {0} sockets, and only one can be served")]
    Several(usize),
}

/// The listener that was passed on to this process, if one was. Takes it out of the environment: ask once, before
/// there are threads.
#[cfg(unix)]
pub(crate) fn listener() -> Result<Option<TcpListener>, ActivationError> {
    let mut passed_on = listenfd::ListenFd::from_env();
    match passed_on.len() {
        0 => Ok(None),
        1 => {
            let listener = passed_on.take_tcp_listener(0).map_err(ActivationError::NotTcp)?;
            if let Some(listener) = &listener {
                listener.set_nonblocking(true).map_err(ActivationError::NotTcp)?;
            }
            Ok(listener)
        }
        several => Err(ActivationError::Several(several)),
    }
}

/// The listener that was passed on to this process, if one was.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "the same shape on every system")]
pub(crate) fn listener() -> Result<Option<TcpListener>, ActivationError> {
    Ok(None)
}

/// Says that whoever connects is served.
pub(crate) fn ready() {
    notify(true);
}

/// Says that the end has begun.
pub(crate) fn stopping() {
    notify(false);
}

#[cfg(unix)]
fn notify(is_ready: bool) {
    use sd_notify::NotifyState;
    let state = if is_ready { NotifyState::Ready } else { NotifyState::Stopping };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told how this program is");
    }
}

#[cfg(not(unix))]
fn notify(_is_ready: bool) {}
