//! What channels keep.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokensocket_server::{Epoch, HistoryQuery, Kept, Position, RawJson};

use super::limit;
use super::publish::Place;
use crate::api::answer::Listing;
use crate::api::operation::Caller;
use crate::api::problem::Problem;

/// Which part of which history.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The channel.
    channel: String,
    /// With `offset`: only what was published after this place, in reverse only what was published before it.
    epoch: Option<String>,
    /// See `epoch`.
    offset: Option<u64>,
    /// At most so many: 100 if nothing is said, at most 1,000; in lines everything.
    limit: Option<usize>,
    /// The latest first.
    reverse: Option<bool>,
}

/// A publication that is kept.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Publication")]
pub(super) struct Publication {
    /// Its place in the epoch: 1, 2, 3.
    offset: u64,
    /// What was published.
    #[schemars(with = "serde_json::Value")]
    data: RawJson,
    /// When, in milliseconds since 1970.
    at: u64,
}

/// What is to be said of a history.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HistoryEnd")]
pub(super) struct End {
    /// The channel's place when it was read.
    position: Place,
    /// Between the place that was asked for and the first of these, something is missing.
    gap: bool,
    /// There is more than the limit let through.
    more: bool,
}

pub(super) async fn history(caller: Caller, asked: Asked) -> Result<Listing<Publication, End>, Problem> {
    let since = match (asked.epoch, asked.offset) {
        (Some(epoch), Some(offset)) => {
            let place = Epoch::new(epoch).and_then(|epoch| Position::new(epoch, offset));
            Some(place.map_err(|error| Problem::bad_request(error.to_string()))?)
        }
        (None, None) => None,
        _ => return Err(Problem::bad_request("a place has both, `epoch` and `offset`")),
    };
    let limit = limit(asked.limit, caller.in_lines);
    let query = HistoryQuery {
        since,
        limit: (limit < usize::MAX).then_some(limit),
        reverse: asked.reverse.unwrap_or_default(),
    };
    let page = caller.server().history(&asked.channel, query).await?;
    let publication = |kept: Kept| Publication { offset: kept.offset, data: kept.message, at: kept.at.0 };
    let end = End { position: page.position.into(), gap: page.gap, more: page.more };
    Ok(Listing::of(page.publications.into_iter().map(publication).collect(), end))
}
