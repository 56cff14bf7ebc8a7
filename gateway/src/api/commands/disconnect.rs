//! The end of connections.

use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Close, SocketId};

use super::Names;
use super::sockets::{One, id};
use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// So many sockets are closed at a time.
const AT_ONCE: usize = 64;

/// Whose connections end. Exactly one of `users` and `sockets`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Disconnect")]
pub(super) struct Disconnecting {
    /// All sockets of these users.
    users: Option<Names>,
    /// Sockets, by their ids.
    sockets: Option<Names>,
    /// The close code: 1000 if nothing is said, after which clients come back; 4403 keeps them away; 4500 to 4999 are
    /// the application's own.
    code: Option<u16>,
    /// The reason, of which the first 123 bytes are sent.
    reason: Option<String>,
}

/// What was closed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Disconnected {
    /// How many sockets, if that is known.
    sockets: Option<usize>,
}

impl Disconnecting {
    fn close(&self) -> Result<Close, Problem> {
        let code = self.code.unwrap_or(Close::NORMAL.code);
        if !matches!(code, 1000 | 1001 | 1011 | 1012 | 3000..=4999) {
            return Err(Problem::bad_request("a close code is 1000, 1001, 1011, 1012 or 3000 to 4999"));
        }
        let usual = Close::NORMAL.reason.into_owned();
        Ok(Close::new(code, self.reason.clone().unwrap_or(if code == 1000 { usual } else { String::new() })))
    }
}

pub(super) async fn disconnect(caller: Caller, asked: Disconnecting) -> Result<Json<Disconnected>, Problem> {
    let close = asked.close()?;
    let server = caller.server();
    let sockets = match (asked.users, asked.sockets) {
        (Some(users), None) => {
            server.disconnect_users_with(users.bounded()?, close).await?;
            None
        }
        (None, Some(sockets)) => {
            let ids: Vec<SocketId> = sockets.bounded()?.iter().filter_map(|id| id.parse().ok()).collect();
            let closing = ids.into_iter().map(|id| {
                let (server, close) = (server.clone(), close.clone());
                async move { server.disconnect(id, close).await.is_ok() }
            });
            let closed = stream::iter(closing).buffer_unordered(AT_ONCE);
            Some(closed.filter(|closed| ready(*closed)).count().await)
        }
        _ => return Err(Problem::bad_request("name one of `users` and `sockets`")),
    };
    Ok(Json(Disconnected { sockets }))
}

pub(super) async fn close(caller: Caller, asked: One) -> Result<Json<Disconnected>, Problem> {
    caller.server().disconnect(id(&asked.socket)?, Close::NORMAL).await?;
    Ok(Json(Disconnected { sockets: Some(1) }))
}
