//! What every measurement of a bench with servers of its own stands on.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{args::CompareArgs, cores::Cores, error::CompareError};
use crate::target::Options;

/// Where things are kept, who runs where, and for how long is measured.
#[derive(Debug)]
pub(super) struct Ground {
    /// The folder of results, which is there, by its whole path: servers that are told a folder stand in another one
    /// themselves.
    results: PathBuf,
    pub(super) cores: Option<Cores>,
    pub(super) options: Options,
}

impl Ground {
    /// What `arguments` say. Makes the folder of results.
    pub(super) fn new(arguments: &CompareArgs) -> Result<Self, CompareError> {
        let failed = |source| CompareError::File { path: arguments.results.clone(), source };
        fs::create_dir_all(&arguments.results).map_err(failed)?;
        Ok(Self {
            results: arguments.results.canonicalize().map_err(failed)?,
            cores: Cores::of(arguments),
            options: arguments.options(),
        })
    }

    /// A folder on the disk of the results, which goes with what this gives.
    pub(super) fn folder(&self, name: &str) -> Result<TempDir, CompareError> {
        let made = tempfile::Builder::new().prefix(name).tempdir_in(&self.results);
        made.map_err(|source| CompareError::File { path: self.results.clone(), source })
    }
}
