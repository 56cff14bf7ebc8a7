//! Three nodes and their engine, each on a machine of its own, and all that can happen between them: whatever was
//! acknowledged reaches everybody, once and in order. Prints how long each time it took until all was well again.
//!
//! The nodes are servers of this workspace, and the program `tokensocket serve`, which is told by HTTP.
//!
//! `TOKENSOCKET_FAULT_SECONDS` says how long a fault lasts, 3 s by default, an engine's pause 10 s at least; `TOKENSOCKET_FAULT`
//! names the only one that happens, such as `EnginePaused`. Where there are no network namespaces, the nodes reach the engine over proxies that cut,
//! and the test says so; `TOKENSOCKET_NETWORK=cables` wants that everywhere.

#![cfg(any(feature = "nats", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::{Duration, Instant};

use serde_json::json;
use tokensocket_client::{Error, ErrorCode, TokenSocket};
use tokensocket_tests::balancer::Balancer;
use tokensocket_tests::engine::{Keep, Kind, Settings};
use tokensocket_tests::native::becomes_ready;
use tokensocket_tests::nodes::{Audience, CHANNELS, Face, Kept, Load, Network, Nodes, Room, Traveller};
use tokensocket_tests::scale;
use tokio::time::{sleep, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node");
const NODES: [usize; 3] = [0, 1, 2];
/// How long one thing may take that no fault holds up.
const SOON: Duration = Duration::from_secs(30);
/// Within that every node has noticed that an engine says nothing any more, and the nodes' leases are over.
const NOTICED: Duration = Duration::from_secs(10);

fn lasts() -> Duration {
    Duration::from_secs(scale::number("TOKENSOCKET_FAULT_SECONDS", 3))
}

/// Three nodes under load, and everybody who listens.
struct World {
    // Dropped before those whom it asks.
    load: Load,
    nodes: Nodes,
    audience: Audience,
    traveller: Traveller,
    room: Room,
    /// A client of each node, for what tests ask.
    clients: Vec<TokenSocket>,
    _balancer: Balancer,
    kind: Kind,
    face: Face,
    kept: Kept,
}

/// What the engine keeps must outlive its end, or nothing could be promised.
fn lasting() -> Settings {
    Settings::new().keep(Keep::Always).storage(64 << 20)
}

impl World {
    async fn start(nodes: Nodes, kind: Kind, face: Face) -> Self {
        let addresses = nodes.addresses();
        let balancer = Balancer::start(addresses.clone()).await;
        let anywhere = format!("http://{}", balancer.address);
        let mut audience = Audience::default();
        for url in addresses.iter().map(|address| format!("http://{address}")) {
            audience.join(&url).await;
        }
        for _ in NODES {
            audience.join(&anywhere).await;
        }
        let traveller = Traveller::meet(&anywhere, "ann").await;
        let client = |address| {
            let builder = TokenSocket::builder(format!("http://{address}"));
            builder.authentication(&json!({ "user": "client" })).connect().unwrap()
        };
        let clients = addresses.iter().map(client).collect();
        let room = Room::meet(&addresses).await;
        let load = Load::by(face, &addresses);
        load.succeeds(&NODES).await;
        Self {
            nodes,
            load,
            audience,
            traveller,
            room,
            clients,
            _balancer: balancer,
            kind,
            face,
            kept: Kept::Surely,
        }
    }

    /// Waits until all nodes take things again and all of it arrives. Then looks whether all promises were kept.
    async fn recovers(&self, from: Fault) {
        let healed = Instant::now();
        self.load.succeeds(&NODES).await;
        let works = healed.elapsed();
        for client in &self.clients {
            // One that comes back late cannot be asked during the next fault.
            becomes_ready(client).await;
        }
        self.audience.hears(&self.load.ledger).await;
        let (published, delivered) = self.load.ledger.counts();
        println!(
            "{:?}, {:?}, {from:?}: all nodes work after {:.2} s, everybody has everything after {:.2} s; acknowledged so far: \
             {published} publications, {delivered} deliveries",
            self.kind,
            self.face,
            works.as_secs_f64(),
            healed.elapsed().as_secs_f64(),
        );
        self.load.rest().await;
        self.audience.check(&self.load.ledger, self.kept).await;
        self.traveller.look(&self.load.ledger, self.kept).await;
        self.room.is_whole().await;
        self.load.go_on();
        self.load.succeeds(&NODES).await;
        for node in NODES {
            self.load.take_failures(node);
        }
    }

    /// What needs no engine works on this node.
    async fn calls(&self, node: usize) {
        let answer = timeout(SOON, self.clients[node].rpc::<u64>("echo", &7).into_future()).await;
        match answer.expect("an answer in time") {
            Ok(answer) => assert_eq!((self.face, answer), (Face::Wire, 7)),
            // A site has no actions of its own: that is an answer, too.
            Err(Error::Server(error)) => {
                assert_eq!((self.face, error.code()), (Face::Http, ErrorCode::NotFound), "{error}");
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A publication without an engine is refused by name, and nobody waits for it for long.
    async fn refuses(&self, node: usize) {
        let refused = timeout(SOON, self.clients[node].publish(CHANNELS[0], &(u64::MAX, 0))).await;
        match refused.expect("an answer in time") {
            Err(Error::Server(error)) => assert_eq!(error.code(), ErrorCode::Overloaded, "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.nodes.print_logs();
        }
    }
}

/// What can happen.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    NodeCutOffFromEngine,
    NodesCutOffFromEachOther,
    NodeKilled,
    EngineStopped,
    EngineKilled,
    EnginePaused,
    EngineFull,
}

const FAULTS: [Fault; 8] = [
    Fault::Nothing,
    Fault::NodeCutOffFromEngine,
    Fault::NodesCutOffFromEachOther,
    Fault::NodeKilled,
    Fault::EngineStopped,
    Fault::EngineKilled,
    Fault::EnginePaused,
    Fault::EngineFull,
];

impl World {
    /// Lets it happen, and ends it.
    async fn suffer(&mut self, fault: Fault) {
        if self.kind == Kind::RedisCluster && matches!(fault, Fault::EngineStopped | Fault::EngineKilled) {
            // Another server, which lacks the last of it, may have taken the place of one that was started again.
            self.kept = Kept::Perhaps;
        }
        match fault {
            Fault::Nothing => {}
            Fault::NodeCutOffFromEngine => {
                self.nodes.network().cut_engine(0);
                sleep(lasts()).await;
                self.calls(0).await;
                self.refuses(0).await;
                self.load.succeeds(&[1, 2]).await;
                self.nodes.network().heal();
            }
            Fault::NodesCutOffFromEachOther => {
                self.nodes.network().cut_nodes(0, 1);
                sleep(lasts()).await;
                self.load.succeeds(&NODES).await;
                self.nodes.network().heal();
            }
            Fault::NodeKilled => {
                self.nodes.kill(2);
                self.load.succeeds(&[0, 1]).await;
                // Who was there is gone with the node's lease; the others are there all the while.
                self.room.has(0, &[0, 1]).await;
                self.nodes.start_again(2).await;
            }
            Fault::EngineStopped => {
                self.nodes.engine.stop().await;
                self.calls(1).await;
                self.refuses(1).await;
                self.nodes.engine.start_again().await;
            }
            Fault::EngineKilled => {
                self.nodes.engine.kill();
                sleep(lasts()).await;
                self.nodes.engine.start_again().await;
            }
            Fault::EnginePaused => {
                self.nodes.engine.pause();
                sleep(lasts().max(NOTICED)).await;
                self.calls(2).await;
                self.nodes.engine.unpause();
            }
            Fault::EngineFull => {
                self.nodes.engine.fill().await;
                sleep(lasts() / 3).await;
                self.calls(0).await;
                self.refuses(0).await;
                self.nodes.engine.empty().await;
            }
        }
    }
}

async fn all_of(faults: &[Fault], nodes: Nodes, kind: Kind, face: Face) {
    let mut world = World::start(nodes, kind, face).await;
    let only = std::env::var("TOKENSOCKET_FAULT").ok();
    if let Some(only) = &only {
        assert!(FAULTS.iter().any(|fault| *only == format!("{fault:?}")), "{only} is none of {FAULTS:?}");
    }
    for fault in faults {
        if only.as_ref().is_none_or(|only| *only == format!("{fault:?}")) {
            world.suffer(*fault).await;
            world.recovers(*fault).await;
        }
    }
    std::mem::take(&mut world.audience).end().await;
}

async fn of_servers(kind: Kind) {
    let nodes = Nodes::apart(PROGRAM, kind, lasting(), NODES.len()).await;
    all_of(&FAULTS, nodes, kind, Face::Wire).await;
}

/// A cluster's servers tell everybody where they are, so that no proxy stands between them and a node.
#[cfg(feature = "redis")]
async fn of_cluster() {
    let (network, kind) = (Network::new(NODES.len()), Kind::RedisCluster);
    let can_cut = matches!(network, Network::Namespaces(_));
    if !can_cut {
        println!(
            "without namespaces no node of a cluster is cut off from its engine: that fault is left out"
        );
    }
    let nodes = Nodes::between(network, PROGRAM, kind, lasting(), NODES.len()).await;
    let is_cut = |fault: &Fault| matches!(fault, Fault::NodeCutOffFromEngine);
    let faults: Vec<Fault> = FAULTS.into_iter().filter(|fault| can_cut || !is_cut(fault)).collect();
    all_of(&faults, nodes, kind, Face::Wire).await;
}

async fn of_gateways(kind: Kind) {
    let nodes = Nodes::gateways(kind, lasting(), NODES.len()).await;
    all_of(&FAULTS, nodes, kind, Face::Http).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_whatever_happens_to_redis_and_three_nodes() {
    of_servers(Kind::Redis).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_whatever_happens_to_a_redis_cluster_and_three_nodes() {
    of_cluster().await;
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_whatever_happens_to_nats_and_three_nodes() {
    of_servers(Kind::Nats).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_whatever_happens_to_redis_and_three_gateways() {
    of_gateways(Kind::Redis).await;
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_whatever_happens_to_nats_and_three_gateways() {
    of_gateways(Kind::Nats).await;
}

/// What tests stand on where there are no namespaces is tried wherever there are.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_over_proxies_that_cut() {
    let (network, kind) = (Network::cables(), Kind::Redis);
    let nodes = Nodes::between(network, PROGRAM, kind, lasting(), NODES.len()).await;
    let faults = [Fault::NodeCutOffFromEngine, Fault::EngineKilled];
    all_of(&faults, nodes, kind, Face::Wire).await;
}
