//! How a site does: numbers for whoever watches it.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Socket, Timestamp};

use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// So many of the slowest are named.
const SLOWEST: usize = 10;

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
    /// The caller's site.
    sites: Vec<SiteStatus>,
}

/// How a site does. Counts since the start are of this process.
#[derive(Serialize, JsonSchema)]
pub(super) struct SiteStatus {
    /// Its name.
    site: String,
    /// Sockets that are connected.
    connections: usize,
    /// Users of those.
    users: usize,
    /// Channels that somebody follows.
    channels: usize,
    /// Devices that are remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<usize>,
    /// Deliveries that wait for devices, while those are not too many to be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<usize>,
    /// Sockets for which half of what may wait is waiting.
    slow: usize,
    /// Those for which the most is waiting.
    slowest: Vec<Slow>,
    /// Sockets that came, since the start.
    opened: u64,
    /// Sockets that went.
    closed: u64,
    /// Deliveries that were accepted, each counted once for each device.
    accepted: u64,
    /// Acknowledgements of deliveries.
    acknowledged: u64,
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

pub(super) async fn status(caller: Caller, _: Asked) -> Result<Json<Status>, Problem> {
    let server = caller.server();
    let sockets = server.sockets();
    let users: HashSet<&str> =
        sockets.iter().filter_map(|socket| socket.identity().user_id().map(|user| &**user)).collect();
    let mut slowest: Vec<Slow> =
        sockets.iter().map(Slow::from).filter(|slow| slow.waiting_messages > 0).collect();
    slowest.sort_unstable_by_key(|slow| std::cmp::Reverse(slow.waiting_bytes));
    slowest.truncate(SLOWEST);
    let counts = server.counts();
    let queues = server.queue_counts();
    let of_site = SiteStatus {
        site: caller.site.name().to_owned(),
        connections: sockets.len(),
        users: users.len(),
        channels: server.channels().len(),
        devices: queues.map(|queues| queues.devices),
        queued: queues.and_then(|queues| queues.entries),
        slow: sockets.iter().filter(|socket| socket.is_slow()).count(),
        slowest,
        opened: counts.opened,
        closed: counts.closed,
        accepted: counts.accepted,
        acknowledged: counts.acknowledged,
    };
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        at: Timestamp::now().0,
        uptime_seconds: caller.api.began.elapsed().as_secs_f64(),
        sites: vec![of_site],
    }))
}
