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

    fn push(&self, out: &mut Vec<u8>, frame: &[u8]) {
        receiving::script(out, frame);
    }
}
