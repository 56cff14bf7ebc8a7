//! Three nodes and their engine, each on a machine of its own, and all that can happen between them: whatever was
//! acknowledged reaches everybody, once and in order. Prints how long each time it took until all was well again.
//!
//! `TOKENSOCKET_FAULT_SECONDS` says how long a fault lasts, 3 s by default; `TOKENSOCKET_FAULT` names the only one that
//! happens, such as `EnginePaused`. Where there are no network namespaces, the nodes reach the engine over proxies that cut,
//! and the test says so.

#![cfg(any(feature = "nats", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::{Duration, Instant};

use serde_json::json;
use tokensocket_client::{Error, ErrorCode, TokenSocket};
use tokensocket_tests::balancer::Balancer;
use tokensocket_tests::engine::{Keep, Kind, Settings};
use tokensocket_tests::nodes::{Audience, CHANNELS, Load, Nodes, Traveller};
use tokio::time::{sleep, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_node");
const NODES: [usize; 3] = [0, 1, 2];
/// How long one thing may take that no fault holds up.
const SOON: Duration = Duration::from_secs(30);

fn lasts() -> Duration {
    let seconds = std::env::var("TOKENSOCKET_FAULT_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(3))
}

/// Three nodes under load, and everybody who listens.
struct World {
    nodes: Nodes,
    load: Load,
    audience: Audience,
    traveller: Traveller,
    /// A client of each node, for what tests ask.
    clients: Vec<TokenSocket>,
    _balancer: Balancer,
    kind: Kind,
}

impl World {
    async fn start(kind: Kind) -> Self {
        // What the engine keeps must outlive its end, or nothing could be promised.
        let settings = Settings::new().keep(Keep::Always).storage(64 << 20);
        let nodes = Nodes::apart(PROGRAM, kind, settings, NODES.len()).await;
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
        let load = Load::begin(&addresses);
        load.succeeds(&NODES).await;
        Self { nodes, load, audience, traveller, clients, _balancer: balancer, kind }
    }

    /// Waits until all nodes take things again and all of it arrives. Then looks whether all promises were kept.
    async fn recovers(&self, from: Fault) {
        let healed = Instant::now();
        self.load.succeeds(&NODES).await;
        let works = healed.elapsed();
        self.audience.hears(&self.load.ledger).await;
        let (published, delivered) = self.load.ledger.counts();
        println!(
            "{:?}, {from:?}: all nodes work after {:.2} s, everybody has everything after {:.2} s; acknowledged so far: \
             {published} publications, {delivered} deliveries",
            self.kind,
            works.as_secs_f64(),
            healed.elapsed().as_secs_f64(),
        );
        self.load.rest().await;
        self.audience.check(&self.load.ledger).await;
        self.traveller.look(&self.load.ledger).await;
        self.load.go_on();
        self.load.succeeds(&NODES).await;
        for node in NODES {
            self.load.take_failures(node);
        }
    }

    /// What needs no engine works on this node.
    async fn calls(&self, node: usize) {
        let answer = timeout(SOON, self.clients[node].rpc::<u64>("echo", &7).into_future()).await;
        assert_eq!(answer.expect("an answer in time").unwrap(), 7);
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
                self.load.succeeds(&NODES).await;
                self.nodes.network().heal();
            }
            Fault::NodeKilled => {
                self.nodes.kill(2);
                self.load.succeeds(&[0, 1]).await;
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
                sleep(lasts()).await;
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

async fn all_faults(kind: Kind) {
    let mut world = World::start(kind).await;
    let only = std::env::var("TOKENSOCKET_FAULT").ok();
    for fault in FAULTS {
        if only.as_ref().is_none_or(|only| *only == format!("{fault:?}")) {
            world.suffer(fault).await;
            world.recovers(fault).await;
        }
    }
    std::mem::take(&mut world.audience).end().await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_whatever_happens_to_redis_and_three_nodes() {
    all_faults(Kind::Redis).await;
}

#[cfg(feature = "nats")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_comes_twice_whatever_happens_to_nats_and_three_nodes() {
    all_faults(Kind::Nats).await;
}
