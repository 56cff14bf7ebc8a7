//! A NATS with JetStream of a test's own.

use std::fmt::Write;
use std::net::SocketAddr;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Certificate, Settings, TRIES};
use crate::limit::within;
use crate::process::Process;

/// Who gives a password.
const USER: &str = "tests";
/// What a test fills it with.
const FILLER: &str = "filler";
/// Messages of these sizes are kept until one is refused.
const FILLINGS: [usize; 3] = [512 << 10, 16 << 10, 256];
/// How much JetStream may keep when nobody says.
const STORAGE: u64 = 1 << 30;

/// A `nats-server`. It ends when this is dropped.
#[derive(Debug)]
pub struct Nats {
    /// Where it listens.
    pub address: SocketAddr,
    /// What a client has to trust, if it speaks TLS.
    pub certificate: Option<Certificate>,
    process: Process,
    settings: Settings,
    _folder: TempDir,
}

impl Nats {
    /// Starts one with JetStream on a free port.
    pub async fn start() -> Self {
        Self::with(Settings::new()).await
    }

    /// Starts one with these settings.
    pub async fn with(settings: Settings) -> Self {
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let here = settings.place.address(4222);
            let certificate = settings.tls.then(|| Certificate::write(folder.path(), here.ip()));
            let path = folder.path().join("nats.conf");
            let text = configuration(&settings, here, certificate.as_ref(), &folder);
            std::fs::write(&path, text).expect("a file can be written");
            let arguments = vec!["--config".to_owned(), path.to_str().expect("the path is UTF-8").to_owned()];
            let mut process =
                Process::new("nats-server", arguments, folder.path(), "Server is ready", &settings.place);
            if process.start().await {
                return Self { address: here, certificate, process, settings, _folder: folder };
            }
            let log = process.log();
            assert!(log.contains("address already in use"), "nats-server did not start: {log}");
        }
        panic!("nats-server found no free port in {TRIES} tries");
    }

    /// Its URL: `nats://…` or `tls://…`, with user and password.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "tls" } else { "nats" };
        let password = self.settings.password.as_ref().map(|password| format!("{USER}:{password}@"));
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

    /// Has no room for streams any more: refuses to keep. For one without TLS, with little [`Settings::storage`].
    pub async fn fill(&self) {
        let jetstream = self.jetstream().await;
        let config =
            Config { name: FILLER.to_owned(), subjects: vec![FILLER.to_owned()], ..Config::default() };
        let created = within("a stream", jetstream.create_stream(config)).await;
        created.expect("a stream can be made");
        for bytes in FILLINGS {
            while self.takes(&jetstream, bytes).await {}
        }
    }

    /// Has room again.
    pub async fn empty(&self) {
        let jetstream = self.jetstream().await;
        within("a stream to be gone", jetstream.delete_stream(FILLER)).await.expect("it can be deleted");
    }

    async fn takes(&self, jetstream: &Context, bytes: usize) -> bool {
        let message = vec![b' '; bytes].into();
        let acknowledged = within("an answer", async {
            jetstream.publish(FILLER, message).await.expect("it can be sent").await
        });
        acknowledged.await.is_ok()
    }

    async fn jetstream(&self) -> Context {
        let client = within("a connection", async_nats::connect(self.url())).await;
        async_nats::jetstream::new(client.expect("it takes connections"))
    }
}

/// What its file says.
fn configuration(
    settings: &Settings,
    here: SocketAddr,
    certificate: Option<&Certificate>,
    folder: &TempDir,
) -> String {
    let store = folder.path().join("jetstream");
    let storage = settings.storage.unwrap_or(STORAGE);
    let mut text = format!(
        "listen: \"{here}\"\njetstream {{ store_dir: \"{}\", max_memory_store: {storage}, max_file_store: {storage} }}\n",
        store.display(),
    );
    if let Some(certificate) = certificate {
        let (path, key) = (certificate.path.display(), certificate.key.display());
        writeln!(text, "tls {{ cert_file: \"{path}\", key_file: \"{key}\" }}").expect("text grows");
    }
    if let Some(password) = &settings.password {
        writeln!(text, "authorization {{ user: {USER:?}, password: {password:?} }}").expect("text grows");
    }
    for line in &settings.more {
        writeln!(text, "{line}").expect("text grows");
    }
    text
}
