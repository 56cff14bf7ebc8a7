//! The certificate of servers that speak TLS.
//!
//! Made anew for each comparison, for `localhost`, and signed by itself: the
//! load generator verifies none.

use std::{fs, io, path::PathBuf};

use tempfile::TempDir;

use super::error::CompareError;

/// A certificate (ECDSA P-256) and its key as PEM files, in a folder that goes
/// with it.
#[derive(Debug)]
pub(super) struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub(super) fn make() -> Result<Self, CompareError> {
        let failed = |path: PathBuf| move |source| CompareError::File { path, source };
        let folder = tempfile::tempdir().map_err(failed(std::env::temp_dir()))?;
        let made = Self { folder };
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .map_err(io::Error::other)
            .map_err(failed(made.certificate()))?;
        fs::write(made.certificate(), certified.cert.pem()).map_err(failed(made.certificate()))?;
        fs::write(made.key(), certified.signing_key.serialize_pem()).map_err(failed(made.key()))?;
        Ok(made)
    }

    /// The certificate's file.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The key's file.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
