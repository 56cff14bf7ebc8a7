//! What lies between nodes and their engine, to be cut.
//!
//! In: how many nodes. Out: where the engine and each node run, and the address by which a node reaches the engine.
//! Network namespaces where this machine lets us make them; else a cable of our own between each node and the engine,
//! which is not the same: a node that is cut off is cut off from nothing but the engine's one address.

use std::net::SocketAddr;

use crate::balancer::Balancer;
use crate::netns::Netns;
use crate::process::Place;

/// The variable that chooses: `namespaces`, where they can be had, or `cables`.
const CHOICE: &str = "TOKENSOCKET_NETWORK";
/// The engine's machine; node 0 is on the next.
const ENGINE: u8 = 0;

/// Machines, or cables.
#[derive(Debug)]
pub enum Network {
    /// Each on a machine of its own.
    Namespaces(Netns),
    /// All on this machine; one cable for each node, made when it is asked for.
    Cables(Vec<Balancer>),
}

impl Network {
    /// One for an engine and `nodes` nodes. Says so when it is only cables.
    pub fn new(nodes: usize) -> Self {
        let wanted = match std::env::var(CHOICE).ok().as_deref() {
            Some("cables") => Err(format!("{CHOICE} wants none")),
            Some(other) if other != "namespaces" => panic!("{CHOICE}={other}: namespaces or cables"),
            _ => Ok(()),
        };
        let made = wanted.and_then(|()| Netns::is_allowed()).and_then(|()| Netns::new(machine(nodes)));
        match made {
            Ok(network) => Self::Namespaces(network),
            Err(reason) => {
                println!(
                    "no network namespaces ({reason}): the nodes reach the engine over proxies that cut"
                );
                Self::cables()
            }
        }
    }

    /// Cables, whatever this machine allows.
    pub fn cables() -> Self {
        Self::Cables(Vec::new())
    }

    /// Where the engine runs.
    pub fn of_engine(&self) -> Place {
        self.place(ENGINE)
    }

    /// Where a node runs.
    pub fn of_node(&self, node: usize) -> Place {
        self.place(machine(node))
    }

    /// By which address the next node reaches the engine. To be asked once for each, in their order.
    pub async fn way_to(&mut self, engine: SocketAddr) -> SocketAddr {
        match self {
            Self::Namespaces(_) => engine,
            Self::Cables(cables) => {
                let cable = Balancer::start([engine]).await;
                let address = cable.address;
                cables.push(cable);
                address
            }
        }
    }

    /// The node and the engine do not hear each other any more.
    pub fn cut_engine(&self, node: usize) {
        match self {
            Self::Namespaces(network) => network.cut(machine(node), ENGINE),
            Self::Cables(cables) => cables[node].cut(),
        }
    }

    /// Two nodes do not hear each other any more. Over cables they never did.
    pub fn cut_nodes(&self, one: usize, other: usize) {
        if let Self::Namespaces(network) = self {
            network.cut(machine(one), machine(other));
        }
    }

    /// Everybody hears everybody.
    pub fn heal(&self) {
        match self {
            Self::Namespaces(network) => network.heal(),
            Self::Cables(cables) => cables.iter().for_each(Balancer::heal),
        }
    }

    fn place(&self, machine: u8) -> Place {
        match self {
            Self::Namespaces(network) => network.place(machine),
            Self::Cables(_) => Place::default(),
        }
    }
}

/// A node's machine.
fn machine(node: usize) -> u8 {
    ENGINE + 1 + u8::try_from(node).expect("few nodes")
}
