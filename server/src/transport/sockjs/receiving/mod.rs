//! How each kind of receiver wants its frames, one kind per file.
//!
//! In: SockJS frames. Out: the bytes of a response. The framing itself is pure and stands in
//! `tokensocket_protocol::sockjs::receiving`.

pub(crate) mod eventsource;
pub(crate) mod htmlfile;
pub(crate) mod jsonp;
pub(crate) mod xhr;
pub(crate) mod xhr_streaming;

use bytes::Bytes;

/// A kind of receiver.
pub(crate) trait Receiving: Send {
    /// The type of its response.
    fn content_type(&self) -> &'static str;

    /// Whether its response ends after one frame.
    fn ends_after_one(&self) -> bool;

    /// What its response begins with, so that browsers and proxies let through what follows.
    fn prelude(&self) -> Option<Bytes>;

    /// A frame as this kind wants it.
    fn frame(&self, frame: Vec<u8>) -> Bytes;
}
