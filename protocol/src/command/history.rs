//! `_history`: `{"rpc":"_history","req":{"channel":C,"since":{"epoch":E,"offset":N},"limit":N,"reverse":true},"uuid":U}`.
//!
//! Answered with what the channel kept after `since`, or from the beginning; in reverse, what it kept up to
//! `since`, the latest first:
//! `"resp":{"epoch":E,"offset":N,"publications":[{"offset":N,"message":ANY,"at":MS},…],"gap":true,"more":true}`.

use crate::answer::{Answer, named};
use crate::channel::Channel;
use crate::command::Past;
use crate::framing::Framed;
use crate::json::slice::RawSlice;
use crate::position::Position;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_history";

/// Which part of which channel's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The channel.
    pub channel: Channel,
    /// The place from which to read.
    pub since: Option<Position>,
    /// At most so many publications.
    pub limit: Option<usize>,
    /// The latest first.
    pub reverse: bool,
}

/// Reads the request.
pub(crate) fn request(req: Option<RawSlice<'_>>) -> Result<History, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        channel: std::borrow::Cow<'a, str>,
        since: Option<Position>,
        limit: Option<usize>,
        reverse: Option<bool>,
    }

    let Request { channel, since, limit, reverse } =
        req.and_then(|req| req.parse().ok()).ok_or_else(|| {
            RpcError::bad_request(
                "req: an object with the field channel, a text; since, a position; limit, a number; reverse",
            )
        })?;
    let channel = super::channel(&channel)?;
    Ok(History { channel, since, limit, reverse: reverse.unwrap_or(false) })
}

impl Answer {
    /// What the channel kept. `position` is where the channel stood when it was read. `gap`: something is
    /// missing since the place from which it was to be read. `more`: the limit left some out.
    pub fn history<'a>(
        mut self,
        position: &Position,
        publications: impl IntoIterator<Item = Past<'a>>,
        gap: bool,
        more: bool,
    ) -> Framed {
        let mut page = vec![b'{'];
        super::push_position(&mut page, position);
        page.extend_from_slice(b",\"publications\":");
        super::push_past(&mut page, publications);
        if gap {
            page.extend_from_slice(b",\"gap\":true");
        }
        if more {
            page.extend_from_slice(b",\"more\":true");
        }
        page.push(b'}');
        self.field(named!("resp"), &page);
        self.finish()
    }
}
