//! What all engines are: a process with an address and a folder of its own.
//!
//! In: a program, settings, and the arguments that it needs. Out: one that serves, and what can happen to it. Knows
//! nothing of what it is asked.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use super::{Certificate, Settings};
use crate::process::Process;

/// How often other ports are tried when somebody was faster.
const TRIES: u16 = 8;

/// A program that serves.
pub(super) struct Program {
    pub(super) name: &'static str,
    /// The port that it usually has.
    pub(super) port: u16,
    /// What it logs when it serves.
    pub(super) ready: &'static str,
    /// What it logs when its port is another's.
    pub(super) taken: &'static str,
}

/// What one may be configured with.
pub(super) struct Here<'a> {
    pub(super) address: SocketAddr,
    pub(super) certificate: Option<&'a Certificate>,
    pub(super) folder: &'a Path,
}

/// An engine's process. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What a client has to trust, if it speaks TLS.
    pub certificate: Option<Certificate>,
    pub(super) settings: Settings,
    process: Process,
    _folder: TempDir,
}

impl Server {
    /// Starts one on a free port, in an empty folder.
    pub(super) async fn start(
        program: &Program,
        settings: &Settings,
        arguments: impl Fn(&Here<'_>) -> Vec<String>,
    ) -> Self {
        for further in 0..TRIES {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let address = settings.place.address(program.port + further);
            let certificate = settings.tls.then(|| Certificate::write(folder.path(), address.ip()));
            let here = Here { address, certificate: certificate.as_ref(), folder: folder.path() };
            let arguments = arguments(&here);
            let mut process =
                Process::new(program.name, arguments, folder.path(), program.ready, &settings.place);
            if process.start().await {
                let settings = settings.clone();
                return Self { address, certificate, settings, process, _folder: folder };
            }
            let log = process.log();
            assert!(log.contains(program.taken), "{} did not start: {log}", program.name);
        }
        panic!("{} found no free port in {TRIES} tries", program.name);
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it logged since it was started.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&mut self) {
        self.process.stop().await;
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it where it was, with what it has kept.
    pub async fn start_again(&mut self) {
        self.process.start_again().await;
    }

    /// Stops it in its tracks: when this returns it does nothing any more. Its connections stay.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        self.process.unpause();
    }

    /// `scheme://who@address`.
    pub(super) fn url_of(&self, scheme: &str, who: &str) -> String {
        let password = self.settings.password.as_ref().map(|password| format!("{who}:{password}@"));
        format!("{scheme}://{}{}", password.unwrap_or_default(), self.address)
    }
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> String {
    path.to_str().expect("the path is UTF-8").to_owned()
}
