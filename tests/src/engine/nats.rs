//! A NATS with JetStream of a test's own.

use std::fmt::Write;
use std::ops::{Deref, DerefMut};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;

use super::Settings;
use super::server::{Here, Program, Server, text};
use crate::limit::within;

/// Who gives a password.
const USER: &str = "tests";
/// What a test fills it with.
const FILLER: &str = "filler";
/// Messages of these sizes are kept until one is refused.
const FILLINGS: [usize; 3] = [512 << 10, 16 << 10, 256];
/// How much JetStream may keep when nobody says.
const STORAGE: u64 = 1 << 30;

/// The program.
const PROGRAM: Program =
    Program { name: "nats-server", port: 4222, ready: "Server is ready", taken: "address already in use" };

/// A `nats-server`. It ends when this is dropped.
#[derive(Debug)]
pub struct Nats(Server);

impl Deref for Nats {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for Nats {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}

impl Nats {
    /// Starts one with JetStream on a free port.
    pub async fn start() -> Self {
        Self::with(Settings::new()).await
    }

    /// Starts one with these settings.
    pub async fn with(settings: Settings) -> Self {
        let server = Server::start(&PROGRAM, &settings, |here| {
            let path = here.folder.join("nats.conf");
            std::fs::write(&path, configuration(&settings, here)).expect("a file can be written");
            vec!["--config".to_owned(), text(&path)]
        });
        Self(server.await)
    }

    /// Its URL: `nats://…` or `tls://…`, with user and password.
    pub fn url(&self) -> String {
        self.url_of(if self.certificate.is_some() { "tls" } else { "nats" }, USER)
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
fn configuration(settings: &Settings, here: &Here<'_>) -> String {
    let store = here.folder.join("jetstream");
    let storage = settings.storage.unwrap_or(STORAGE);
    let mut lines = format!(
        "listen: \"{}\"\njetstream {{ store_dir: \"{}\", max_memory_store: {storage}, max_file_store: {storage} }}\n",
        here.address,
        store.display(),
    );
    if let Some(certificate) = here.certificate {
        let (path, key) = (certificate.path.display(), certificate.key.display());
        let verify = settings.clients.as_ref();
        let verify = verify.map(|known| format!(", verify: true, ca_file: \"{}\"", known.display()));
        let verify = verify.unwrap_or_default();
        writeln!(lines, "tls {{ cert_file: \"{path}\", key_file: \"{key}\"{verify} }}").expect("text grows");
    }
    if let Some(password) = &settings.password {
        writeln!(lines, "authorization {{ user: {USER:?}, password: {password:?} }}").expect("text grows");
    }
    for line in &settings.more {
        writeln!(lines, "{line}").expect("text grows");
    }
    lines
}
