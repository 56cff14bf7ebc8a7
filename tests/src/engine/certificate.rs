//! A certificate for one engine.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A certificate that signs itself, for `localhost` and one address, as files.
#[derive(Debug)]
pub struct Certificate {
    /// What a client has to trust, as PEM.
    pub pem: String,
    /// The same, in a file.
    pub path: PathBuf,
    /// Its private key, in a file.
    pub key: PathBuf,
}

impl Certificate {
    pub(super) fn write(folder: &Path, ip: IpAddr) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), ip.to_string()]);
        let made = made.expect("a certificate can be made");
        let (path, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        let pem = made.cert.pem();
        std::fs::write(&path, &pem).expect("a file can be written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file can be written");
        Self { pem, path, key }
    }
}
