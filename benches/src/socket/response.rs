//! HTTP/1.1 answers (RFC 9112), the client's side only.
//!
//! In: bytes as they came from a socket, and where they ended. Out: the status,
//! the pieces of the body without their framing, and the end of each answer.
//! Pieces are borrowed and as long as they came: they begin and end anywhere. It
//! knows nothing of what a body says.

use std::mem;

use httparse::Status;

use crate::error::BenchError;

/// A head, or a line between two chunks, that is longer is no answer of a
/// benchmark's server.
const LONGEST: usize = 16 * 1024;

/// What came of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// The head, with the status.
    Head(u16),
    /// A piece of the body.
    Body(&'a [u8]),
    /// The answer is over.
    End {
        /// Whether the connection takes another request.
        kept: bool,
    },
}

/// Cuts a stream of bytes into answers, keeping what is cut off at the end of
/// one read for the next. Answers to `HEAD` and `CONNECT` it cannot read.
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    state: State,
    kept: bool,
    partial: Vec<u8>,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// A body of which so much is still to come.
    Sized(u64),
    /// A body that ends with the connection.
    Unsized,
    /// The line with a chunk's size.
    Size,
    /// A chunk of which so much is still to come.
    Chunk(u64),
    /// The line end behind a chunk.
    ChunkEnd,
    /// The lines behind the last chunk.
    Trailer,
}

impl ResponseReader {
    /// Hands each part that is there with `bytes` to `each`, in order. Fails on
    /// what is not HTTP.
    pub(crate) fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Part<'_>)) -> Result<(), BenchError> {
        if self.partial.is_empty() {
            let used = self.read_whole(bytes, &mut each)?;
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            let mut joined = mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            let used = self.read_whole(&joined, &mut each)?;
            joined.drain(..used);
            self.partial = joined;
        }
        if self.partial.len() > LONGEST { Err(BenchError::NotHttp) } else { Ok(()) }
    }

    /// Says that no more bytes will come; whether that was to be expected, in
    /// which case the answer is over.
    pub(crate) fn end(&mut self) -> bool {
        mem::take(&mut self.state) == State::Unsized
    }

    fn read_whole(&mut self, bytes: &[u8], each: &mut impl FnMut(Part<'_>)) -> Result<usize, BenchError> {
        let mut used = 0;
        while used < bytes.len() {
            let Some(length) = self.read_one(&bytes[used..], each)? else { break };
            used += length;
        }
        Ok(used)
    }

    /// Reads one step of `bytes`, which are not empty, and says how long it was;
    /// none when it is not all there.
    fn read_one(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(Part<'_>),
    ) -> Result<Option<usize>, BenchError> {
        match self.state {
            State::Head => self.read_head(bytes, each),
            State::Sized(left) => {
                let (piece, left) = split(bytes, left);
                each(Part::Body(piece));
                self.state = State::Sized(left);
                self.end_if(left == 0, each);
                Ok(Some(piece.len()))
            }
            State::Unsized => {
                each(Part::Body(bytes));
                Ok(Some(bytes.len()))
            }
            State::Size => match httparse::parse_chunk_size(bytes) {
                Ok(Status::Complete((length, size))) => {
                    self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                    Ok(Some(length))
                }
                Ok(Status::Partial) => Ok(None),
                Err(_) => Err(BenchError::NotHttp),
            },
            State::Chunk(left) => {
                let (piece, left) = split(bytes, left);
                each(Part::Body(piece));
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                Ok(Some(piece.len()))
            }
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = State::Size;
                    Ok(Some(2))
                }
                [b'\r'] => Ok(None),
                _ => Err(BenchError::NotHttp),
            },
            State::Trailer => {
                let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(None) };
                self.end_if(bytes[..end].trim_ascii_end().is_empty(), each);
                Ok(Some(end + 1))
            }
        }
    }

    fn read_head(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(Part<'_>),
    ) -> Result<Option<usize>, BenchError> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(BenchError::NotHttp),
        };
        let status = response.code.ok_or(BenchError::NotHttp)?;
        self.kept = response.version == Some(1);
        self.state = State::Unsized;
        for header in response.headers.iter() {
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                self.state = State::Size;
            } else if header.name.eq_ignore_ascii_case("content-length") && self.state == State::Unsized {
                let size = str::from_utf8(header.value).ok().and_then(|size| size.trim().parse().ok());
                self.state = State::Sized(size.ok_or(BenchError::NotHttp)?);
            } else if header.name.eq_ignore_ascii_case("connection") {
                self.kept &= !header.value.eq_ignore_ascii_case(b"close");
            }
        }
        // These have no body, whatever their headers say (RFC 9112, section 6.3).
        if matches!(status, 100..=199 | 204 | 304) {
            self.state = State::Sized(0);
        }
        each(Part::Head(status));
        self.end_if(self.state == State::Sized(0), each);
        Ok(Some(length))
    }

    fn end_if(&mut self, is_over: bool, each: &mut impl FnMut(Part<'_>)) {
        if is_over {
            self.state = State::Head;
            each(Part::End { kept: self.kept });
        }
    }
}

