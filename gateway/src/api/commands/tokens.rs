//! Tokens for users whom the application knows itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Identity, RawJson};

use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// Who a token is for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IssueToken")]
pub(super) struct Issuing {
    /// The user's id. With the site's `userRoomPrefix`, the part behind it.
    #[schemars(length(min = 1, max = 256))]
    user: String,
    /// The rooms that the user is in, beside a private one.
    #[serde(default)]
    rooms: Vec<String>,
    /// What the server's actions know of the user; `{"user":…}` if nothing is said.
    #[schemars(with = "Option<serde_json::Value>")]
    data: Option<RawJson>,
    /// What others on a channel may know.
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    public: RawJson,
}

/// A token.
#[derive(Serialize, JsonSchema)]
pub(super) struct Issued {
    /// Good for one connection, within the site's limit of time.
    token: String,
}

#[derive(Serialize)]
struct Data<'a> {
    user: &'a str,
}

pub(super) async fn issue(caller: Caller, asked: Issuing) -> Result<Json<Issued>, Problem> {
    let user = asked.user;
    let identity = match &asked.data {
        Some(data) => Identity::new(data),
        None => Identity::new(Data { user: &user }),
    };
    let config = caller.site.config();
    let private = config.user_room_prefix.as_ref().map(|prefix| format!("{prefix}{user}"));
    let rooms = asked.rooms.iter().map(|room| caller.site.room(room)).chain(private);
    let identity = identity.rooms(rooms).public(asked.public).user(user);
    let token = caller.server().issue_token(identity).await?;
    Ok(Json(Issued { token: token.to_string() }))
}
