//! What is kept for devices until they have it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{DeliverOptions, RawJson, To};

use super::{Names, check_event};
use crate::api::answer::Json;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// An event for devices. Exactly one of `users`, `rooms` and `everyone`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Deliver")]
pub(super) struct Delivering {
    /// For all devices of these users.
    users: Option<Names>,
    /// For all devices of everybody in one of these rooms, each once.
    rooms: Option<Names>,
    /// For all devices.
    #[serde(default)]
    everyone: bool,
    /// The event's name.
    #[schemars(length(min = 1, max = 128))]
    event: String,
    /// Its arguments: a list has several, anything else is one.
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    args: RawJson,
    /// A device that acknowledges it before an earlier one of its event has to fetch everything anew.
    #[serde(default)]
    resync: bool,
    /// Makes it safe to deliver again: for 5 minutes the same key is the same delivery.
    #[schemars(length(min = 1, max = 128))]
    key: Option<String>,
}

/// What became of a delivery.
#[derive(Serialize, JsonSchema)]
pub(super) struct Delivered {
    /// For how many devices it is kept.
    devices: usize,
    /// It had been delivered before, with this key; nothing was kept now.
    duplicate: bool,
}

pub(super) async fn deliver(caller: Caller, asked: Delivering) -> Result<Json<Delivered>, Problem> {
    check_event(&asked.event)?;
    let site = &caller.site;
    let to = match (asked.users, asked.rooms, asked.everyone) {
        (Some(users), None, false) => To::users(users.bounded()?),
        (None, Some(rooms), false) => To::rooms(rooms.bounded()?.iter().map(|room| site.room(room))),
        (None, None, true) => To::everyone(),
        _ => return Err(Problem::bad_request("name one of `users`, `rooms` and `everyone`")),
    };
    let options = DeliverOptions::new().resync(asked.resync).request(caller.id.as_str());
    let key = asked.key.or(caller.key.clone());
    let options = key.iter().fold(options, |options, key| options.key(key.as_str()));
    let delivered = caller.server().deliver(to, &asked.event, &asked.args, options).await?;
    let (devices, duplicate) = (delivered.devices, delivered.duplicate);
    tracing::debug!(site = site.name(), event = asked.event, devices, duplicate, "delivered");
    Ok(Json(Delivered { devices, duplicate }))
}
