//! `_publish`: `{"rpc":"_publish","req":{"channel":C,"data":ANY,"key":K},"uuid":U}`.
//!
//! The subscribers get `{"channel":C,"message":ANY}`, encoded once however many there are, and on a channel with
//! history `{"channel":C,"message":ANY,"offset":N}`. The publisher gets one answer: `"success"`, or, if it said
//! hello, where the publication stands and whether it was a duplicate.

use std::borrow::Cow;

use crate::answer::{Answer, named, write_string};
use crate::channel::Channel;
use crate::envelope::string;
use crate::framing::Framed;
use crate::json::slice::RawSlice;
use crate::message::MAX_KEY_BYTES;
use crate::position::Position;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_publish";

/// What a client wants to publish.
#[derive(Debug, Clone)]
pub struct Publish<'a> {
    /// Where.
    pub channel: Channel,
    /// What; JSON `null` when there was nothing.
    pub data: RawSlice<'a>,
    /// The sender's name for it, 1 to [`MAX_KEY_BYTES`] bytes, which makes it safe to send it again.
    pub key: Option<Cow<'a, str>>,
}

/// Reads the request.
pub(crate) fn request(req: Option<RawSlice<'_>>) -> Result<Publish<'_>, RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        channel: Cow<'a, str>,
        #[serde(borrow)]
        data: Option<RawSlice<'a>>,
        #[serde(borrow)]
        key: Option<RawSlice<'a>>,
    }

    let Request { channel, data, key } = req
        .and_then(|req| req.parse().ok())
        .ok_or_else(|| RpcError::bad_request("req: an object with the fields channel, a text, and data"))?;
    let channel = super::channel(&channel)?;
    Ok(Publish { channel, data: data.unwrap_or(RawSlice::NULL), key: key.map(read_key).transpose()? })
}

fn read_key(key: RawSlice<'_>) -> Result<Cow<'_, str>, RpcError> {
    string(key)
        .filter(|key| (1..=MAX_KEY_BYTES).contains(&key.len()))
        .ok_or_else(|| RpcError::bad_request("key: a text of 1 to 128 bytes"))
}

impl Answer {
    /// The message was accepted. `duplicate`: it had been accepted before, under the same key.
    pub fn published(mut self, position: Option<&Position>, duplicate: bool) -> Framed {
        if !self.said_hello() || (position.is_none() && !duplicate) {
            return self.success();
        }
        let mut resp = vec![b'{'];
        if let Some(position) = position {
            super::push_position(&mut resp, position);
        }
        if duplicate {
            resp.extend_from_slice(if position.is_some() {
                b",\"duplicate\":true"
            } else {
                b"\"duplicate\":true"
            });
        }
        resp.push(b'}');
        self.field(named!("resp"), &resp);
        self.finish()
    }
}

/// Encodes the beginning of every publication on a channel; the message and [`push_publication_end`] follow.
pub fn publication_head(channel: &Channel) -> Vec<u8> {
    let mut out = Vec::with_capacity(channel.as_str().len() + 24);
    out.extend_from_slice(b"{\"channel\":");
    write_channel(&mut out, channel);
    out.extend_from_slice(b",\"message\":");
    out
}

/// Encodes what stands behind a publication's message.
pub fn push_publication_end(out: &mut Vec<u8>, offset: Option<u64>) {
    if let Some(offset) = offset {
        out.extend_from_slice(b",\"offset\":");
        super::push_number(out, offset);
    }
    out.push(b'}');
}

/// Encodes a publication for its subscribers, on a channel with history with its offset.
pub fn publication(channel: &Channel, message: &RawJson, offset: Option<u64>) -> Vec<u8> {
    let mut out = publication_head(channel);
    out.extend_from_slice(message.as_bytes());
    push_publication_end(&mut out, offset);
    out
}

pub(super) fn write_channel(out: &mut Vec<u8>, channel: &Channel) {
    write_string(out, channel.as_str());
}

pub(super) fn internal_channel(command: &str, channel: &Channel) -> Vec<u8> {
    let mut name = Vec::new();
    write_channel(&mut name, channel);
    super::internal(command, &[b"{\"channel\":", &name, b"}"])
}
