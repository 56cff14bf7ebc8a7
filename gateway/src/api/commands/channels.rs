//! Which channels there are.

use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::Channel;

use super::limit;
use crate::api::answer::Listing;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// Which channels.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Those whose names begin with this.
    prefix: Option<String>,
    /// Only those after this one: `next` of the page before.
    after: Option<String>,
    /// At most so many: 100 if nothing is said, at most 1,000; in lines all of them.
    limit: Option<usize>,
}

/// A channel that somebody follows.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Channel")]
pub(super) struct Followed {
    /// Its name.
    channel: String,
    /// How many sockets follow it by its name.
    sockets: usize,
}

/// Behind the channels.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ChannelsEnd")]
pub(super) struct End {
    /// What `after` is for the next page, if there is one.
    next: Option<String>,
}

pub(super) async fn channels(caller: Caller, asked: Asked) -> Result<Listing<Followed, End>, Problem> {
    let limit = limit(asked.limit, caller.in_lines);
    let is_asked = |channel: &Channel| {
        let name = channel.as_str();
        asked.prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix))
            && asked.after.as_deref().is_none_or(|after| name > after)
    };
    let mut channels: Vec<Channel> = caller.server().channels().into_iter().filter(is_asked).collect();
    let has_more = channels.len() > limit;
    channels.truncate(limit);
    let next = channels.last().filter(|_| has_more).map(|last| last.as_str().to_owned());
    let server = caller.server().clone();
    let followed = move |channel: Channel| Followed {
        sockets: server.channel_sockets(&channel).len(),
        channel: channel.as_str().to_owned(),
    };
    Ok(Listing::new(stream::iter(channels.into_iter().map(followed)), End { next }))
}
