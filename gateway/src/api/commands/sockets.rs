//! Who is connected. What an identity holds beside what others may know stays here: it may hold secrets.

use std::time::UNIX_EPOCH;

use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Channel, RawJson, Socket};

use super::{call, limit};
use crate::api::answer::{Json, Listing};
use crate::api::operation::Caller;
use crate::api::problem::Problem;

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
}

impl From<&Socket> for Connected {
    fn from(socket: &Socket) -> Self {
        let (identity, waiting) = (socket.identity(), socket.waiting());
        let since = socket.created().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self {
            socket: socket.id().to_string(),
            user: identity.user_id().map(ToString::to_string),
            device: socket.device().map(ToString::to_string),
            rooms: identity.room_names().iter().map(ToString::to_string).collect(),
            channels: socket.channels().iter().map(|channel| channel.as_str().to_owned()).collect(),
            info: identity.public_part().clone(),
            authenticated: socket.is_authenticated(),
            remote_address: socket.remote_address().map(|address| address.to_string()),
            since: u64::try_from(since).unwrap_or(u64::MAX),
            waiting_messages: waiting.messages,
            waiting_bytes: waiting.bytes,
        }
    }
}

pub(super) async fn sockets(caller: Caller, asked: Asked) -> Result<Listing<Connected, End>, Problem> {
    let (server, limit) = (caller.server(), limit(asked.limit, caller.in_lines));
    let channel = asked.channel.map(Channel::new).transpose();
    let channel = channel.map_err(|error| Problem::bad_request(error.to_string()))?;
    let after = asked.after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|_| Problem::bad_request("`after` is the id of a socket"))?;
    let mut sockets = match (&asked.user, &channel) {
        (Some(user), _) => server.user_sockets(user.as_str()),
        (None, Some(channel)) => server.channel_sockets(channel),
        (None, None) => server.sockets(),
    };
    sockets.retain(|socket| {
        after.is_none_or(|after| socket.id() > after)
            && channel.as_ref().is_none_or(|channel| socket.channels().binary_search(channel).is_ok())
    });
    sockets.sort_unstable_by_key(Socket::id);
    let has_more = sockets.len() > limit;
    sockets.truncate(limit);
    let next = sockets.last().filter(|_| has_more).map(|last| last.id().to_string());
    let connected = |socket: Socket| Connected::from(&socket);
    Ok(Listing::new(stream::iter(sockets.into_iter().map(connected)), End { next }))
}

pub(super) async fn socket(caller: Caller, asked: One) -> Result<Json<Connected>, Problem> {
    Ok(Json(Connected::from(&call::find(&caller, &asked.socket)?)))
}
