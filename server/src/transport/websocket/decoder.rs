//! The frames a client sends (RFC 6455, section 5), decoded where they lie.
//!
//! In: received bytes. Out: messages and control frames that borrow from them. Only a message that comes
//! in fragments is put together in memory of its own, up to the limit.

use std::borrow::Cow;

use tokensocket_protocol::Close;

use crate::transport::received::Received;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Text(Payload<'a>),
    /// Only where the decoder takes them.
    Binary(Payload<'a>),
    Ping(&'a [u8]),
    /// A pong, or an empty binary message.
    Pong,
    /// A close, with the code and reason it gave.
    Close(Option<Close>),
}

/// A message; of text it is not known yet to be text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    /// In one frame, where it was received: behind the frame's header, which is so many bytes long.
    Whole(&'a mut [u8], usize),
    /// Put together from fragments.
    Fragments(Vec<u8>),
}

impl<'a> Payload<'a> {
    /// Checks that it is text.
    #[inline]
    pub(crate) fn into_text(self) -> Result<Cow<'a, str>, Close> {
        match self {
            Self::Whole(frame, header) => std::str::from_utf8(&frame[header..]).map(Cow::Borrowed).ok(),
            Self::Fragments(message) => String::from_utf8(message).map(Cow::Owned).ok(),
        }
        .ok_or(Close::INVALID_TEXT)
    }

    /// Its bytes.
    pub(crate) fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Whole(frame, header) => Cow::Borrowed(&frame[header..]),
            Self::Fragments(message) => Cow::Owned(message),
        }
    }
}

/// What is known of one connection's frames.
pub(crate) struct Decoder {
    max_message_bytes: usize,
    /// Messages of bytes are taken.
    takes_binary: bool,
    /// A message so far that comes in fragments.
    fragments: Option<Vec<u8>>,
    /// It is one of bytes.
    is_binary: bool,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    length: usize,
    size: usize,
}

impl Decoder {
    pub(crate) fn new(max_message_bytes: usize) -> Self {
        Self { max_message_bytes, takes_binary: false, fragments: None, is_binary: false }
    }

    /// The same for texts and bytes.
    #[cfg_attr(
        not(any(feature = "socketio", feature = "events")),
        allow(dead_code, reason = "only those take bytes")
    )]
    pub(crate) fn takes_binary(mut self) -> Self {
        self.takes_binary = true;
        self
    }

    /// The next frame; `None` when there is no whole one. An error is the close that the client deserves.
    pub(crate) fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Frame<'a>>, Close> {
        let header = loop {
            let Some(header) = self.header(received.rest())? else { return Ok(None) };
            if received.rest().len() < header.length.saturating_add(header.size) {
                return Ok(None);
            }
            if header.fin {
                break header;
            }
            self.is_binary |= header.opcode == 2;
            let fragment = &mut received.take(header.size + header.length)[header.size..];
            unmask(fragment, header.mask);
            self.fragments.get_or_insert_default().extend_from_slice(fragment);
        };
        let frame = received.take(header.size + header.length);
        self.frame(&header, frame).map(Some)
    }

    /// Checks as much of a frame as its header tells.
    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Close> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        // Reserved bits are for extensions, and none was agreed on; a client's frames are masked.
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Close::PROTOCOL_ERROR);
        }
        let (length, extended) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, rest) if rest.len() >= 8 => {
                (rest[..8].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)), 8)
            }
            (126 | 127, _) => return Ok(None),
            (length, _) => (u64::from(length), 0),
        };
        match opcode {
            0 if self.fragments.is_some() => {}
            1 if self.fragments.is_none() => {}
            2 if self.takes_binary && self.fragments.is_none() => {}
            // The original client sends empty ones now and then, and its servers took no notice of them.
            2 if fin && length == 0 => {}
            2 => return Err(Close::UNSUPPORTED),
            8..=10 if fin && length <= 125 => {}
            _ => return Err(Close::PROTOCOL_ERROR),
        }
        let before = if opcode == 0 { self.fragments.as_ref().map_or(0, Vec::len) } else { 0 };
        let length = usize::try_from(length).map_err(|_| Close::TOO_LARGE)?;
        if length.saturating_add(before) > self.max_message_bytes.max(125) {
            return Err(Close::TOO_LARGE);
        }
        let Some(&[a, b, c, d]) = rest.get(extended..extended + 4) else { return Ok(None) };
        Ok(Some(Header { fin, opcode, mask: [a, b, c, d], length, size: 6 + extended }))
    }

    fn frame<'a>(&mut self, header: &Header, frame: &'a mut [u8]) -> Result<Frame<'a>, Close> {
        let payload = &mut frame[header.size..];
        unmask(payload, header.mask);
        match header.opcode {
            0 => {
                let mut message = self.fragments.take().unwrap_or_default();
                message.extend_from_slice(payload);
                let message = Payload::Fragments(message);
                Ok(if std::mem::take(&mut self.is_binary) {
                    Frame::Binary(message)
                } else {
                    Frame::Text(message)
                })
            }
            2 if self.takes_binary => Ok(Frame::Binary(Payload::Whole(frame, header.size))),
            1 => Ok(Frame::Text(Payload::Whole(frame, header.size))),
            9 => Ok(Frame::Ping(&frame[header.size..])),
            2 | 10 => Ok(Frame::Pong),
            _ => closed(payload).map(Frame::Close),
        }
    }
}

