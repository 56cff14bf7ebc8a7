//! What asks this program to end: Ctrl-C, and SIGTERM where there is one.
//!
//! In: nothing. Out: one return of [`Signals::next`] for each signal. From [`Signals::new`] on, signals no
//! longer end the program by themselves.

use std::io;

/// Waits for signals.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen. Needs a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns at the next signal. Loses none when it is dropped before.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Begins to listen. Needs a tokio runtime.
    #[allow(clippy::unnecessary_wraps, reason = "the same shape on every system")]
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns at the next Ctrl-C.
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
