//! The frames of the WebSocket before RFC 6455: draft-ietf-hybi-thewebsocketprotocol-00, called "hixie-76".
//!
//! In: received bytes. Out: texts where they lie; and the few frames that a server writes. There are neither
//! pings nor codes, and a text has no length: it ends with a byte that UTF-8 does not have.

use tokensocket_protocol::Close;

use crate::transport::received::Received;

/// What a text begins with.
const TEXT: u8 = 0x00;
/// What a text ends with.
const END: u8 = 0xff;
/// The frame of either side that closes.
pub(crate) const CLOSING: &[u8] = &[0xff, 0x00];

/// Appends a text that `write` appends.
pub(crate) fn push_with(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(TEXT);
    write(out);
    out.push(END);
}

/// A text.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_with(&mut out, |out| out.extend_from_slice(text.as_bytes()));
    out
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A text, not known to be text yet.
    Text(&'a mut [u8]),
    Closing,
}

/// What is known of one connection's frames.
pub(crate) struct Decoder {
    max_frame_bytes: usize,
    /// How much of a frame that has not come whole is known to be without its end.
    searched: usize,
}

impl Decoder {
    pub(crate) fn new(max_frame_bytes: usize) -> Self {
        Self { max_frame_bytes, searched: 0 }
    }

    /// The next frame; `None` when there is no whole one. An error is the close that the client deserves.
    pub(crate) fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Frame<'a>>, Close> {
        match *received.rest() {
            [] | [END] => return Ok(None),
            [END, 0, ..] => {
                received.take(CLOSING.len());
                return Ok(Some(Frame::Closing));
            }
            [TEXT, ..] => {}
            // These have a length, and what they hold is not text.
            [0x80..=0xff, ..] => return Err(Close::UNSUPPORTED),
            _ => return Err(Close::PROTOCOL_ERROR),
        }
        let from = self.searched.max(1);
        let payload = received.rest().get(from..).unwrap_or_default();
        let found = payload.iter().position(|byte| *byte == END).map(|at| from + at);
        let length = found.unwrap_or(received.rest().len());
        if length - 1 > self.max_frame_bytes {
            return Err(Close::TOO_LARGE);
        }
        let Some(end) = found else {
            self.searched = length;
            return Ok(None);
        };
        self.searched = 0;
        Ok(Some(Frame::Text(&mut received.take(end + 1)[1..end])))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::transport::received::Leftover;

    /// Decodes `bytes` as they come in pieces of `step`.
    fn decode(bytes: &[u8], step: usize) -> Result<Vec<String>, Close> {
        let mut decoder = Decoder::new(10);
        let mut leftover = Leftover::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut found = Vec::new();
        for mut piece in bytes.chunks(step) {
            let Poll::Ready(Ok(Some(mut received))) = leftover.poll_receive(&mut piece, &mut cx) else {
                break;
            };
            while let Some(frame) = decoder.decode(&mut received)? {
                found.push(match frame {
                    Frame::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    Frame::Closing => "closing".to_owned(),
                });
            }
            leftover.put_back(received, false);
        }
        Ok(found)
    }

    #[test]
    fn decodes_frames_however_they_are_cut() {
        let bytes = [&text("one")[..], &text(""), &text("zwölf"), CLOSING].concat();
        for step in 1..=bytes.len() {
            let expected = ["one", "", "zwölf", "closing"].map(str::to_owned).to_vec();
            assert_eq!(decode(&bytes, step), Ok(expected), "in steps of {step}");
        }
    }

    #[test]
    fn gives_each_broken_rule_its_close() {
        for (bytes, close) in [
            (&b"\x01x\xff"[..], Close::PROTOCOL_ERROR),
            (b"\x80\x01x", Close::UNSUPPORTED),
            (b"\xff\x01x", Close::UNSUPPORTED),
            (b"\0elevenbytes\xff", Close::TOO_LARGE),
            (b"\0elevenbytes", Close::TOO_LARGE),
        ] {
            for step in 1..=bytes.len() {
                assert_eq!(decode(bytes, step), Err(close.clone()), "{bytes:?} in steps of {step}");
            }
        }
        assert_eq!(decode(b"\0ten bytes.\xff", 3), Ok(vec!["ten bytes.".to_owned()]));
    }
}
