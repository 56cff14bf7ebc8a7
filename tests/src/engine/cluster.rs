//! A Redis Cluster of a test's own.

use super::{Redis, Settings};
use crate::limit::within;

/// How many slots a cluster has.
const SLOTS: usize = 16_384;
/// How many nodes share them.
const NODES: usize = 3;
/// What a test fills each of them with: keys of their slots.
pub(super) const FILLERS: [&str; NODES] = ["filler-0", "filler-1", "filler-3"];

/// A Redis Cluster of three nodes without replicas. It ends when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    /// Its nodes. Each has a third of the slots, in this order; those that were added have none.
    pub nodes: Vec<Redis>,
    settings: Settings,
}

impl RedisCluster {
    /// Starts one that keeps nothing, and waits until all its nodes say that it is whole.
    pub async fn start() -> Self {
        Self::with(Settings::new()).await
    }

    /// Starts one with these settings.
    pub async fn with(settings: Settings) -> Self {
        let mut nodes = Vec::with_capacity(NODES);
        for _ in 0..NODES {
            nodes.push(node(&settings).await);
        }
        let cluster = Self { nodes, settings };
        cluster.join().await;
        cluster
    }

    /// Adds a node that has no slots, and waits until all know it.
    pub async fn add(&mut self) {
        self.nodes.push(node(&self.settings).await);
        self.meet(self.nodes.len() - 1).await;
        self.is_whole().await;
    }

    /// `redis+cluster://…` with all nodes.
    pub fn url(&self) -> String {
        let first = self.nodes[0].url();
        let (scheme, rest) = first.split_once("://").expect("a URL has a scheme");
        let secure = if scheme == "rediss" { "rediss" } else { "redis" };
        let credentials = rest.rsplit_once('@').map(|(credentials, _)| format!("{credentials}@"));
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.address.to_string()).collect();
        format!("{secure}+cluster://{}{}", credentials.unwrap_or_default(), nodes.join(","))
    }

    /// Waits until all nodes say that every slot is served.
    pub async fn is_whole(&self) {
        within("a whole cluster", async {
            for node in &self.nodes {
                loop {
                    let info = node.command(&["CLUSTER", "INFO"]).await;
                    let knows = format!("cluster_known_nodes:{}", self.nodes.len());
                    if info.contains("cluster_state:ok") && info.contains(&knows) {
                        break;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
        })
        .await;
    }

    /// None of its nodes has memory any more. For one with [`Settings::storage`].
    pub async fn fill(&self) {
        for (node, key) in self.nodes.iter().zip(FILLERS) {
            node.fill_with(key).await;
        }
    }

    /// They have memory again.
    pub async fn empty(&self) {
        for (node, key) in self.nodes.iter().zip(FILLERS) {
            node.empty_of(key).await;
        }
    }

    /// Gives each node its slots, and makes them known to one another.
    async fn join(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            let (first, last) = (SLOTS * at / NODES, SLOTS * (at + 1) / NODES - 1);
            let range = [first.to_string(), last.to_string()];
            let answer = node.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).await;
            assert_eq!(answer, "OK");
            let epoch = (at + 1).to_string();
            assert_eq!(node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await, "OK");
        }
        for at in 1..self.nodes.len() {
            self.meet(at).await;
        }
        self.is_whole().await;
    }

    /// Makes a node known to the first, and so to all.
    async fn meet(&self, at: usize) {
        let node = &self.nodes[at];
        let (ip, port) = (node.address.ip().to_string(), node.port().to_string());
        let bus = node.command(&["CONFIG", "GET", "cluster-port"]).await;
        let bus = bus.lines().last().expect("a port").to_owned();
        let answer = self.nodes[0].command(&["CLUSTER", "MEET", &ip, &port, &bus]).await;
        assert_eq!(answer, "OK");
    }
}

async fn node(settings: &Settings) -> Redis {
    Redis::try_with(settings, |address, beside| {
        let ip = address.ip().to_string();
        let words = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let mut all: Vec<String> = words.map(str::to_owned).into();
        all.extend(["--cluster-port".to_owned(), beside.to_string()]);
        all.extend(["--cluster-announce-ip".to_owned(), ip]);
        all
    })
    .await
}
