//! Why a comparison could not be made.

use std::{io, path::PathBuf};

use crate::error::BenchError;

/// Why a comparison could not be made. One server that fails under load is no
/// such reason: its failure is part of the record.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// No server or workload has that name.
    #[error("there is no {kind} called `{name}`; there are: {known}")]
    Unknown {
        /// What was named.
        kind: &'static str,
        /// How.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nothing is left to measure.
    #[error("nothing is left to measure; name a server and a workload, and at least one round")]
    Nothing,
    /// A program could not be run.
    #[error("`{program}` could not be run: {source}; is it installed?")]
    Program {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program that builds a server failed.
    #[error("`{command}` failed; its output above says why")]
    Build {
        /// The command.
        command: String,
    },
    /// A server did not come up.
    #[error("{name} did not start: {reason}")]
    Start {
        /// The server.
        name: String,
        /// Why.
        reason: String,
    },
    /// A server did not get through its load.
    #[error("{name}: {source}")]
    Load {
        /// The server.
        name: String,
        /// What went wrong.
        source: BenchError,
    },
    /// A core cannot be pinned to.
    #[error("core {core} cannot be pinned to: {reason}; choose others or run with --unpinned")]
    Core {
        /// The core.
        core: usize,
        /// Why.
        reason: String,
    },
    /// No server got through any workload.
    #[error("every measurement failed; {} says why", path.display())]
    AllFailed {
        /// The record.
        path: PathBuf,
    },
    /// A record could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl CompareError {
    pub(super) fn unknown<'a>(
        kind: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        Self::Unknown { kind, name: name.to_owned(), known }
    }
}