/// Reads a close frame's payload (section 5.5.1; the codes: section 7.4).
fn closed(payload: &[u8]) -> Result<Option<Close>, Close> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() { Ok(None) } else { Err(Close::PROTOCOL_ERROR) };
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Close::PROTOCOL_ERROR);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Close::INVALID_TEXT)?;
    Ok(Some(Close::new(code, reason.to_owned())))
}

/// Removes a mask (section 5.3), in steps that the compiler makes of wide instructions.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
    let (chunks, rest) = payload.as_chunks_mut::<16>();
    for chunk in chunks {
        for (byte, mask) in chunk.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    // Each once at most. A copy of so few bytes would cost more than looking.
    let (chunks, rest) = rest.as_chunks_mut();
    if let [chunk] = chunks {
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    let (chunks, rest) = rest.as_chunks_mut();
    if let [chunk] = chunks {
        *chunk = (u32::from_ne_bytes(*chunk) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::transport::received::Leftover;

    /// A client's frame, masked.
    pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = Vec::new();
        super::super::frame::push_header(&mut frame, first, payload.len());
        frame[1] |= 0x80;
        frame.extend_from_slice(&mask);
        let at = frame.len();
        frame.extend_from_slice(payload);
        unmask(&mut frame[at..], mask);
        frame
    }

    /// Decodes `bytes` as they come in pieces of `step`.
    fn decode(bytes: &[u8], step: usize) -> Result<Vec<String>, Close> {
        let mut decoder = Decoder::new(1000);
        let mut leftover = Leftover::default();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut found = Vec::new();
        for mut piece in bytes.chunks(step) {
            let read = leftover.poll_receive(&mut piece, &mut cx);
            let std::task::Poll::Ready(Ok(Some(mut received))) = read else { break };
            while let Some(frame) = decoder.decode(&mut received)? {
                found.push(match frame {
                    Frame::Text(payload) => format!("Text({:?})", payload.into_text()?),
                    other => format!("{other:?}"),
                });
            }
            leftover.put_back(received, false);
        }
        Ok(found)
    }

    #[test]
    fn removes_a_mask_whatever_the_length() {
        let mask = [1, 2, 3, 4];
        for length in 0..70 {
            let mut payload: Vec<u8> = mask.into_iter().cycle().take(length).collect();
            unmask(&mut payload, mask);
            assert_eq!(payload, vec![0; length]);
        }
    }

    #[test]
    fn decodes_frames_however_they_are_cut() {
        let mut bytes = masked(0x81, b"hello");
        bytes.extend(masked(0x01, "fragméntś".as_bytes().split_at(6).0));
        bytes.extend(masked(0x89, b"in between"));
        bytes.extend(masked(0x80, "fragméntś".as_bytes().split_at(6).1));
        bytes.extend(masked(0x81, &[b'x'; 300]));
        bytes.extend(masked(0x88, &[3, 232, b'b', b'y', b'e']));
        let whole = decode(&bytes, bytes.len());
        assert_eq!(whole.as_ref().map(Vec::len), Ok(5));
        for step in 1..20 {
            assert_eq!(decode(&bytes, step), whole, "in steps of {step}");
        }
    }

    #[test]
    fn gives_each_broken_rule_its_close() {
        for (bytes, close) in [
            (vec![0x81, 1, b'a'], Close::PROTOCOL_ERROR),
            (masked(0xc1, b"reserved bit"), Close::PROTOCOL_ERROR),
            (masked(0x83, b"reserved opcode"), Close::PROTOCOL_ERROR),
            (masked(0x80, b"nothing to continue"), Close::PROTOCOL_ERROR),
            (masked(0x09, b"a ping in fragments"), Close::PROTOCOL_ERROR),
            (masked(0x89, &[0; 126]), Close::PROTOCOL_ERROR),
            (masked(0x88, &[3]), Close::PROTOCOL_ERROR),
            (masked(0x88, &[3, 237]), Close::PROTOCOL_ERROR),
            (masked(0x88, &[3, 232, 0xff]), Close::INVALID_TEXT),
            (masked(0x82, b"binary"), Close::UNSUPPORTED),
            (masked(0x81, &[0xff]), Close::INVALID_TEXT),
            (masked(0x81, &[b'x'; 1001]), Close::TOO_LARGE),
            ([masked(0x01, &[b'x'; 600]), masked(0x80, &[b'x'; 600])].concat(), Close::TOO_LARGE),
            ([masked(0x01, b"a"), masked(0x81, b"b")].concat(), Close::PROTOCOL_ERROR),
        ] {
            assert_eq!(decode(&bytes, bytes.len()), Err(close), "{bytes:?}");
        }
        // The length alone is enough: nothing of the payload need have come.
        assert_eq!(decode(&[0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0], 10), Err(Close::TOO_LARGE));
    }
}
