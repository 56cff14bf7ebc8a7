//! `xhr`: one frame for each request (SockJS protocol 0.3.3, "XHR Polling").

use bytes::Bytes;
use tokensocket_protocol::sockjs::receiving;

use super::Receiving;

/// The receiver of a poll.
pub(crate) struct Xhr;

impl Receiving for Xhr {
    fn content_type(&self) -> &'static str {
        "application/javascript; charset=UTF-8"
    }

    fn ends_after_one(&self) -> bool {
        true
    }

    fn prelude(&self) -> Option<Bytes> {
        None
    }

    fn frame(&self, frame: Vec<u8>) -> Bytes {
        let mut out = Vec::new();
        receiving::xhr(&mut out, &frame);
        out.into()
    }
}
