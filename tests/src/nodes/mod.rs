//! Several nodes of one engine, each a process that a test may kill and start again: a server of this workspace
//! (`src/bin/node.rs`), or the program `tokensocket serve`.
//!
//! ```text
//! Network ─▶ Engine ─▶ nodes ─▶ Load: publishes and delivers, notes what was acknowledged ─▶ Ledger
//!                                              ─▶ Audience: followers and devices, note what they were given ──▲
//! ```
//!
//! In: which engine, how many nodes. Out: their addresses, and what can happen to them. Each ends when it is dropped.

mod audience;
mod load;
mod network;
mod room;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::engine::{Engine, Kind, Settings};
use crate::gateway::VARIABLES;
use crate::process::{Place, Process};
use crate::program::gateway_program;

pub use audience::{Audience, CHANNELS, CROWD, EVENT, Kept, Traveller, USERS, history};

pub use load::Load;
pub use network::Network;
pub use room::{ROOM, Room};

/// What a node is called in its log when it serves.
const READY: &str = "listening on ";
/// A gateway's.
const CONFIGURATION: &str = "tokensocket.yml";
const API_KEY: &str = "54321";
/// Where a node listens in a namespace.
const PORT: u16 = 7000;

/// How long a node may take to end well: as long as it takes to close its sockets at its rate.
const PATIENCE: Duration = Duration::from_mins(5);
/// The lease of nodes that may be killed. The others find out within 10 s more.
const LEASE: Duration = Duration::from_secs(5);

/// What a node is, and how it is told to publish and to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A server of this workspace, told by a client's wire.
    Wire,
    /// The program, with one site that is open, told by HTTP.
    Http,
}

/// What a node is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its engine's URL.
    pub engine: String,
    /// How many sockets it closes in a second when it is asked to end; `None`: all at once.
    pub drain: Option<u32>,
    /// After how long without a word it counts as dead; `None`: as by default.
    pub lease: Option<Duration>,
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
        Self::between(Network::new(count), program, kind, settings, count).await
    }

    /// The same with another network between them.
    pub async fn between(
        network: Network,
        program: &str,
        kind: Kind,
        settings: Settings,
        count: usize,
    ) -> Self {
        let node = |orders: Orders, folder: &Path, place: &Place| {
            let orders = Orders { lease: Some(LEASE), ..orders };
            library(program, &orders, folder, place)
        };
        Self::start(node, kind, settings, network, count).await
    }

    /// Starts them on this machine. Each closes `drain` sockets in a second when it is stopped.
    pub async fn together(program: &str, kind: Kind, settings: Settings, count: usize, drain: u32) -> Self {
        let node = |orders: Orders, folder: &Path, place: &Place| {
            library(program, &Orders { drain: Some(drain), ..orders }, folder, place)
        };
        Self::start(node, kind, settings, Network::cables(), count).await
    }

    /// Starts an engine and `count` gateways, each on a machine of its own where that is possible.
    pub async fn gateways(kind: Kind, settings: Settings, count: usize) -> Self {
        let node = |orders: Orders, folder: &Path, place: &Place| gateway(&orders, folder, place);
        Self::start(node, kind, settings, Network::new(count), count).await
    }

    async fn start(
        node: impl Fn(Orders, &Path, &Place) -> Process,
        kind: Kind,
        settings: Settings,
        mut network: Network,
        count: usize,
    ) -> Self {
        let engine = Engine::start(kind, settings.place(network.of_engine())).await;
        let mut running = Vec::with_capacity(count);
        for at in 0..count {
            let way = network.way_to(engine.address()).await;
            let url = engine.url().replace(&engine.address().to_string(), &way.to_string());
            let place = network.of_node(at);
            let address = place.address(PORT);
            let orders = Orders { address, engine: url, drain: None, lease: None };
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut process = node(orders, folder.path(), &place);
            process.start_again().await;
            running.push(Node { address, process, _folder: folder });
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
        let ending = timeout(PATIENCE, async {
            while !process.has_ended() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        let in_time = ending.await.is_ok();
        assert!(in_time, "waited {PATIENCE:?} for node {node} to end: {}", self.log(node));
        self.running[node].process.kill();
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

fn library(program: &str, orders: &Orders, folder: &Path, place: &Place) -> Process {
    let argument = serde_json::to_string(orders).expect("orders are JSON");
    Process::new(program, vec![argument], folder, READY, place)
}

/// A gateway with one site, which is as open as it can be and keeps all that a test publishes.
fn gateway(orders: &Orders, folder: &Path, place: &Place) -> Process {
    let Orders { address, engine, .. } = orders;
    let configuration = format!(
        "listen: {address}
broker:
  url: {engine}
  lease: {}s
sites:
  tests:
    apiKey: {API_KEY}
    open: true
    publish: true
    history: 1000000
    presence: true
",
        LEASE.as_secs()
    );
    std::fs::write(folder.join(CONFIGURATION), configuration).expect("a file can be written");
    // Whatever the test's own environment says is not for it.
    let mut arguments: Vec<String> =
        VARIABLES.iter().flat_map(|name| ["-u".to_owned(), (*name).to_owned()]).collect();
    let program = gateway_program();
    arguments.push(program.to_str().expect("a path is text").to_owned());
    arguments.extend(["serve", "--log", "info", "--config", CONFIGURATION].map(str::to_owned));
    Process::new("env", arguments, folder, READY, place)
}
