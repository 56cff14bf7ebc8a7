//! Who is on a channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Member, RawJson};

use super::limit;
use crate::api::answer::Listing;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// Which part of a channel's presence.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The channel.
    channel: String,
    /// Only those after this one: `next` of the page before.
    after: Option<String>,
    /// At most so many: 100 if nothing is said, at most 1,000; in lines everybody.
    limit: Option<usize>,
}

/// Somebody on a channel.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Member")]
pub(super) struct Present {
    /// The connection, or the user's first one.
    client: String,
    /// The user's id.
    user: Option<String>,
    /// What others may know.
    #[schemars(with = "serde_json::Value")]
    info: RawJson,
    /// Since when, in milliseconds since 1970.
    since: u64,
}

/// What is to be said of a channel's presence.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PresenceEnd")]
pub(super) struct End {
    /// How many connections there are.
    clients: usize,
    /// How many users.
    users: usize,
    /// What `after` is for the next page, if there is one.
    next: Option<String>,
}

pub(super) async fn presence(caller: Caller, asked: Asked) -> Result<Listing<Present, End>, Problem> {
    let (server, limit) = (caller.server(), limit(asked.limit, caller.in_lines));
    let counts = server.presence_counts(&asked.channel).await?;
    let mut members =
        server.presence_page(&asked.channel, asked.after.as_deref(), limit.saturating_add(1)).await?;
    let has_more = members.len() > limit;
    members.truncate(limit);
    let next = members.last().filter(|_| has_more).map(|last| last.client.to_string());
    let present = |member: Member| Present {
        client: member.client.to_string(),
        user: member.user.map(|user| user.to_string()),
        info: member.info,
        since: member.since.0,
    };
    // Members are turned into lines as they are read, and share what they hold until then.
    let items = futures_util::stream::iter(members.into_iter().map(present));
    Ok(Listing::new(items, End { clients: counts.clients, users: counts.users, next }))
}
