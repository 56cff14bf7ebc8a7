//! The frames a server writes (RFC 6455, section 5.2): unmasked, never fragmented.

use tokensocket_protocol::Close;

/// A whole text message.
pub(crate) const TEXT: u8 = 0x81;
/// A whole message of bytes.
#[cfg(feature = "socketio")]
pub(crate) const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

/// The longest header of a frame without a mask, in bytes.
pub(crate) const MAX_HEADER: usize = 10;

/// Appends the header of a frame with a payload of `length` bytes.
pub(crate) fn push_header(out: &mut Vec<u8>, opcode: u8, length: usize) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 126 => out.extend_from_slice(&[opcode, length]),
        (_, Ok(length)) => {
            let [high, low] = length.to_be_bytes();
            out.extend_from_slice(&[opcode, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[opcode, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// How long the header is of a frame without a mask, in bytes.
fn header_size(length: usize) -> usize {
    match length {
        0..126 => 2,
        126..65_536 => 4,
        _ => MAX_HEADER,
    }
}

/// Appends a frame whose payload `write` appends, some `expected` bytes.
pub(crate) fn push_with(out: &mut Vec<u8>, opcode: u8, expected: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let begun = Begun::new(out, expected);
    write(out);
    begun.finish(out, opcode);
}

/// A frame whose payload is still being appended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    start: usize,
    room: usize,
}

impl Begun {
    /// Leaves room for the header of a payload of some `expected` bytes.
    pub(crate) fn new(out: &mut Vec<u8>, expected: usize) -> Self {
        let (start, room) = (out.len(), header_size(expected));
        out.extend_from_slice(&[0; MAX_HEADER][..room]);
        Self { start, room }
    }

    /// How long the payload is so far, in bytes.
    pub(crate) fn length(&self, out: &[u8]) -> usize {
        out.len() - self.start - self.room
    }

    /// Writes the header. Where it is of another size than expected, the payload is moved.
    pub(crate) fn finish(self, out: &mut Vec<u8>, opcode: u8) {
        let Self { start, room } = self;
        let length = self.length(out);
        let size = header_size(length);
        if size != room {
            out.splice(start..start + room, [0; MAX_HEADER].into_iter().take(size));
        }
        match &mut out[start..start + size] {
            [first, second] => [*first, *second] = [opcode, u8::try_from(length).unwrap_or(125)],
            [first, second, high, low] => {
                [*first, *second] = [opcode, 126];
                [*high, *low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
            }
            header => {
                header[..2].copy_from_slice(&[opcode, 127]);
                header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            }
        }
    }
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + MAX_HEADER);
    push_header(&mut out, opcode, payload.len());
    out.extend_from_slice(payload);
    out
}

/// A text message.
pub(crate) fn text(message: &[u8]) -> Vec<u8> {
    frame(TEXT, message)
}

/// A ping without a payload.
pub(crate) fn ping() -> Vec<u8> {
    frame(PING, b"")
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

/// A close with its code and reason.
pub(crate) fn close(close: &Close) -> Vec<u8> {
    let mut payload = close.code.to_be_bytes().to_vec();
    payload.extend_from_slice(close.reason.as_bytes());
    frame(CLOSE, &payload)
}

/// A close that says nothing, the answer to one that says nothing.
pub(crate) fn close_without_code() -> Vec<u8> {
    frame(CLOSE, b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_header_that_the_payload_needs_whatever_was_expected() {
        for expected in [0, 126, 70_000] {
            for length in [0, 125, 126, 65_535, 65_536] {
                let payload = vec![b'x'; length];
                let mut out = b"before".to_vec();
                push_with(&mut out, TEXT, expected, |out| out.extend_from_slice(&payload));
                assert_eq!(out, [b"before", &text(&payload)[..]].concat());
            }
        }
    }

    #[test]
    fn writes_the_three_lengths() {
        assert_eq!(text(b"a"), [0x81, 1, b'a']);
        assert_eq!(text(&[b'a'; 126])[..4], [0x81, 126, 0, 126]);
        assert_eq!(text(&vec![b'a'; 65_536])[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(close(&Close::new(1000, "x")), [0x88, 3, 3, 232, b'x']);
    }
}
