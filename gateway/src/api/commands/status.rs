//! How a site does: numbers for whoever watches it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{EngineStatus, NodeInfo, Socket, Timestamp, Totals};

use super::pages::Nodes;
use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// So many of the slowest are named.
const SLOWEST: usize = 10;
/// How long is waited for nodes that say nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Nothing but whose status.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {}

/// How the gateway does, as far as the caller may know.
#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    /// The gateway's version.
    version: &'static str,
    /// When this was so, in milliseconds since 1970.
    at: u64,
    /// For how long the gateway has been running, in seconds.
    uptime_seconds: f64,
    /// What nodes share everything by; not there where this gateway is alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<Broker>,
    /// The caller's site.
    sites: Vec<SiteStatus>,
}

/// How it stands with the engine that nodes share.
#[derive(Serialize, JsonSchema)]
pub(super) struct Broker {
    /// Which: `redis` or `nats`.
    engine: &'static str,
    /// Where, without secrets.
    address: String,
    /// Its own version, if that is known.
    version: Option<String>,
    /// Whether it can be reached.
    connected: bool,
    /// For how long it could not be, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    away_seconds: Option<f64>,
    /// What it cannot do, or not keep, as it is configured.
    lacks: Vec<String>,
}

/// A gateway that serves the site.
#[derive(Serialize, JsonSchema)]
pub(super) struct Node {
    /// Its id for this site, made up when it began.
    id: String,
    /// Its name: that of its machine.
    name: String,
    /// Its version.
    version: String,
    /// Since when, in milliseconds since 1970.
    since: u64,
    /// Sockets that are connected to it.
    connections: usize,
    /// Channels that these follow.
    channels: usize,
    /// How busy its threads are, from 0 to 1.
    load: f64,
    /// Whether it is about to end.
    draining: bool,
    /// Whether it is the one that says this.
    here: bool,
}

/// How a site does, on all nodes that answered. Counts since the start are since the start of each.
#[derive(Serialize, JsonSchema)]
pub(super) struct SiteStatus {
    /// Its name.
    site: String,
    /// Who was asked.
    nodes: Nodes,
    /// Who they are.
    node_list: Vec<Node>,
    /// Sockets that are connected.
    connections: usize,
    /// Users of those. One who is connected to two nodes counts twice.
    users: usize,
    /// Channels that somebody follows. One that is followed on two nodes counts twice.
    channels: usize,
    /// Devices that are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<usize>,
    /// Deliveries that wait for devices, while those are not too many to be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<usize>,
    /// Sockets for which half of what may wait is waiting.
    slow: usize,
    /// Those of this node for which the most is waiting.
    slowest: Vec<Slow>,
    /// Sockets that came, since the start.
    opened: u64,
    /// Sockets that went.
    closed: u64,
    /// Deliveries that were accepted, each counted once for each device.
    accepted: u64,
    /// Acknowledgements of deliveries.
    acknowledged: u64,
    /// Messages of clients, of any kind.
    received: u64,
    /// Messages to clients: one for each socket that gets a publication.
    sent: u64,
}

/// A socket that is slow to read.
#[derive(Serialize, JsonSchema)]
pub(super) struct Slow {
    /// Its id.
    socket: String,
    /// The user.
    user: Option<String>,
    /// Messages that wait.
    waiting_messages: usize,
    /// Bytes that wait.
    waiting_bytes: usize,
}

impl From<&Socket> for Slow {
    fn from(socket: &Socket) -> Self {
        let waiting = socket.waiting();
        Self {
            socket: socket.id().to_string(),
            user: socket.identity().user_id().map(ToString::to_string),
            waiting_messages: waiting.messages,
            waiting_bytes: waiting.bytes,
        }
    }
}

impl From<EngineStatus> for Broker {
    fn from(status: EngineStatus) -> Self {
        Self {
            engine: status.name,
            address: status.address,
            version: status.version,
            connected: status.away.is_none(),
            away_seconds: status.away.map(|away| away.as_secs_f64()),
            lacks: status.lacks,
        }
    }
}

pub(super) async fn status(caller: Caller, _: Asked) -> Result<Json<Status>, Problem> {
    let server = caller.server();
    let found = server.survey().within(PATIENCE).counts().await?;
    let (nodes, Totals { sockets, users, channels, slow, counts, .. }) = (Nodes::of(&found), found.value);
    let mut slowest: Vec<Slow> =
        server.sockets().iter().map(Slow::from).filter(|slow| slow.waiting_messages > 0).collect();
    slowest.sort_unstable_by_key(|slow| std::cmp::Reverse(slow.waiting_bytes));
    slowest.truncate(SLOWEST);
    let here = server.this_node().id;
    let node = |node: NodeInfo| Node {
        here: node.id == here,
        id: node.id.to_string(),
        name: node.name.to_string(),
        version: node.version.to_string(),
        since: node.began.0,
        connections: node.sockets,
        channels: node.channels,
        load: node.load,
        draining: node.draining,
    };
    let queues = server.queue_counts();
    let of_site = SiteStatus {
        site: caller.site.name().to_owned(),
        nodes,
        node_list: server.nodes().into_iter().map(node).collect(),
        connections: sockets,
        users,
        channels,
        devices: queues.map(|queues| queues.devices),
        queued: queues.and_then(|queues| queues.entries),
        slow,
        slowest,
        opened: counts.opened,
        closed: counts.closed,
        accepted: counts.accepted,
        acknowledged: counts.acknowledged,
        received: counts.received,
        sent: counts.sent,
    };
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        at: Timestamp::now().0,
        uptime_seconds: caller.api.began.elapsed().as_secs_f64(),
        broker: caller.api.engine.as_ref().map(|engine| engine.status().into()),
        sites: vec![of_site],
    }))
}
