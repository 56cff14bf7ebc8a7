//! `_subscribe`: `{"rpc":"_subscribe","req":{"channel":C,"recover":{"epoch":E,"offset":N},"presence":true},"uuid":U}`.
//!
//! Answered by an internal frame only. A second answer for the same `uuid` would make the original
//! browser client throw. On a channel with history the frame says where the subscriber stands once it has taken
//! the publications that the frame brings.

use crate::answer::{Answer, named};
use crate::channel::Channel;
use crate::command::Past;
use crate::framing::Framed;
use crate::json::slice::RawSlice;
use crate::position::Position;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_subscribe";

/// What a client wants to follow, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The channel, or a pattern.
    pub channel: Channel,
    /// The place from which it wants to go on.
    pub recover: Option<Position>,
    /// It wants to hear who comes and goes.
    pub presence: bool,
}

/// Reads the request.
pub(crate) fn request(req: Option<RawSlice<'_>>) -> Result<Subscribe, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        channel: std::borrow::Cow<'a, str>,
        recover: Option<Position>,
        presence: Option<bool>,
    }

    let Request { channel, recover, presence } = req.and_then(|req| req.parse().ok()).ok_or_else(|| {
        RpcError::bad_request("req: an object with the field channel, a text; recover, a position; presence")
    })?;
    Ok(Subscribe { channel: super::channel(&channel)?, recover, presence: presence.unwrap_or(false) })
}

/// Reads `{"channel":C}`.
pub(crate) fn channel(req: Option<RawSlice<'_>>) -> Result<Channel, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        channel: std::borrow::Cow<'a, str>,
    }

    let Request { channel } = req
        .and_then(|req| req.parse().ok())
        .ok_or_else(|| RpcError::bad_request("req: an object with the field channel, a text"))?;
    super::channel(&channel)
}

/// What a new subscriber is told beside the channel's name. On a channel without history: nothing.
#[derive(Debug, Clone, Default)]
pub struct Joined<'a> {
    /// Where it stands once it has taken the publications.
    pub position: Option<&'a Position>,
    /// Whether it got everything since the place from which it wanted to go on.
    pub recovered: Option<bool>,
    /// What was published since, when it was recovered.
    pub publications: Vec<Past<'a>>,
    /// The name was taken as a pattern.
    pub pattern: bool,
}

impl Joined<'_> {
    /// Appends the fields, each with a comma before it.
    fn push(&self, out: &mut Vec<u8>) {
        if let Some(position) = self.position {
            out.push(b',');
            super::push_position(out, position);
        }
        if let Some(recovered) = self.recovered {
            out.extend_from_slice(b",\"recovered\":");
            out.extend_from_slice(if recovered { b"true" } else { b"false" });
            if recovered {
                out.extend_from_slice(b",\"publications\":");
                super::push_past(out, self.publications.iter().copied());
            }
        }
        if self.pattern {
            out.extend_from_slice(b",\"pattern\":true");
        }
    }
}

impl Answer {
    /// The socket now follows `channel`.
    pub fn subscribed(mut self, channel: &Channel, joined: &Joined<'_>) -> Framed {
        let mut name = Vec::new();
        super::publish::write_channel(&mut name, channel);
        let req = [b"{\"channel\":", &name[..], b"}"].concat();
        self.field(named!("req"), &req);
        self.field(named!("channel"), &name);
        self.push_with(|out| joined.push(out));
        self.finish().into_internal("subscribe")
    }
}

/// Tells a client that the server subscribed its socket to `channel`; or that a channel that it follows began
/// another epoch, and so was not `recovered`.
pub fn subscribed_by_server(channel: &Channel, joined: &Joined<'_>) -> Vec<u8> {
    let mut data = b"{\"channel\":".to_vec();
    super::publish::write_channel(&mut data, channel);
    joined.push(&mut data);
    data.push(b'}');
    super::internal("subscribe", &[&data])
}
