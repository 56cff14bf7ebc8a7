//! Who is connected, on all nodes. What an identity holds beside what others may know stays here: it may hold secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Channel, RawJson, SocketId, SocketInfo, SocketQuery};

use super::limit;
use super::pages::{Nodes, Pages};
use crate::api::answer::{Json, Listing};
use crate::api::operation::Caller;
use crate::api::problem::{Kind, Problem};

/// Which sockets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Those of this user.
    user: Option<String>,
    /// Those that follow this channel by its name.
    channel: Option<String>,
    /// Only those after this one: `next` of the page before.
    after: Option<String>,
    /// At most so many: 100 if nothing is said, at most 1,000; in lines all of them.
    limit: Option<usize>,
}

/// Which socket.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    /// Its id.
    pub(super) socket: String,
}

/// A socket.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Socket")]
pub(super) struct Connected {
    /// Its id.
    socket: String,
    /// The node that it is connected to.
    node: String,
    /// The user, if it is known.
    user: Option<String>,
    /// The name of the device, if it takes deliveries.
    device: Option<String>,
    /// The user's rooms.
    rooms: Vec<String>,
    /// The channels that it follows.
    channels: Vec<String>,
    /// What others on a channel may know.
    #[schemars(with = "serde_json::Value")]
    info: RawJson,
    /// Whether it has shown who it is.
    authenticated: bool,
    /// The peer's address; behind a proxy, the proxy's.
    remote_address: Option<String>,
    /// Since when, in milliseconds since 1970.
    since: u64,
    /// Messages that wait for it to read.
    waiting_messages: usize,
    /// Bytes that wait for it to read.
    waiting_bytes: usize,
}

/// Behind the sockets.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SocketsEnd")]
pub(super) struct End {
    /// What `after` is for the next page, if there is one.
    next: Option<String>,
    /// Who was asked.
    nodes: Nodes,
}

impl From<SocketInfo> for Connected {
    fn from(socket: SocketInfo) -> Self {
        Self {
            socket: socket.id.to_string(),
            node: socket.node.to_string(),
            user: socket.user.map(|user| user.to_string()),
            device: socket.device.map(|device| device.to_string()),
            rooms: socket.rooms.iter().map(ToString::to_string).collect(),
            channels: socket.channels.iter().map(|channel| channel.as_str().to_owned()).collect(),
            info: socket.info,
            authenticated: socket.authenticated,
            remote_address: socket.remote_address.map(|address| address.to_string()),
            since: socket.since.0,
            waiting_messages: socket.waiting.messages,
            waiting_bytes: socket.waiting.bytes,
        }
    }
}

pub(super) async fn sockets(caller: Caller, asked: Asked) -> Result<Listing<Connected, End>, Problem> {
    let limit = limit(asked.limit, caller.in_lines);
    let channel = asked.channel.map(Channel::new).transpose();
    let channel = channel.map_err(|error| Problem::bad_request(error.to_string()))?;
    let after = asked.after.as_deref().map(str::parse).transpose();
    let after: Option<SocketId> = after.map_err(|_| Problem::bad_request("`after` is the id of a socket"))?;
    let query = asked.user.iter().fold(SocketQuery::new(), |query, user| query.user(user.as_str()));
    let query = channel.iter().fold(query, SocketQuery::channel);
    let server = caller.server().clone();
    let page = move |after: Option<SocketId>, most: usize| {
        let query = after.into_iter().fold(query.clone().limit(most), SocketQuery::after);
        let survey = server.survey();
        async move { survey.sockets(query).await }
    };
    let pages = Pages::begin(page, |socket: &SocketInfo| socket.id, after, limit).await?;
    Ok(pages.listing(Connected::from, |last, nodes| End { next: last.map(|last| last.to_string()), nodes }))
}

pub(super) async fn socket(caller: Caller, asked: One) -> Result<Json<Connected>, Problem> {
    Ok(Json(caller.server().find_socket(id(&asked.socket)?).await?.into()))
}

/// A socket's id, as it is written.
pub(super) fn id(text: &str) -> Result<SocketId, Problem> {
    text.parse().map_err(|_| Problem::new(Kind::NotFound, "no socket of this id is connected"))
}
