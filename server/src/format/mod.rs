//! The wire formats: how one message stands on a transport.
//!
//! In: a message's UTF-8, as the format's [`Dialect`] has it. Out: the bytes that go out, headers included, the same
//! for every socket of the format.

pub(crate) mod dialect;
#[cfg_attr(
    not(any(feature = "socketio", feature = "events")),
    allow(dead_code, reason = "some dialects need it")
)]
pub(crate) mod record;

use bytes::Bytes;
use tokensocket_protocol::{Framed, Framing, sockjs};

use crate::transport::websocket::{frame, hixie};
use dialect::Dialect;
use record::Note;

/// Beyond how many bytes no further message is gathered into a frame.
const LARGE_FRAME: usize = 16 * 1024;

/// How a transport frames a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A WebSocket text frame.
    Raw,
    /// A SockJS array of one message, in a WebSocket text frame.
    SockJs,
    /// The same in a text of the WebSocket before RFC 6455.
    SockJsHixie,
    /// `"…",`: a message that becomes part of a SockJS array when a request comes to fetch it.
    Element,
    /// A [`record`] of a Socket.IO packet without its namespace: the connection may carry several, and change its
    /// transport before it writes.
    #[cfg(feature = "socketio")]
    SocketIo,
    /// A [`record`] of an event client's message.
    #[cfg(feature = "events")]
    Event,
}

impl Format {
    /// Every format.
    pub(crate) const ALL: &[Self] = &[
        Self::Raw,
        Self::SockJs,
        Self::SockJsHixie,
        Self::Element,
        #[cfg(feature = "socketio")]
        Self::SocketIo,
        #[cfg(feature = "events")]
        Self::Event,
    ];
    /// How many there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// What is spoken in it.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Raw | Self::SockJs | Self::SockJsHixie | Self::Element => Dialect::TokenSocket,
            #[cfg(feature = "socketio")]
            Self::SocketIo => Dialect::SocketIo,
            #[cfg(feature = "events")]
            Self::Event => Dialect::Event,
        }
    }

    /// What a message is written in at best, to stand in it with the least work.
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::SockJs | Self::SockJsHixie | Self::Element => Framing::SockJs,
            Self::Raw => Framing::Raw,
            #[cfg(feature = "socketio")]
            Self::SocketIo => Framing::Raw,
            #[cfg(feature = "events")]
            Self::Event => Framing::Raw,
        }
    }

    /// Appends one message.
    pub(crate) fn push(self, out: &mut Vec<u8>, message: &[u8]) {
        self.push_in(Framing::Raw, out, message);
    }

    /// The same for a message in a framing: raw, or as [`Format::framing`] says.
    fn push_in(self, framing: Framing, out: &mut Vec<u8>, message: &[u8]) {
        debug_assert!(framing == Framing::Raw || framing == self.framing());
        match self {
            Self::Raw => {
                out.reserve(message.len() + frame::MAX_HEADER);
                frame::push_header(out, frame::TEXT, message.len());
                out.extend_from_slice(message);
            }
            Self::SockJs => {
                // Messages have some quotes, each of which becomes two bytes.
                let expected = message.len() + message.len() / 8 + 6;
                frame::push_with(out, frame::TEXT, expected, |out| {
                    sockjs::push_message_frame(out, framing, message);
                });
            }
            Self::SockJsHixie => {
                hixie::push_with(out, |out| sockjs::push_message_frame(out, framing, message));
            }
            Self::Element => sockjs::push_element(out, framing, message),
            #[cfg(feature = "socketio")]
            Self::SocketIo => record::push(out, message, Note::None),
            #[cfg(feature = "events")]
            Self::Event => record::push(out, message, Note::None),
        }
    }

    /// One message by itself.
    pub(crate) fn frame(self, message: &[u8]) -> Bytes {
        let mut out = Vec::new();
        self.push(&mut out, message);
        Bytes::from(out)
    }

    /// The same for a message in a framing: raw, or as [`Format::framing`] says.
    pub(crate) fn frame_in(self, message: &Framed) -> Bytes {
        let mut out = Vec::new();
        self.push_in(message.framing(), &mut out, message.as_bytes());
        Bytes::from(out)
    }

    /// The same with a note, in formats that keep one.
    pub(crate) fn frame_noted(self, message: &[u8], note: Note) -> Bytes {
        if self.dialect().is_native() {
            return self.frame(message);
        }
        let mut out = Vec::new();
        record::push(&mut out, message, note);
        Bytes::from(out)
    }
}

