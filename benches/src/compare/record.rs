//! All that a comparison found, as it is kept on disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{cores::Cores, error::CompareError, facts::Facts};
use crate::{report::Report, workload::Workload};

/// A comparison: the machine and every measurement of every round.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Record {
    /// The machine.
    pub facts: Facts,
    /// The cores that server and load were pinned to, if they were.
    pub cores: Option<Cores>,
    /// Seconds that each measurement counted.
    pub measured_seconds: f64,
    /// What was measured, in the order it was.
    pub measurements: Vec<Measurement>,
}

/// One server under one workload, once.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Measurement {
    /// The round, from 1.
    pub round: usize,
    /// The server's name.
    pub server: String,
    /// The server's name for people.
    pub title: String,
    /// The workload's name.
    pub workload: String,
    /// The workload itself.
    pub load: Workload,
    /// What it found; none when it failed.
    pub report: Option<Report>,
    /// Why it failed.
    pub failure: Option<String>,
}

impl Record {
    /// Writes itself to a new file in `folder`, which is made if need be. Never
    /// replaces a file that is there.
    pub fn keep(&self, folder: &Path) -> Result<PathBuf, CompareError> {
        keep(self, "comparison", self.facts.unix_seconds, folder)
    }

    /// Whether not one measurement succeeded.
    pub(super) fn is_empty(&self) -> bool {
        self.measurements.iter().all(|one| one.report.is_none())
    }

    /// Reads what [`keep`](Self::keep) wrote.
    pub fn read(path: &Path) -> Result<Self, CompareError> {
        read(path)
    }
}

/// Writes `record` to a new file `NAME-SECONDS.json` in `folder`, which is made if need be, and says so. Never replaces
/// a file that is there.
pub(super) fn keep(
    record: &impl Serialize,
    name: &str,
    seconds: u64,
    folder: &Path,
) -> Result<PathBuf, CompareError> {
    let failed = |path: &Path, source| CompareError::File { path: path.to_owned(), source };
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let text = serde_json::to_vec_pretty(record).map_err(|error| failed(folder, io::Error::from(error)))?;
    let mut path = folder.join(format!("{name}-{seconds}.json"));
    for another in 2_u32.. {
        match File::create_new(&path).and_then(|mut file| file.write_all(&text)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = folder.join(format!("{name}-{seconds}-{another}.json"));
            }
            Err(source) => return Err(failed(&path, source)),
            Ok(()) => break,
        }
    }
    eprintln!("kept in {}", path.display());
    Ok(path)
}

/// Reads what [`keep`] wrote.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CompareError> {
    fs::read(path)
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from))
        .map_err(|source| CompareError::File { path: path.to_owned(), source })
}
