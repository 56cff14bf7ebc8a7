//! What event clients are told: `{"event": …}`.

use tokensocket_protocol::event::{with_args, with_data};
use tokensocket_protocol::{Channel, RawJson, ResyncReason};

/// One message on a channel.
pub(super) fn publication(channel: &Channel, message: &RawJson) -> Vec<u8> {
    with_data(channel.as_str(), message)
}

/// An event with its arguments, a JSON array.
pub(super) fn event(name: &str, args: &RawJson) -> Vec<u8> {
    with_args(name, args)
}

/// The device has to fetch everything, or everything of one event.
pub(super) fn resync(event: Option<&str>, reason: ResyncReason) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Data<'a> {
        event: Option<&'a str>,
        reason: &'a str,
    }

    // Text is always JSON.
    let data = RawJson::new(&Data { event, reason: reason.as_str() }).unwrap_or_default();
    with_data("_resync", &data)
}
