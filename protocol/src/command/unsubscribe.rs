//! `_unsubscribe`: `{"rpc":"_unsubscribe","req":{"channel":C},"uuid":U}`.
//!
//! The client gets an internal frame, as from the original servers, and one answer, `"success"`, which
//! those left out.

use crate::channel::Channel;

/// The verb.
pub const NAME: &str = "_unsubscribe";

/// Tells a client that its socket no longer follows `channel`.
pub fn unsubscribed(channel: &Channel) -> Vec<u8> {
    super::publish::internal_channel("unsubscribe", channel)
}
