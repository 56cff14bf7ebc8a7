//! A Redis of a test's own.

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Certificate, Keep, Settings, TRIES};
use crate::limit::within;
use crate::process::Process;

/// A `redis-server`. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens.
    pub address: SocketAddr,
    /// What a client has to trust, if it speaks TLS.
    pub certificate: Option<Certificate>,
    process: Process,
    settings: Settings,
    _folder: TempDir,
}

impl Redis {
    /// Starts one that keeps nothing, on a free port.
    pub async fn start() -> Self {
        Self::with(Settings::new()).await
    }

    /// Starts one with these settings.
    pub async fn with(settings: Settings) -> Self {
        Self::try_with(&settings, |_, _| Vec::new()).await
    }

    /// Starts one with more arguments, which may depend on its address and on a second port that is free.
    pub(super) async fn try_with(settings: &Settings, more: impl Fn(SocketAddr, u16) -> Vec<String>) -> Self {
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let here = settings.place.address(6379);
            let beside = settings.place.address(16379).port();
            let certificate = settings.tls.then(|| Certificate::write(folder.path(), here.ip()));
            let mut arguments = arguments(settings, here, certificate.as_ref(), &folder);
            arguments.extend(more(here, beside));
            let mut process = Process::new(
                "redis-server",
                arguments,
                folder.path(),
                "Ready to accept connections",
                &settings.place,
            );
            if process.start().await {
                let settings = settings.clone();
                return Self { address: here, certificate, process, settings, _folder: folder };
            }
            let log = process.log();
            assert!(log.contains("already in use"), "redis-server did not start: {log}");
        }
        panic!("redis-server found no free port in {TRIES} tries");
    }

    /// Its URL: `redis://…` or `rediss://…`, with the password.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "rediss" } else { "redis" };
        let password = self.settings.password.as_ref().map(|password| format!(":{password}@"));
        format!("{scheme}://{}{}", password.unwrap_or_default(), self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its process.
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

    /// Stops it in its tracks. Its connections stay.
    pub fn pause(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Has no memory any more: refuses to write (`noeviction`).
    pub async fn fill(&self) {
        assert_eq!(self.command(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK");
    }

    /// Has memory again.
    pub async fn empty(&self) {
        let limit = self.settings.storage.unwrap_or(0).to_string();
        assert_eq!(self.command(&["CONFIG", "SET", "maxmemory", &limit]).await, "OK");
    }

    /// What it answers to a command, as `redis-cli` writes it; an error begins with its name, such as `ERR`.
    pub async fn command(&self, words: &[&str]) -> String {
        let command = self.settings.place.command("redis-cli");
        let mut command = tokio::process::Command::from(command);
        command.args(["-h", &self.address.ip().to_string(), "-p", &self.port().to_string()]);
        if let Some(certificate) = &self.certificate {
            command.arg("--tls").arg("--cacert").arg(&certificate.path);
        }
        if let Some(password) = &self.settings.password {
            command.env("REDISCLI_AUTH", password);
        }
        command.args(words).kill_on_drop(true);
        let output = within("redis-cli", command.output()).await.expect("redis-cli runs");
        assert!(output.status.success(), "redis-cli {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

fn arguments(
    settings: &Settings,
    here: SocketAddr,
    certificate: Option<&Certificate>,
    folder: &TempDir,
) -> Vec<String> {
    let path = |path: &std::path::Path| path.to_str().expect("the path is UTF-8").to_owned();
    let (ip, port) = (here.ip().to_string(), here.port().to_string());
    let mut all: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| all.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["--bind", &ip, "--dir", &path(folder.path()), "--save", "", "--protected-mode", "no"]);
    match certificate {
        None => add(&["--port", &port]),
        Some(certificate) => {
            let (file, key) = (path(&certificate.path), path(&certificate.key));
            add(&["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            add(&["--tls-cert-file", &file, "--tls-key-file", &key, "--tls-ca-cert-file", &file]);
            add(&["--tls-replication", "yes", "--tls-cluster", "yes"]);
        }
    }
    match settings.keep {
        Keep::Nothing => add(&["--appendonly", "no"]),
        Keep::EachSecond => add(&["--appendonly", "yes", "--appendfsync", "everysec"]),
        Keep::Always => add(&["--appendonly", "yes", "--appendfsync", "always"]),
    }
    if let Some(password) = &settings.password {
        add(&["--requirepass", password, "--masterauth", password]);
    }
    if let Some(bytes) = settings.storage {
        add(&["--maxmemory", &bytes.to_string()]);
    }
    all.extend(settings.more.iter().cloned());
    all
}
