//! A cluster of NATS servers of a test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{Context, ContextBuilder, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::{ConnectOptions, ServerAddr};

use super::{Nats, Settings};
use crate::ports;

/// How many servers there are: each may keep a replica of everything, and two of them decide.
const SERVERS: usize = 3;
/// How long servers may take to choose a leader: they wait up to 9 s before they try, and may have to try again.
const CHOICE: Duration = Duration::from_mins(1);
/// How long one question may take. Nobody answers while there is no leader.
const ANSWER: Duration = Duration::from_millis(500);
/// How long to wait before the same is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Three NATS servers with JetStream, as one cluster. It ends when this is dropped.
#[derive(Debug)]
pub struct NatsCluster {
    /// Its servers.
    pub servers: Vec<Nats>,
}

impl NatsCluster {
    /// Starts one, and waits until each of its servers can keep something on all three.
    pub async fn start() -> Self {
        Self::with(Settings::new()).await
    }

    /// Starts one with these settings, on this machine and without TLS.
    pub async fn with(settings: Settings) -> Self {
        // Where the servers hear each other.
        let routes: [SocketAddr; SERVERS] = std::array::from_fn(|_| ports::lasting(Ipv4Addr::LOCALHOST));
        let all: Vec<_> = routes.iter().map(|route| format!("\"nats-route://{route}\"")).collect();
        let mut servers = Vec::with_capacity(SERVERS);
        for (number, route) in routes.iter().enumerate() {
            let lines = [
                format!("server_name: \"{}\"", name(number)),
                format!("cluster {{ name: tests, listen: \"{route}\", routes: [{}] }}", all.join(", ")),
            ];
            servers.push(Nats::with(settings.clone().more(lines)).await);
        }
        let cluster = Self { servers };
        cluster.is_whole().await;
        cluster
    }

    /// `nats://…` with all servers. Which of them a client takes is chance.
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.servers.iter().map(Nats::url).collect();
        urls.join(",")
    }

    /// Waits until each server, asked by itself, keeps something on all three: there is a leader, and everybody is there.
    pub async fn is_whole(&self) {
        let asking = async {
            for (number, server) in self.servers.iter().enumerate() {
                let jetstream = jetstream(vec![server.url()]).await;
                let config = Config {
                    name: format!("whole-{number}"),
                    subjects: vec![format!("whole.{number}")],
                    storage: StorageType::Memory,
                    num_replicas: SERVERS,
                    ..Config::default()
                };
                while !keeps(&jetstream, &config).await {
                    tokio::time::sleep(AGAIN).await;
                }
                while let Err(error) = jetstream.delete_stream(&config.name).await {
                    let GetStreamErrorKind::JetStream(error) = error.kind() else { continue };
                    // It may have been done by the try before.
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND {
                        break;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        tokio::time::timeout(CHOICE, asking).await.expect("a whole cluster in time");
    }

    /// Which of [`servers`](Self::servers) leads this stream. Waits until one does.
    pub async fn leader(&self, stream: &str) -> usize {
        let asking = async {
            let jetstream = jetstream(self.servers.iter().map(Nats::url).collect()).await;
            loop {
                if let Ok(stream) = jetstream.get_stream(stream).await
                    && let Some(leader) =
                        stream.cached_info().cluster.as_ref().and_then(|it| it.leader.clone())
                    && let Some(number) = (0..SERVERS).find(|number| name(*number) == leader)
                {
                    return number;
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::time::timeout(CHOICE, asking).await.expect("a leader in time")
    }
}

/// Whether a stream can be made, and keeps something.
async fn keeps(jetstream: &Context, config: &Config) -> bool {
    // It may be there from the try before, whose answer came too late.
    let _ = jetstream.create_stream(config).await;
    match jetstream.publish(config.subjects[0].clone(), "".into()).await {
        Ok(kept) => kept.await.is_ok(),
        Err(_) => false,
    }
}

/// What a server is called in its cluster.
fn name(number: usize) -> String {
    format!("server-{number}")
}

async fn jetstream(urls: Vec<String>) -> Context {
    let servers: Vec<ServerAddr> = urls.iter().map(|url| url.parse().expect("a URL of a server")).collect();
    let options = ConnectOptions::new().ignore_discovered_servers().retry_on_initial_connect();
    let client = options.connect(servers).await.expect("tried again until it connects");
    ContextBuilder::new().timeout(ANSWER).build(client)
}
