//! A socket as it is told to other nodes and to whoever watches.
//!
//! In: a socket. Out: what is known of it at this moment, as plain values. What an identity holds beside what others
//! may know stays here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokensocket_protocol::{Channel, RawJson};

use super::{Socket, SocketId, Waiting};
use crate::node_id::NodeId;
use crate::timestamp::Timestamp;

/// What is known of a socket of whatever node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SocketInfo {
    /// Its id.
    pub id: SocketId,
    /// The node that it is connected to.
    pub node: NodeId,
    /// The identity's user id, if it has one.
    #[serde(default)]
    pub user: Option<Arc<str>>,
    /// The name of its device, if it takes deliveries.
    #[serde(default)]
    pub device: Option<Arc<str>>,
    /// The user's rooms.
    #[serde(default)]
    pub rooms: Vec<Arc<str>>,
    /// The channels that it follows, sorted by name.
    #[serde(default, with = "names")]
    pub channels: Vec<Channel>,
    /// The identity's public part.
    #[serde(default)]
    pub info: RawJson,
    /// Whether it has authenticated.
    #[serde(default)]
    pub authenticated: bool,
    /// The peer's address; behind a proxy, the proxy's.
    #[serde(default)]
    pub remote_address: Option<SocketAddr>,
    /// When the connection was accepted.
    #[serde(default)]
    pub since: Timestamp,
    /// What waits for its peer to read.
    #[serde(default)]
    pub waiting: Waiting,
}

impl Socket {
    /// What is known of it now, for other nodes and for whoever watches.
    pub fn describe(&self) -> SocketInfo {
        let identity = self.identity();
        let since = self.created().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        SocketInfo {
            id: self.id(),
            node: self.0.home.node(),
            user: identity.user_id().cloned(),
            device: self.device().cloned(),
            rooms: identity.room_names().to_vec(),
            channels: self.channels(),
            info: identity.public_part().clone(),
            authenticated: self.is_authenticated(),
            remote_address: self.remote_address(),
            since: Timestamp::default().after(since),
            waiting: self.waiting(),
        }
    }
}

/// Channels as texts. One that this version takes for no name is left out.
mod names {
    use serde::{Deserialize, Deserializer, Serializer};
    use tokensocket_protocol::Channel;

    pub(super) fn serialize<S: Serializer>(channels: &[Channel], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(channels.iter().map(Channel::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Channel>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(names.into_iter().filter_map(|name| Channel::new(name).ok()).collect())
    }
}
