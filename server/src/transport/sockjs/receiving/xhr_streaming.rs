//! `xhr_streaming`: one request for many frames (SockJS protocol 0.3.3, "XHR Streaming").

use bytes::Bytes;
use tokensocket_protocol::sockjs::receiving;

use super::Receiving;

/// The receiver of a stream of lines.
pub(crate) struct XhrStreaming;

impl Receiving for XhrStreaming {
    fn content_type(&self) -> &'static str {
        "application/javascript; charset=UTF-8"
    }

    fn ends_after_one(&self) -> bool {
        false
    }

    fn prelude(&self) -> Option<Bytes> {
        Some(receiving::xhr_prelude().into())
    }

    fn frame(&self, frame: Vec<u8>) -> Bytes {
        let mut out = Vec::new();
        receiving::xhr(&mut out, &frame);
        out.into()
    }
}
