//! Who is on a channel, as a client sees it.

use serde::Deserialize;

use crate::raw_json::RawJson;

/// Somebody on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// The connection's id on the server; where all of a user's connections count as one, that of the first.
    pub client: String,
    /// The user, if the connection has one.
    pub user: Option<String>,
    /// What the server tells of it.
    #[serde(default)]
    pub info: RawJson,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

/// Who is on a channel, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Members {
    /// How many connections.
    pub clients: u64,
    /// How many different users; a connection without one counts as one.
    pub users: u64,
    /// Those that were asked for, oldest first.
    #[serde(default)]
    pub members: Vec<Member>,
    /// There are more: ask for those after the last one's client.
    #[serde(default)]
    pub more: bool,
}
