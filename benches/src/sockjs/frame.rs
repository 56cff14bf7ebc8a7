//! SockJS frames, and what transports wrap them in.
//!
//! In: the body of an answer, in pieces. Out: frames, borrowed from it. Every
//! transport puts a frame on a line of its own, so lines are what is cut.

use std::mem;

use memchr::memchr;

/// What a server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The session has begun.
    Open,
    /// A sign of life.
    Heartbeat,
    /// An array of messages, as it was written.
    Messages(&'a [u8]),
    /// All else: the session is closed, or this is no frame.
    Other(&'a [u8]),
}

impl<'a> Frame<'a> {
    /// What `text` says, without what it was wrapped in.
    pub(super) fn of(text: &'a [u8]) -> Self {
        match text {
            b"o" => Self::Open,
            // The first line of a streaming answer is many of them.
            [b'h', ..] => Self::Heartbeat,
            [b'a', messages @ ..] => Self::Messages(messages),
            _ => Self::Other(text),
        }
    }
}

/// What stands around a frame in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// The line is the frame.
    Line,
    /// An event.
    Event,
    /// A script that calls `p`, with the frame as a string.
    Script,
    /// A script that calls a page's function, with the frame as a string.
    Call,
}

impl Wrapping {
    /// Whether frames are escaped once more, as strings of a script.
    pub(super) fn is_script(self) -> bool {
        matches!(self, Self::Script | Self::Call)
    }

    /// The frame of `line`; none when the line is no more than wrapping.
    fn open(self, line: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Line => (!line.is_empty()).then_some(line),
            Self::Event => line.strip_prefix(b"data: "),
            Self::Script => line.strip_prefix(b"p(\"")?.strip_suffix(b"\");"),
            Self::Call => {
                let name = memchr(b'(', line)?;
                line[name + 1..].strip_prefix(b"\"")?.strip_suffix(b"\");")
            }
        }
    }
}

/// Cuts a body into frames, keeping what is cut off at the end of one piece for
/// the next.
#[derive(Debug)]
pub(super) struct FrameReader {
    wrapping: Wrapping,
    partial: Vec<u8>,
}

impl FrameReader {
    pub(super) fn new(wrapping: Wrapping) -> Self {
        Self { wrapping, partial: Vec::new() }
    }

    /// Hands each frame that is complete with `piece` to `each`, in order.
    pub(super) fn read(&mut self, piece: &[u8], mut each: impl FnMut(Frame<'_>)) {
        if self.partial.is_empty() {
            let used = self.read_whole(piece, &mut each);
            self.partial.extend_from_slice(&piece[used..]);
        } else {
            let mut joined = mem::take(&mut self.partial);
            joined.extend_from_slice(piece);
            let used = self.read_whole(&joined, &mut each);
            joined.drain(..used);
            self.partial = joined;
        }
    }

    /// Whether the body may end here: no frame has begun and not ended.
    pub(super) fn is_between(&self) -> bool {
        self.partial.is_empty()
    }

    fn read_whole(&self, bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> usize {
        let mut used = 0;
        while let Some(length) = memchr(b'\n', &bytes[used..]) {
            let line = &bytes[used..used + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(frame) = self.wrapping.open(line) {
                each(Frame::of(frame));
            }
            used += length + 1;
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(wrapping: Wrapping, body: &str, piece: usize) -> Vec<String> {
        let mut reader = FrameReader::new(wrapping);
        let mut seen = Vec::new();
        for piece in body.as_bytes().chunks(piece) {
            reader.read(piece, |frame| {
                seen.push(match frame {
                    Frame::Open => "open".to_owned(),
                    Frame::Heartbeat => "heartbeat".to_owned(),
                    Frame::Messages(text) => String::from_utf8_lossy(text).into_owned(),
                    Frame::Other(text) => format!("other {}", String::from_utf8_lossy(text)),
                });
            });
        }
        assert!(reader.is_between());
        seen
    }

    /// Reads `body` cut in many ways.
    fn all_ways(wrapping: Wrapping, body: &str, wanted: &[&str]) {
        for piece in [1, 2, 3, 11, body.len()] {
            assert_eq!(frames(wrapping, body, piece), wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn finds_frames_on_lines() {
        let body = format!("{}\no\na[\"x\",\"y\"]\nh\nc[3000,\"Go away!\"]\n", "h".repeat(2048));
        let wanted = ["heartbeat", "open", "[\"x\",\"y\"]", "heartbeat", "other c[3000,\"Go away!\"]"];
        all_ways(Wrapping::Line, &body, &wanted);
    }

    #[test]
    fn finds_frames_in_events() {
        let body = "\r\ndata: o\r\n\r\ndata: a[\"x\"]\r\n\r\ndata: h\r\n\r\n";
        all_ways(Wrapping::Event, body, &["open", "[\"x\"]", "heartbeat"]);
    }

    #[test]
    fn finds_frames_in_scripts_of_a_page() {
        let body = "<!doctype html>\n  <script>\n    function p(d) {c.message(d);};\n  </script>   \r\n\r\n\
            <script>\np(\"o\");\n</script>\r\n<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n";
        all_ways(Wrapping::Script, body, &["open", "[\\\"x\\\"]"]);
    }

    #[test]
    fn finds_the_frame_in_a_call() {
        all_ways(Wrapping::Call, "/**/_jp.a(\"a[\\\"x\\\"]\");\r\n", &["[\\\"x\\\"]"]);
        all_ways(Wrapping::Call, "x(\"o\");\n", &["open"]);
    }

    #[test]
    fn tells_where_a_frame_is_cut_off() {
        let mut reader = FrameReader::new(Wrapping::Line);
        reader.read(b"a[\"x\"]\na[", |_| {});
        assert!(!reader.is_between());
    }
}
