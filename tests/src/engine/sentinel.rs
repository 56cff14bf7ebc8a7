//! A Redis with a replica, and Sentinels that watch both.

use std::net::SocketAddr;
use std::time::Duration;

use super::redis::command;
use super::server::{Program, Server, text};
use super::{Redis, Settings};
use crate::limit::within;

/// What the Sentinels call it.
const SERVICE: &str = "main";
/// How many Sentinels there are; two of them decide.
const SENTINELS: usize = 3;
/// The program.
const PROGRAM: Program =
    Program { name: "redis-server", port: 26379, ready: "+monitor master", taken: "already in use" };

/// A primary with one replica, watched by three Sentinels. All end when this is dropped.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The two servers. The first is the primary in the beginning.
    pub servers: Vec<Redis>,
    sentinels: Vec<Sentinel>,
    /// Of the two servers.
    password: Option<String>,
}

#[derive(Debug)]
struct Sentinel(Server);

/// What the Sentinels ask for, where the servers ask for another.
pub const SENTINEL_PASSWORD: &str = "watchers";

impl RedisSentinel {
    /// Starts all of it, and waits until every Sentinel knows the others and the replica.
    pub async fn start() -> Self {
        Self::with(Settings::new()).await
    }

    /// Starts it with these settings for the two servers. Where these ask for a password, the Sentinels do, too: for
    /// [`SENTINEL_PASSWORD`]. Without TLS.
    pub async fn with(settings: Settings) -> Self {
        assert!(!settings.tls, "the Sentinels here do not speak it");
        let primary = Redis::with(settings.clone()).await;
        let of = [primary.address.ip().to_string(), primary.port().to_string()];
        let replica = Redis::try_with(&settings, |_, _| {
            ["--replicaof", &of[0], &of[1], "--repl-diskless-sync-delay", "0"].map(str::to_owned).into()
        });
        let servers = vec![replica.await];
        let mut all = Self { servers, sentinels: Vec::new(), password: settings.password.clone() };
        all.servers.insert(0, primary);
        for _ in 0..SENTINELS {
            all.sentinels.push(Sentinel::start(&settings, all.servers[0].address).await);
        }
        all.is_whole().await;
        all
    }

    /// `redis+sentinel://…` with all Sentinels, the service, and the servers' password.
    pub fn url(&self) -> String {
        let all: Vec<_> = self.sentinels.iter().map(|sentinel| sentinel.0.address.to_string()).collect();
        let password = self.password.as_ref().map(|password| format!(":{password}@"));
        format!("redis+sentinel://{}{}/{SERVICE}", password.unwrap_or_default(), all.join(","))
    }

    /// Which of [`servers`](Self::servers) the first Sentinel calls the primary.
    pub async fn primary(&self) -> usize {
        let answer = self.sentinels[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).await;
        let address = answer.split_whitespace().collect::<Vec<_>>().join(":");
        let at = self.servers.iter().position(|server| server.address.to_string() == address);
        at.unwrap_or_else(|| panic!("no server is at {address}"))
    }

    /// Kills the primary, and waits until the other server has taken its place. Gives which one was killed.
    pub async fn kill_primary(&mut self) -> usize {
        let killed = self.primary().await;
        self.servers[killed].kill();
        let waiting = tokio::time::timeout(Duration::from_secs(30), async {
            while self.primary().await == killed {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        waiting.await.expect("the replica takes over in time");
        killed
    }

    async fn is_whole(&self) {
        within("Sentinels that know each other", async {
            for sentinel in &self.sentinels {
                loop {
                    let answer = sentinel.command(&["SENTINEL", "MASTER", SERVICE]).await;
                    let fields: Vec<_> = answer.lines().collect();
                    let field = |name: &str| {
                        fields.chunks(2).find(|pair| pair[0] == name).and_then(|pair| pair.get(1).copied())
                    };
                    let others = (SENTINELS - 1).to_string();
                    if field("num-slaves") == Some("1")
                        && field("num-other-sentinels") == Some(&others)
                        && field("flags") == Some("master")
                    {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            // A replica that is not up to date yet is not chosen.
            while !self.servers[1].command(&["INFO", "replication"]).await.contains("master_link_status:up") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

impl Sentinel {
    async fn start(servers: &Settings, primary: SocketAddr) -> Self {
        let mut settings = Settings::new().place(servers.place.clone());
        if servers.password.is_some() {
            settings = settings.password(SENTINEL_PASSWORD);
        }
        let server = Server::start(&PROGRAM, &settings, |here| {
            let path = here.folder.join("sentinel.conf");
            let mut configuration = format!(
                "bind {}\nport {}\ndir {}\nprotected-mode no\nsentinel monitor {SERVICE} {} {} 2\n\
                 sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 6000\n",
                here.address.ip(),
                here.address.port(),
                here.folder.display(),
                primary.ip(),
                primary.port(),
            );
            if let Some(password) = &servers.password {
                let more =
                    format!("requirepass {SENTINEL_PASSWORD}\nsentinel auth-pass {SERVICE} {password}\n");
                configuration.push_str(&more);
            }
            std::fs::write(&path, configuration).expect("a file can be written");
            vec![text(&path), "--sentinel".to_owned()]
        });
        Self(server.await)
    }

    async fn command(&self, words: &[&str]) -> String {
        command(&self.0, words).await
    }
}
