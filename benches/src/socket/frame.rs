//! WebSocket frames (RFC 6455, section 5.2), the client's side only.
//!
//! In: bytes as they came from a socket. Out: whole frames, borrowed from those
//! bytes; or a masked frame appended to a buffer.

use std::mem;

/// The masking key of every frame. The protocol wants it unpredictable to
/// protect proxies from pages; a generator on a test bench has neither, and one
/// key lets frames be built once.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Says that the length follows in two bytes.
const SHORT: u8 = 0x7e;
/// Says that the length follows in eight bytes.
const LONG: u8 = 0x7f;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Pong = 10,
}

/// A frame that came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// One whole message, text or binary.
    Message(&'a [u8]),
    /// A ping and what its pong must carry.
    Ping(&'a [u8]),
    /// The peer closes, with its code when it gave one.
    Close(Option<u16>),
    /// A pong.
    Other,
}

/// Why bytes from the peer are no frames that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A server must not mask its frames.
    #[error("the server sent a masked frame, which the WebSocket protocol forbids")]
    Masked,
    /// The generator reads whole messages only.
    #[error("the server split a message into several frames, which the load generator cannot read")]
    Fragmented,
    /// Longer than any message of a benchmark.
    #[error("the server announced a frame of {0} bytes, over the load generator's limit of 16 MiB")]
    TooLong(u64),
}

const LONGEST: u64 = 16 * 1024 * 1024;

/// Cuts a stream of bytes into frames, keeping what is cut off at the end of
/// one read for the next.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    partial: Vec<u8>,
}

impl FrameReader {
    /// Hands each frame that is complete with `bytes` to `each`, in order.
    pub(crate) fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
        if self.partial.is_empty() {
            let used = read_whole(bytes, &mut each)?;
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            let used = read_whole(&joined, &mut each)?;
            joined.drain(..used);
            self.partial = joined;
        }
        Ok(())
    }
}

fn read_whole(bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<usize, FrameError> {
    let mut used = 0;
    while let Some((frame, length)) = read_one(&bytes[used..])? {
        each(frame);
        used += length;
    }
    Ok(used)
}

/// The first frame of `bytes` and its whole length, when it is all there.
fn read_one(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if second & MASKED != 0 {
        return Err(FrameError::Masked);
    }
    let (length, start) = match second & 0x7f {
        SHORT => match rest.first_chunk::<2>() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        LONG => match rest.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    let end = match usize::try_from(length) {
        Ok(length) if length as u64 <= LONGEST => start + length,
        _ => return Err(FrameError::TooLong(length)),
    };
    let Some(payload) = bytes.get(start..end) else {
        return Ok(None);
    };
    let opcode = first & 0x0f;
    if first & FINAL == 0 || opcode == 0 {
        return Err(FrameError::Fragmented);
    }
    let frame = match opcode {
        1 | 2 => Frame::Message(payload),
        8 => Frame::Close(payload.first_chunk().copied().map(u16::from_be_bytes)),
        9 => Frame::Ping(payload),
        _ => Frame::Other,
    };
    Ok(Some((frame, end)))
}

/// Appends one masked frame to `out` and says where its payload begins there.
pub(crate) fn write(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) -> usize {
    out.push(FINAL | opcode as u8);
    match payload.len() {
        // The arms make the casts exact.
        #[allow(clippy::cast_possible_truncation, reason = "at most 125")]
        length @ 0..=125 => out.push(MASKED | length as u8),
        #[allow(clippy::cast_possible_truncation, reason = "at most 65,535")]
        length @ 126..=0xffff => {
            out.push(MASKED | SHORT);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | LONG);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    let start = out.len();
    out.extend_from_slice(payload);
    for (index, byte) in out[start..].iter_mut().enumerate() {
        *byte = masked(*byte, index);
    }
    start
}

/// What `byte` becomes at `index` of a payload.
pub(crate) fn masked(byte: u8, index: usize) -> u8 {
    byte ^ KEY[index % KEY.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    fn read_in_pieces(bytes: &[u8], piece: usize) -> Vec<String> {
        let mut reader = FrameReader::default();
        let mut seen = Vec::new();
        for piece in bytes.chunks(piece) {
            reader
                .read(piece, |frame| {
                    seen.push(match frame {
                        Frame::Message(text) => format!("message of {}", text.len()),
                        other => format!("{other:?}"),
                    });
                })
                .unwrap();
        }
        seen
    }

    #[test]
    fn reads_the_same_frames_however_the_bytes_are_cut() {
        let mut bytes = server_frame(0x81, b"hello");
        bytes.extend(server_frame(0x89, b"are you there"));
        bytes.extend(server_frame(0x81, &[b'x'; 126]));
        bytes.extend(server_frame(0x81, &vec![b'x'; 70_000]));
        bytes.extend(server_frame(0x88, &[0x03, 0xe8]));
        let whole = read_in_pieces(&bytes, bytes.len());
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[2..], ["message of 126", "message of 70000", "Close(Some(1000))"]);
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(read_in_pieces(&bytes, piece), whole);
        }
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        let read = |bytes: &[u8]| FrameReader::default().read(bytes, |_| {});
        assert_eq!(read(&[0x81, 0x80, 0, 0, 0, 0]), Err(FrameError::Masked));
        assert_eq!(read(&[0x01, 0x01, b'x']), Err(FrameError::Fragmented));
        let endless = [0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(read(&endless), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn writes_frames_whose_mask_comes_off_again() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
            let mut out = b"before".to_vec();
            let start = write(Opcode::Text, &payload, &mut out);
            let unmasked: Vec<u8> =
                out[start..].iter().enumerate().map(|(index, byte)| masked(*byte, index)).collect();
            assert_eq!(unmasked, payload);
            assert_eq!(out[6], 0x81);
            assert_ne!(out[7] & MASKED, 0);
        }
    }
}
