//! Calls of actions that a client has.

use std::future::IntoFuture;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{RawJson, Socket};

use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::{Kind, Problem};

/// How long a call takes at most, when the caller does not say.
const USUAL: Duration = Duration::from_secs(30);
/// How long it takes at most, whatever the caller says.
const LONGEST: Duration = Duration::from_mins(2);

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
    let socket = match (&asked.socket, &asked.user) {
        (Some(id), None) => find(&caller, id)?,
        (None, Some(user)) => caller.server().user_sockets(user.as_str()).pop().ok_or_else(|| {
            Problem::new(Kind::NotFound, "this user is not connected: a call can't wait for that")
        })?,
        _ => return Err(Problem::bad_request("name one of `socket` and `user`")),
    };
    let timeout = asked.timeout_ms.map_or(USUAL, Duration::from_millis).min(LONGEST);
    let answer = socket.rpc(&asked.action, asked.data).timeout(timeout).into_future().await?;
    Ok(Json(Called { answer, socket: socket.id().to_string() }))
}

/// The socket of this id.
pub(super) fn find(caller: &Caller, id: &str) -> Result<Socket, Problem> {
    let found = id.parse().ok().and_then(|id| caller.server().socket(id));
    found.ok_or_else(|| Problem::new(Kind::NotFound, "no socket of this id is connected"))
}
