//! Several nodes of one engine, each a process that a test may kill and start again.
//!
//! ```text
//! Network ─▶ Engine ─▶ nodes (src/bin/node.rs) ─▶ Load: publishes and delivers, notes what was acknowledged ─▶ Ledger
//!                                              ─▶ Audience: followers and devices, note what they were given ──▲
//! ```
//!
//! In: which engine, how many nodes. Out: their addresses, and what can happen to them. Each ends when it is dropped.

mod audience;
mod load;
mod network;

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::engine::{Engine, Kind, Settings};
use crate::process::Process;

pub use audience::{Audience, CHANNELS, CROWD, EVENT, Traveller, USERS, history};

pub use load::Load;
pub use network::Network;

/// What a node is called in its log when it serves.
const READY: &str = "listening on ";
/// Where a node listens in a namespace.
const PORT: u16 = 7000;

/// What a node is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its engine's URL.
    pub engine: String,
    /// How many sockets it closes in a second when it is asked to end; `None`: all at once.
    pub drain: Option<u32>,
}

/// What is delivered by a node's action `deliver`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// To whom.
    pub user: String,
    /// What.
    pub said: crate::ledger::Said,
    /// It may be asked for again.
    pub key: Option<String>,
}

/// Nodes and their engine.
#[derive(Debug)]
pub struct Nodes {
    /// What all share.
    pub engine: Engine,
    running: Vec<Node>,
    // Dropped behind what runs in it.
    network: Network,
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Nodes {
    /// Starts an engine and `count` nodes of `program`, which is `env!("CARGO_BIN_EXE_node")`, each on a machine of its
    /// own where that is possible.
    pub async fn apart(program: &str, kind: Kind, settings: Settings, count: usize) -> Self {
        Self::start(program, kind, settings, Network::new(count), count, None).await
    }

    /// Starts them on this machine. Each closes `drain` sockets in a second when it is stopped.
    pub async fn together(program: &str, kind: Kind, settings: Settings, count: usize, drain: u32) -> Self {
        Self::start(program, kind, settings, Network::Cables(Vec::new()), count, Some(drain)).await
    }

    async fn start(
        program: &str,
        kind: Kind,
        settings: Settings,
        mut network: Network,
        count: usize,
        drain: Option<u32>,
    ) -> Self {
        let engine = Engine::start(kind, settings.place(network.of_engine())).await;
        let mut running = Vec::with_capacity(count);
        for at in 0..count {
            let way = network.way_to(engine.address()).await;
            let url = engine.url().replace(&engine.address().to_string(), &way.to_string());
            let place = network.of_node(at);
            let orders = Orders { address: place.address(PORT), engine: url, drain };
            let folder = tempfile::tempdir().expect("a temporary folder");
            let argument = serde_json::to_string(&orders).expect("orders are JSON");
            let mut process = Process::new(program, vec![argument], folder.path(), READY, &place);
            process.start_again().await;
            running.push(Node { address: orders.address, process, _folder: folder });
        }
        Self { engine, running, network }
    }

    /// What lies between them.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.running.iter().map(|node| node.address).collect()
    }

    /// Ends a node as `kill -9` does.
    pub fn kill(&mut self, node: usize) {
        self.running[node].process.kill();
    }

    /// Asks a node to end, and waits until it has.
    pub async fn stop(&mut self, node: usize) {
        let process = &mut self.running[node].process;
        process.signal(Signal::SIGTERM);
        while !process.has_ended() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        process.kill();
    }

    /// Starts a node where it was.
    pub async fn start_again(&mut self, node: usize) {
        self.running[node].process.start_again().await;
    }

    /// What a node logged since it was started.
    pub fn log(&self, node: usize) -> String {
        self.running[node].process.log()
    }

    /// Prints what all nodes logged: for a test that fails.
    pub fn print_logs(&self) {
        for node in 0..self.running.len() {
            println!("--- node {node}\n{}", self.log(node));
        }
    }
}
