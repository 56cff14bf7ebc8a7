//! A Redis of a test's own.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use super::server::{Here, Program, Server, text};
use super::{Keep, Settings};
use crate::limit::within;

/// The program.
const PROGRAM: Program = Program {
    name: "redis-server",
    port: 6379,
    ready: "Ready to accept connections",
    taken: "already in use",
};

/// How far the port of a cluster's bus is from its own, where nobody says otherwise.
const BESIDE: u16 = 10_000;
/// What a test fills it with.
const FILLER: &str = "filler";

/// A `redis-server`. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis(Server);

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
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
        let server = Server::start(&PROGRAM, settings, |here| {
            let beside = settings.place.address(here.address.port().wrapping_add(BESIDE)).port();
            let mut arguments = arguments(settings, here);
            arguments.extend(more(here.address, beside));
            arguments
        });
        Self(server.await)
    }

    /// Its URL: `redis://…` or `rediss://…`, with the password.
    pub fn url(&self) -> String {
        self.url_of(if self.certificate.is_some() { "rediss" } else { "redis" }, "")
    }

    /// Has no memory any more: refuses to write (`noeviction`). With [`Settings::storage`] it holds more than that; else its
    /// limit is moved.
    pub async fn fill(&self) {
        self.fill_with(FILLER).await;
    }

    /// Has memory again.
    pub async fn empty(&self) {
        self.empty_of(FILLER).await;
    }

    /// The same with a key that is this server's.
    pub(super) async fn fill_with(&self, key: &str) {
        match self.settings.storage {
            // What is there when it begins counts, not what comes.
            Some(limit) => {
                let last = (limit - 1).to_string();
                assert_eq!(self.command(&["SETRANGE", key, &last, "x"]).await, limit.to_string());
            }
            None => assert_eq!(self.command(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK"),
        }
    }

    pub(super) async fn empty_of(&self, key: &str) {
        match self.settings.storage {
            Some(_) => assert_eq!(self.command(&["DEL", key]).await, "1"),
            None => assert_eq!(self.command(&["CONFIG", "SET", "maxmemory", "0"]).await, "OK"),
        }
    }

    /// What it answers to a command, as `redis-cli` writes it; an error begins with its name, such as `ERR`.
    pub async fn command(&self, words: &[&str]) -> String {
        command(self, words).await
    }
}

/// What a server that speaks the protocol of Redis answers to a command.
pub(super) async fn command(server: &Server, words: &[&str]) -> String {
    let command = server.settings.place.command("redis-cli");
    let mut command = tokio::process::Command::from(command);
    command.args(["-h", &server.address.ip().to_string(), "-p", &server.port().to_string()]);
    if let Some(certificate) = &server.certificate {
        command.arg("--tls").arg("--cacert").arg(&certificate.path);
    }
    if let Some(password) = &server.settings.password {
        command.env("REDISCLI_AUTH", password);
    }
    command.args(words).kill_on_drop(true);
    let output = within("redis-cli", command.output()).await.expect("redis-cli runs");
    assert!(output.status.success(), "redis-cli {words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn arguments(settings: &Settings, here: &Here<'_>) -> Vec<String> {
    let (ip, port) = (here.address.ip().to_string(), here.address.port().to_string());
    let mut all: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| all.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["--bind", &ip, "--dir", &text(here.folder), "--save", "", "--protected-mode", "no"]);
    match here.certificate {
        None => add(&["--port", &port]),
        Some(certificate) => {
            let (file, key) = (text(&certificate.path), text(&certificate.key));
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
