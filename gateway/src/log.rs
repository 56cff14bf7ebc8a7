//! Where logs go: standard error, as text on a terminal and as JSON lines otherwise.
//!
//! In: a filter such as `info` or `warn,tokensocket_server=debug`. Out: nothing; `tracing` knows from now on.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Reads a filter, so that a mistake in it is told before anything starts.
pub(crate) fn parse(filter: &str) -> Result<String, ParseError> {
    EnvFilter::builder().parse(filter).map(|_| filter.to_owned())
}

/// Begins to log what `filter` lets through; a part of it that cannot be understood is left out.
pub(crate) fn start(filter: &str) {
    let terminal = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_writer(io::stderr);
    if terminal {
        log.with_ansi(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())).init();
    } else {
        log.json().init();
    }
}