/// The messages of one burst to one socket, in as few frames as the format allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gathering {
    format: Format,
    /// A frame that takes more messages.
    begun: Option<frame::Begun>,
}

impl Gathering {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, begun: None }
    }

    /// Appends one message. What is in `out` is not whole before [`Gathering::finish`].
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, message: &[u8]) {
        self.push_in(Framing::Raw, out, message);
    }

    /// The same for a message in a framing: raw, or as [`Format::framing`] says.
    pub(crate) fn push_in(&mut self, framing: Framing, out: &mut Vec<u8>, message: &[u8]) {
        if self.format != Format::SockJs {
            return self.format.push_in(framing, out, message);
        }
        let begun = *self.begun.get_or_insert_with(|| {
            let begun = frame::Begun::new(out, LARGE_FRAME);
            out.extend_from_slice(b"a[");
            begun
        });
        sockjs::push_element(out, framing, message);
        if begun.length(out) >= LARGE_FRAME {
            self.finish(out);
        }
    }

    /// Ends the frame that takes more messages.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(begun) = self.begun.take()
            && let Some(comma) = out.last_mut()
        {
            *comma = b']';
            begun.finish(out, frame::TEXT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(format: Format, messages: &[&str]) -> Vec<u8> {
        let (mut gathering, mut out) = (Gathering::new(format), Vec::new());
        for message in messages {
            gathering.push(&mut out, message.as_bytes());
        }
        gathering.finish(&mut out);
        out
    }

    #[test]
    fn gathers_a_burst_into_one_sockjs_frame() {
        assert_eq!(gathered(Format::SockJs, &[]), b"");
        assert_eq!(gathered(Format::SockJs, &["\"a\""]), frame::text(br#"a["\"a\""]"#));
        assert_eq!(gathered(Format::SockJs, &["1", "2"]), frame::text(br#"a["1","2"]"#));
        assert_eq!(gathered(Format::Raw, &["1", "2"]), [frame::text(b"1"), frame::text(b"2")].concat());
        assert_eq!(gathered(Format::Element, &["1", "\"2"]), br#""1","\"2","#);
    }

    #[test]
    fn takes_messages_in_their_own_framing() {
        for &format in Format::ALL {
            let (mut raw, mut framed) = (Gathering::new(format), Gathering::new(format));
            let (mut from_raw, mut from_framed) = (Vec::new(), Vec::new());
            for (message, escaped) in [("{\"a\":1}", "{\\\"a\\\":1}"), ("[]", "[]")] {
                raw.push(&mut from_raw, message.as_bytes());
                let in_framing = if format.framing() == Framing::SockJs { escaped } else { message };
                framed.push_in(format.framing(), &mut from_framed, in_framing.as_bytes());
            }
            raw.finish(&mut from_raw);
            framed.finish(&mut from_framed);
            assert_eq!(from_raw, from_framed, "{format:?}");
        }
    }

    #[test]
    fn begins_another_frame_behind_a_large_one() {
        let large = "x".repeat(70_000);
        let first = frame::text(format!("a[\"1\",\"{large}\"]").as_bytes());
        assert_eq!(
            gathered(Format::SockJs, &["1", &large, "2"]),
            [first, frame::text(br#"a["2"]"#)].concat()
        );
    }
}
