//! `jsonp`: a script for each frame (SockJS protocol 0.3.3, `JsonPolling`).

use bytes::Bytes;
use tokensocket_protocol::sockjs::{Callback, receiving};

use super::Receiving;

/// The receiver of a script.
pub(crate) struct Jsonp(pub(crate) Callback);

impl Receiving for Jsonp {
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
        let mut out = Vec::with_capacity(frame.len() + frame.len() / 4 + 64);
        receiving::call(&mut out, &self.0, &frame);
        out.into()
    }
}