/// As much of `bytes` as `left` allows, and what is left then.
fn split(bytes: &[u8], left: u64) -> (&[u8], u64) {
    let length = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (&bytes[..length], left - length as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    /// What each answer was: status, body, whether the connection is kept.
    type Answer = (u16, String, Option<bool>);

    fn answers(bytes: &[u8], piece: usize) -> Result<Vec<Answer>, BenchError> {
        let mut reader = ResponseReader::default();
        let mut seen: Vec<Answer> = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.read(piece, |part| match part {
                Part::Head(status) => seen.push((status, String::new(), None)),
                Part::Body(piece) => seen.last_mut().unwrap().1.push_str(str::from_utf8(piece).unwrap()),
                Part::End { kept } => seen.last_mut().unwrap().2 = Some(kept),
            })?;
        }
        Ok(seen)
    }

    #[test]
    fn reads_the_same_answers_however_the_bytes_are_cut() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            5\r\nhello\r\n10;name=value\r\n, wide old world\r\n0\r\nTrailer: x\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
            HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n\
            HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n";
        let wanted = [
            (200, "hello, wide old world".to_owned(), Some(true)),
            (200, "ok".to_owned(), Some(true)),
            (204, String::new(), Some(true)),
            (404, String::new(), Some(false)),
        ];
        for piece in [1, 2, 3, 7, 50, bytes.len()] {
            assert_eq!(answers(bytes, piece).unwrap(), wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn chunks_win_over_a_length() {
        let bytes =
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
        assert_eq!(answers(bytes, bytes.len()).unwrap(), [(200, "x".to_owned(), Some(true))]);
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let mut reader = ResponseReader::default();
        let mut body = Vec::new();
        let bytes = b"HTTP/1.0 200 OK\r\n\r\nall of it";
        reader
            .read(bytes, |part| {
                if let Part::Body(piece) = part {
                    body.extend_from_slice(piece);
                }
            })
            .unwrap();
        assert_eq!(body, b"all of it");
        assert!(reader.end());
    }

    #[test]
    fn an_end_within_an_answer_is_not_to_be_expected() {
        for bytes in ["HTTP/1.1 200", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"] {
            let mut reader = ResponseReader::default();
            reader.read(bytes.as_bytes(), |_| {}).unwrap();
            assert!(!reader.end(), "{bytes}");
        }
    }

    #[test]
    fn refuses_what_is_not_http() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(LONGEST));
        for bytes in [
            "\0\0 not http\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            &format!("{chunked}zz\r\n"),
            &format!("{chunked}1\r\nxyz"),
            &endless,
        ] {
            assert!(matches!(answers(bytes.as_bytes(), 7), Err(BenchError::NotHttp)), "{bytes}");
        }
    }
}
