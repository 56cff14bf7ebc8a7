//! Calls of actions that a client has.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{RawJson, Server, SocketId, SocketQuery};

use super::sockets::id;
use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::{Kind, Problem};

/// How long a call takes at most, when the caller does not say.
const USUAL: Duration = Duration::from_secs(30);
/// How long it takes at most, whatever the caller says.
const LONGEST: Duration = Duration::from_mins(2);
/// So many connections of one user are looked at.
const MOST: usize = 1_000;

/// A call. Exactly one of `socket` and `user`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Call")]
pub(super) struct Calling {
    /// Whose action: a socket's id.
    socket: Option<String>,
    /// Or a user's, on the connection that was made last.
    user: Option<String>,
    /// The action's path, such as `page.reload`.
    action: String,
    /// Its argument.
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    data: RawJson,
    /// How long to wait for the answer, in milliseconds: 30,000 if nothing is said, at most 120,000.
    timeout_ms: Option<u64>,
}

/// A client's answer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Called {
    /// What the action returned.
    #[schemars(with = "serde_json::Value")]
    answer: RawJson,
    /// Which socket answered.
    socket: String,
}

pub(super) async fn call(caller: Caller, asked: Calling) -> Result<Json<Called>, Problem> {
    let server = caller.server();
    let socket = match (&asked.socket, &asked.user) {
        (Some(text), None) => id(text)?,
        (None, Some(user)) => latest(server, user).await?,
        _ => return Err(Problem::bad_request("name one of `socket` and `user`")),
    };
    let timeout = asked.timeout_ms.map_or(USUAL, Duration::from_millis).min(LONGEST);
    let answer = server.rpc_to(socket, &asked.action, asked.data).timeout(timeout).await?;
    Ok(Json(Called { answer, socket: socket.to_string() }))
}

/// The connection of a user that was made last, on whatever node.
async fn latest(server: &Server, user: &str) -> Result<SocketId, Problem> {
    let found = server.survey().sockets(SocketQuery::new().limit(MOST).user(user)).await?;
    let latest = found.value.items.into_iter().max_by_key(|socket| (socket.since, socket.id));
    let missing = if found.answered < found.asked { ", as far as all nodes answered" } else { "" };
    let say = format!("this user is not connected{missing}: a call can't wait for that");
    latest.map(|socket| socket.id).ok_or_else(|| Problem::new(Kind::NotFound, say))
}
