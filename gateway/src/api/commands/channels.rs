//! Which channels there are, on all nodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Channel, ChannelInfo, ChannelQuery};

use super::limit;
use super::pages::{Nodes, Pages};
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
    /// Who was asked.
    nodes: Nodes,
}

pub(super) async fn channels(caller: Caller, asked: Asked) -> Result<Listing<Followed, End>, Problem> {
    let limit = limit(asked.limit, caller.in_lines);
    let after = asked.after.map(Channel::new).transpose();
    let after = after.map_err(|error| Problem::bad_request(error.to_string()))?;
    let query = asked.prefix.iter().fold(ChannelQuery::new(), |query, prefix| query.prefix(prefix.as_str()));
    let server = caller.server().clone();
    let page = move |after: Option<Channel>, most: usize| {
        let query = after.iter().fold(query.clone().limit(most), ChannelQuery::after);
        let survey = server.survey();
        async move { survey.channels(query).await }
    };
    let pages = Pages::begin(page, |followed: &ChannelInfo| followed.channel.clone(), after, limit).await?;
    let followed = |ChannelInfo { channel, sockets, .. }: ChannelInfo| Followed {
        channel: channel.as_str().to_owned(),
        sockets,
    };
    Ok(pages.listing(followed, |last, nodes| End { next: last.map(|last| last.as_str().to_owned()), nodes }))
}
