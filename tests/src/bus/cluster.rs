//! Several nodes on one bus, that know each other.

use std::time::Duration;

use tokensocket_server::{Server, ServerBuilder, SocketId};

use super::{Bus, Seat};
use crate::limit::until;
use crate::node::Node;

/// How often they say that they are there, when nobody says. Who is silent for a second is forgotten.
const HEARTBEAT: Duration = Duration::from_millis(300);

/// Nodes `node-0`, `node-1` and so on.
#[derive(Debug)]
pub struct Cluster {
    /// What they share.
    pub bus: Bus,
    /// Where each sits.
    pub seats: Vec<Seat>,
    /// The nodes themselves.
    pub nodes: Vec<Node>,
    heartbeat: Duration,
}

impl Cluster {
    /// Starts so many, each made of what `builder` returns, and waits until all know all.
    pub async fn start(nodes: usize, builder: impl Fn() -> ServerBuilder) -> Self {
        Self::on(Bus::new(), nodes, builder).await
    }

    /// The same, of nodes that say so often that they are there.
    pub async fn start_with(heartbeat: Duration, nodes: usize, builder: impl Fn() -> ServerBuilder) -> Self {
        Self { heartbeat, ..Self::empty(Bus::new()) }.of(nodes, builder).await
    }

    /// The same on a bus that is there.
    pub async fn on(bus: Bus, nodes: usize, builder: impl Fn() -> ServerBuilder) -> Self {
        Self::empty(bus).of(nodes, builder).await
    }

    fn empty(bus: Bus) -> Self {
        Self { bus, seats: Vec::new(), nodes: Vec::new(), heartbeat: HEARTBEAT }
    }

    async fn of(mut self, nodes: usize, builder: impl Fn() -> ServerBuilder) -> Self {
        for _ in 0..nodes {
            self.join(builder()).await;
        }
        self.knows_itself().await;
        self
    }

    /// Starts one more.
    pub async fn join(&mut self, builder: ServerBuilder) {
        let seat = self.bus.seat();
        let name = format!("node-{}", self.nodes.len());
        let builder = builder.engine(&seat).node_name(name).node_heartbeat(self.heartbeat);
        self.nodes.push(Node::start(builder).await);
        self.seats.push(seat);
    }

    /// Waits until all know all.
    pub async fn knows_itself(&self) {
        until("all nodes to know each other", || {
            self.nodes.iter().all(|node| node.server.nodes().len() == self.nodes.len())
        })
        .await;
    }

    /// One of them.
    pub fn server(&self, number: usize) -> &Server {
        &self.nodes[number].server
    }

    /// The only socket of a node.
    pub fn socket(&self, number: usize) -> SocketId {
        let sockets = self.server(number).sockets();
        assert_eq!(sockets.len(), 1, "one socket on node {number}");
        sockets[0].id()
    }

    /// The names of the nodes that one knows.
    pub fn names(&self, number: usize) -> Vec<String> {
        self.server(number).nodes().iter().map(|node| node.name.to_string()).collect()
    }
}
