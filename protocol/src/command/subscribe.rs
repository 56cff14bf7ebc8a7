//! `_subscribe`: `{"rpc":"_subscribe","req":{"channel":C},"uuid":U}`.
//!
//! Answered by an internal frame only. A second answer for the same `uuid` would make the original
//! browser client throw.

use crate::answer::{Answer, named};
use crate::channel::Channel;
use crate::json::slice::RawSlice;
use crate::rpc_error::RpcError;

/// The verb.
pub const NAME: &str = "_subscribe";

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
    Channel::new(&channel).map_err(|invalid| RpcError::bad_request(invalid.to_string()))
}

impl Answer {
    /// The socket now follows `channel`.
    pub fn subscribed(mut self, channel: &Channel) -> Vec<u8> {
        let mut name = Vec::new();
        super::publish::write_channel(&mut name, channel);
        let req = [b"{\"channel\":", &name[..], b"}"].concat();
        self.field(named!("req"), &req);
        self.field(named!("channel"), &name);
        super::internal("subscribe", &[&self.finish()])
    }
}

/// Tells a client that the server subscribed its socket to `channel`.
pub fn subscribed_by_server(channel: &Channel) -> Vec<u8> {
    super::publish::internal_channel("subscribe", channel)
}
