//! `eventsource`: server-sent events (SockJS protocol 0.3.3, `EventSource`).

use bytes::Bytes;
use tokensocket_protocol::sockjs::receiving;

use super::Receiving;

/// The receiver of a stream of events.
pub(crate) struct EventSource;

impl Receiving for EventSource {
    fn content_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn ends_after_one(&self) -> bool {
        false
    }

    fn prelude(&self) -> Option<Bytes> {
        Some(Bytes::from_static(receiving::EVENT_PRELUDE.as_bytes()))
    }

    fn frame(&self, frame: Vec<u8>) -> Bytes {
        let mut out = Vec::with_capacity(frame.len() + frame.len() / 4 + 64);
        receiving::event(&mut out, &frame);
        out.into()
    }
}
