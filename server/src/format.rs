//! The wire formats: how one message stands on a transport.
//!
//! In: a message's UTF-8. Out: the bytes that go out, headers included, the same for every socket of the
//! format.

use bytes::Bytes;
use tokensocket_protocol::sockjs;

use crate::transport::websocket::frame;

/// How a transport frames a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A WebSocket text frame.
    Raw,
    /// A SockJS array of one message, in a WebSocket text frame.
    SockJs,
}

impl Format {
    /// Every format.
    pub(crate) const ALL: [Self; 2] = [Self::Raw, Self::SockJs];

    /// Appends one message.
    pub(crate) fn push(self, out: &mut Vec<u8>, message: &[u8]) {
        match self {
            Self::Raw => {
                out.reserve(message.len() + frame::MAX_HEADER);
                frame::push_header(out, frame::TEXT, message.len());
                out.extend_from_slice(message);
            }
            Self::SockJs => {
                // Messages have some quotes, each of which becomes two bytes.
                let expected = message.len() + message.len() / 8 + 6;
                frame::push_with(out, frame::TEXT, expected, |out| sockjs::push_message_frame(out, message));
            }
        }
    }

    /// One message by itself.
    pub(crate) fn frame(self, message: &[u8]) -> Bytes {
        let mut out = Vec::new();
        self.push(&mut out, message);
        Bytes::from(out)
    }
}
