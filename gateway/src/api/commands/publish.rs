//! What reaches whoever is there: publications, broadcasts, messages to users.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{PublishOptions, RawJson};

use super::{Done, Names, check_event};
use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// A publication.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Publish")]
pub(super) struct Publishing {
    /// Where.
    channel: String,
    /// What: any JSON.
    #[schemars(with = "serde_json::Value")]
    data: RawJson,
    /// Makes it safe to publish again: the same key on the same channel is the same publication, for 5 minutes.
    #[schemars(length(min = 1, max = 128))]
    key: Option<String>,
}

/// What became of a publication.
#[derive(Serialize, JsonSchema)]
pub(super) struct Published {
    /// Where it stands, on a channel that keeps its history.
    position: Option<Place>,
    /// It had been published before, with this key; nothing was published now.
    duplicate: bool,
}

/// A place in a channel's history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Position")]
pub(super) struct Place {
    /// Which run of offsets.
    epoch: String,
    /// The last publication before this place: 1 for the first of the epoch.
    offset: u64,
}

impl From<tokensocket_server::Position> for Place {
    fn from(position: tokensocket_server::Position) -> Self {
        Self { epoch: position.epoch.to_string(), offset: position.offset }
    }
}

pub(super) async fn publish(caller: Caller, asked: Publishing) -> Result<Json<Published>, Problem> {
    let key = asked.key.or(caller.key.clone());
    let options = key.iter().fold(PublishOptions::new(), PublishOptions::key);
    let published = caller.server().publish_with(&asked.channel, &asked.data, options).await?;
    tracing::debug!(site = caller.site.name(), channel = asked.channel, "published");
    Ok(Json(Published { position: published.position.map(Place::from), duplicate: published.duplicate }))
}

/// A message for every channel.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Broadcast")]
pub(super) struct Broadcasting {
    /// What: any JSON.
    #[schemars(with = "serde_json::Value")]
    data: RawJson,
}

pub(super) async fn broadcast(caller: Caller, asked: Broadcasting) -> Result<Json<Done>, Problem> {
    caller.server().broadcast(&asked.data).await?;
    Ok(Json(Done {}))
}

/// A message for those who are connected.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Emit")]
pub(super) struct Emitting {
    /// The users whose sockets get it.
    users: Option<Names>,
    /// Every socket gets it.
    #[serde(default)]
    everyone: bool,
    /// The channel that it comes on; the event's name for Socket.IO and event clients.
    channel: String,
    /// What: any JSON.
    #[schemars(with = "serde_json::Value")]
    data: RawJson,
}

pub(super) async fn emit(caller: Caller, asked: Emitting) -> Result<Json<Done>, Problem> {
    check_event(&asked.channel)?;
    let server = caller.server();
    match (asked.users, asked.everyone) {
        (Some(users), false) => {
            server.emit_to_users(users.bounded()?, &asked.channel, &asked.data).await?;
        }
        (None, true) => server.emit_to_everyone(&asked.channel, &asked.data).await?,
        _ => return Err(Problem::bad_request("name one of `users` and `everyone`")),
    }
    Ok(Json(Done {}))
}
