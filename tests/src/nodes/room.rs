//! Who is on a channel with presence, one client at each node.
//!
//! In: the nodes' addresses. Out: who the nodes say is there, until that is who should be.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokensocket_client::{PresenceQuery, Subscription, TokenSocket};
use tokio::time::{sleep, timeout};

/// The channel.
pub const ROOM: &str = "room";
/// How long it may take until all nodes know.
const PATIENCE: Duration = Duration::from_mins(1);

/// One of them at each node.
#[derive(Debug)]
pub struct Room(Vec<(TokenSocket, Subscription)>);

impl Room {
    /// They come in.
    pub async fn meet(nodes: &[SocketAddr]) -> Self {
        let mut members = Vec::new();
        for (node, address) in nodes.iter().enumerate() {
            let socket = TokenSocket::builder(format!("http://{address}"))
                .authentication(&json!({ "user": member(node) }))
                .call_timeout(PATIENCE)
                .connect()
                .expect("a client");
            let joining = timeout(PATIENCE, socket.subscribe(ROOM)).await.expect("in time");
            members.push((socket, joining.expect("it is allowed")));
        }
        Self(members)
    }

    /// Waits until a node says that those of these nodes are there, and nobody else. They must be there all the while.
    pub async fn has(&self, asked: usize, nodes: &[usize]) {
        let expected: BTreeSet<String> = nodes.iter().map(|node| member(*node)).collect();
        let mut there = Vec::new();
        let waiting = timeout(PATIENCE, async {
            loop {
                there = self.ask(asked).await;
                let users: BTreeSet<String> = there.iter().cloned().collect();
                let missing: Vec<_> = expected.difference(&users).collect();
                assert!(
                    missing.is_empty(),
                    "{missing:?} are connected, and node {asked} knows only {there:?}"
                );
                if there.len() == expected.len() {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        let in_time = waiting.await;
        assert!(in_time.is_ok(), "waited {PATIENCE:?} for {expected:?} alone to be there: {there:?}");
    }

    /// Waits until all nodes say that all are there, each once.
    pub async fn is_whole(&self) {
        let waiting = timeout(PATIENCE, async {
            for asked in 0..self.0.len() {
                while self.ask(asked).await.len() != self.0.len() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        });
        assert!(waiting.await.is_ok(), "waited {PATIENCE:?} for all to be there");
        let all: Vec<usize> = (0..self.0.len()).collect();
        for asked in &all {
            self.has(*asked, &all).await;
        }
    }

    /// Who is there, one for each connection.
    async fn ask(&self, node: usize) -> Vec<String> {
        let members = self.0[node].0.presence(ROOM, PresenceQuery::default()).await.expect("it is allowed");
        members.members.into_iter().filter_map(|member| member.user).collect()
    }
}

/// Who is at a node.
fn member(node: usize) -> String {
    format!("member-{node}")
}
