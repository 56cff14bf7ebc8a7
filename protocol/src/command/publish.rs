//! `_publish`: `{"rpc":"_publish","req":{"channel":C,"data":ANY},"uuid":U}`.
//!
//! The subscribers get `{"channel":C,"message":ANY}`, encoded once however many there are; the publisher
//! gets one answer, `"success"`.

use crate::answer::write_string;
use crate::channel::Channel;
use crate::json::slice::RawSlice;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_publish";

/// Reads `{"channel":C,"data":ANY}`; no data is `null`.
pub(crate) fn request(req: Option<RawSlice<'_>>) -> Result<(Channel, RawSlice<'_>), RpcError> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        channel: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        data: Option<RawSlice<'a>>,
    }

    let Request { channel, data } = req
        .and_then(|req| req.parse().ok())
        .ok_or_else(|| RpcError::bad_request("req: an object with the fields channel, a text, and data"))?;
    let channel = Channel::new(&channel).map_err(|invalid| RpcError::bad_request(invalid.to_string()))?;
    Ok((channel, data.unwrap_or(RawSlice::NULL)))
}

/// Encodes the beginning of every publication on a channel; the message and a closing brace follow.
pub fn publication_head(channel: &Channel) -> Vec<u8> {
    let mut out = Vec::with_capacity(channel.as_str().len() + 24);
    out.extend_from_slice(b"{\"channel\":");
    write_channel(&mut out, channel);
    out.extend_from_slice(b",\"message\":");
    out
}

/// Encodes a publication for its subscribers.
pub fn publication(channel: &Channel, message: &RawJson) -> Vec<u8> {
    let mut out = publication_head(channel);
    out.extend_from_slice(message.as_bytes());
    out.push(b'}');
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
