//! What an application asks of its users' sockets over HTTP, and the tokens with which they connect.
//!
//! ```text
//! GET  /api/v1/user/sockettoken?user=ann     {"token":"…"}
//! POST /interop/emit-to-users                {"users":[{"_id":"ann"}],"channel":"news","data":{"n":1}}
//! POST /interop/emit-to-everyone             {"channel":"news","data":{"n":1}}
//! POST /interop/disconnect-users             {"users":[{"_id":"ann"}],"close":true}
//! ```
//!
//! `users` may be one user, and a user its id alone. The answer is `{"ok":true}`, or `{"error":…}`.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use tokensocket_server::{Close, Identity, RawJson, Server};
use warp::http::{StatusCode, header};
use warp::hyper::body::Bytes;
use warp::reply::{Reply, Response};
use warp::{Filter, Rejection, reply};

/// The largest body, in bytes.
const MAX_BODY: u64 = 1 << 20;

/// One user or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Users {
    Several(Vec<User>),
    One(User),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum User {
    Object {
        #[serde(rename = "_id")]
        id: Id,
    },
    Alone(Id),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

impl Users {
    fn ids(self) -> Vec<Arc<str>> {
        let users = match self {
            Self::Several(users) => users,
            Self::One(user) => vec![user],
        };
        let ids = users.into_iter().map(|(User::Object { id } | User::Alone(id))| match id {
            Id::Text(id) => id.into(),
            Id::Number(id) => id.to_string().into(),
        });
        ids.collect()
    }
}

#[derive(Deserialize)]
struct ToUsers {
    users: Users,
    channel: String,
    #[serde(default)]
    data: RawJson,
}

#[derive(Deserialize)]
struct ToEveryone {
    channel: String,
    #[serde(default)]
    data: RawJson,
}

#[derive(Deserialize)]
struct Disconnect {
    users: Users,
    #[serde(default)]
    close: HowToClose,
}

/// A code and a reason; or a yes or no, as other services of this kind want it, which says nothing more here: where a
/// connection carries no other namespace it ends either way.
#[derive(Deserialize)]
#[serde(untagged)]
enum HowToClose {
    With {
        code: u16,
        #[serde(default)]
        reason: String,
    },
    Normally(serde::de::IgnoredAny),
}

impl Default for HowToClose {
    fn default() -> Self {
        Self::Normally(serde::de::IgnoredAny)
    }
}

impl From<HowToClose> for Close {
    fn from(how: HowToClose) -> Self {
        match how {
            HowToClose::With { code: code @ 3000..=4999, reason } => Self::new(code, reason),
            HowToClose::With { .. } | HowToClose::Normally(_) => Self::NORMAL,
        }
    }
}

/// The routes, for the users of `server`.
pub(crate) fn routes(
    server: &Server,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + use<> {
    let given = {
        let server = server.clone();
        warp::any().map(move || server.clone())
    };
    let post = |name: &'static str| {
        let asked = warp::path("interop").and(warp::path(name)).and(warp::path::end()).and(warp::post());
        let body = warp::body::content_length_limit(MAX_BODY).and(warp::body::bytes());
        asked.and(given.clone()).and(body)
    };
    let asked = warp::path!("api" / "v1" / "user" / "sockettoken").and(warp::get());
    asked
        .and(given.clone())
        .and(warp::query())
        .then(token)
        .or(post("emit-to-users").then(emit_to_users))
        .unify()
        .or(post("emit-to-everyone").then(emit_to_everyone))
        .unify()
        .or(post("disconnect-users").then(disconnect_users))
        .unify()
}

async fn emit_to_users(server: Server, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(ToUsers { users, channel, data }) => done(server.emit_to_users(users.ids(), channel, data).await),
        Err(error) => refuse(StatusCode::BAD_REQUEST, error),
    }
}

async fn emit_to_everyone(server: Server, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(ToEveryone { channel, data }) => done(server.emit_to_everyone(channel, data).await),
        Err(error) => refuse(StatusCode::BAD_REQUEST, error),
    }
}

async fn disconnect_users(server: Server, body: Bytes) -> Response {
    match serde_json::from_slice(&body) {
        Ok(Disconnect { users, close }) => {
            done(server.disconnect_users_with(users.ids(), close.into()).await)
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, error),
    }
}

async fn token(server: Server, query: HashMap<String, String>) -> Response {
    let Some(user) = query.get("user").filter(|user| !user.is_empty()) else {
        return refuse(StatusCode::BAD_REQUEST, "name a user: ?user=ann");
    };
    let identity = Identity::new(json!({ "user": user })).user(user.as_str());
    match server.issue_token(identity).await {
        // Any page may ask here, as at the server's own path for tokens.
        Ok(token) => {
            let answer = answer(StatusCode::OK, &json!({ "token": token.to_string() }));
            reply::with_header(answer, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*").into_response()
        }
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

fn done(outcome: Result<(), impl Display>) -> Response {
    match outcome {
        Ok(()) => answer(StatusCode::OK, &json!({ "ok": true })),
        Err(error) => refuse(StatusCode::BAD_REQUEST, error),
    }
}

fn refuse(status: StatusCode, why: impl Display) -> Response {
    answer(status, &json!({ "error": why.to_string() }))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    reply::with_status(reply::json(body), status).into_response()
}
