//! `_presence`: `{"rpc":"_presence","req":{"channel":C,"limit":N,"after":CLIENT},"uuid":U}`.
//!
//! Answered with who is on the channel, oldest first:
//! `"resp":{"clients":N,"users":N,"members":[{"client":ID,"user":USER,"info":ANY,"since":MS},…],"more":true}`.
//! Who comes and goes is told to those who follow with `"presence":true`:
//! `{"internal":true,"command":"join","data":{"channel":C,"member":{…}}}`, or `leave`.

use std::borrow::Cow;

use crate::answer::{Answer, named, write_string};
use crate::channel::Channel;
use crate::framing::Framed;
use crate::json::slice::RawSlice;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_presence";

/// Who is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence<'a> {
    /// The channel.
    pub channel: Channel,
    /// At most so many members; 0 asks for the counts alone.
    pub limit: Option<usize>,
    /// Only members after this client.
    pub after: Option<Cow<'a, str>>,
}

/// Reads the request.
pub(crate) fn request(req: Option<RawSlice<'_>>) -> Result<Presence<'_>, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        channel: Cow<'a, str>,
        limit: Option<usize>,
        #[serde(borrow)]
        after: Option<Cow<'a, str>>,
    }

    let Request { channel, limit, after } = req.and_then(|req| req.parse().ok()).ok_or_else(|| {
        RpcError::bad_request(
            "req: an object with the field channel, a text; limit, a number; after, a client's id",
        )
    })?;
    Ok(Presence { channel: super::channel(&channel)?, limit, after })
}

/// Somebody on a channel.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The connection's id.
    pub client: &'a str,
    /// The identity's user id, if it has one.
    pub user: Option<&'a str>,
    /// The identity's public part.
    pub info: &'a RawJson,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

impl Member<'_> {
    fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"client\":");
        write_string(out, self.client);
        if let Some(user) = self.user {
            out.extend_from_slice(b",\"user\":");
            write_string(out, user);
        }
        out.extend_from_slice(b",\"info\":");
        out.extend_from_slice(self.info.as_bytes());
        out.extend_from_slice(b",\"since\":");
        super::push_number(out, self.since);
        out.push(b'}');
    }
}

impl Answer {
    /// Who is on the channel, and how many there are by connections and by users. `more`: the limit left some
    /// out.
    pub fn presence<'a>(
        mut self,
        clients: usize,
        users: usize,
        members: impl IntoIterator<Item = Member<'a>>,
        more: bool,
    ) -> Framed {
        let mut resp = b"{\"clients\":".to_vec();
        super::push_number(&mut resp, clients as u64);
        resp.extend_from_slice(b",\"users\":");
        super::push_number(&mut resp, users as u64);
        resp.extend_from_slice(b",\"members\":");
        super::push_array(&mut resp, members, |out, member| member.push(out));
        if more {
            resp.extend_from_slice(b",\"more\":true");
        }
        resp.push(b'}');
        self.field(named!("resp"), &resp);
        self.finish()
    }
}

/// Tells a follower that somebody came.
pub fn joined(channel: &Channel, member: Member<'_>) -> Vec<u8> {
    announce("join", channel, member)
}

/// Tells a follower that somebody is gone.
pub fn left(channel: &Channel, member: Member<'_>) -> Vec<u8> {
    announce("leave", channel, member)
}

fn announce(command: &str, channel: &Channel, member: Member<'_>) -> Vec<u8> {
    let mut data = b"{\"channel\":".to_vec();
    write_string(&mut data, channel.as_str());
    data.extend_from_slice(b",\"member\":");
    member.push(&mut data);
    data.push(b'}');
    super::internal(command, &[&data])
}
