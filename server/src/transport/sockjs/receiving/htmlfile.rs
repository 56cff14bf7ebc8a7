//! `htmlfile`: a page that never ends, in a hidden frame (SockJS protocol 0.3.3, `HtmlFile`).

use bytes::Bytes;
use tokensocket_protocol::sockjs::{Callback, receiving};

use super::Receiving;

/// The receiver of a stream of scripts.
pub(crate) struct HtmlFile(pub(crate) Callback);

impl Receiving for HtmlFile {
    fn content_type(&self) -> &'static str {
        "text/html; charset=UTF-8"
    }

    fn ends_after_one(&self) -> bool {
        false
    }

    fn prelude(&self) -> Option<Bytes> {
        Some(receiving::page(&self.0).into())
    }

    fn frame(&self, frame: Vec<u8>) -> Bytes {
        let mut out = Vec::with_capacity(frame.len() + frame.len() / 4 + 64);
        receiving::script(&mut out, &frame);
        out.into()
    }
}
