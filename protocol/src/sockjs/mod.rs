//! SockJS framing (SockJS protocol 0.3.3): how messages travel inside a transport's frames.
//!
//! In: messages, or a client's frame. Out: frames, or messages. Pure: sessions and transports are the
//! server's. What a WebSocket carries is here; what HTTP requests carry is around it: [`receiving`] has the
//! framing of frames on their way down, [`sending`] the messages on their way up.
//!
//! Texts go out with the escapes that the protocol wants of characters some browsers lose (`JSONEncoding`);
//! all others as they are.

mod callback;
pub mod iframe;
pub mod receiving;
pub mod sending;

use std::borrow::Cow;

pub use callback::{BadCallback, Callback};

use crate::close::Close;
use crate::framing::Framing;
use crate::json::string::{self, BadString};

/// The open frame.
pub const OPEN: &str = "o";
/// The heartbeat frame.
pub const HEARTBEAT: &str = "h";

/// Appends the frame of one message: `a["…"]`. `message` is UTF-8, as `framing` has it.
pub fn push_message_frame(out: &mut Vec<u8>, framing: Framing, message: &[u8]) {
    out.extend_from_slice(b"a[\"");
    push_inside(out, framing, message);
    out.extend_from_slice(b"\"]");
}

/// Appends the part of a frame that one of several messages is: `"…",`. `message` is UTF-8, as `framing` has it.
#[inline]
pub fn push_element(out: &mut Vec<u8>, framing: Framing, message: &[u8]) {
    out.push(b'"');
    push_inside(out, framing, message);
    out.extend_from_slice(b"\",");
}

#[inline]
fn push_inside(out: &mut Vec<u8>, framing: Framing, message: &[u8]) {
    match framing {
        Framing::Raw => string::push_escaped(out, message),
        Framing::SockJs => out.extend_from_slice(message),
    }
}

/// Frames the end of a session: `c[code,"reason"]`.
pub fn close_frame(close: &Close) -> String {
    let mut frame = format!("c[{},\"", close.code).into_bytes();
    string::push_escaped(&mut frame, close.reason.as_bytes());
    frame.extend_from_slice(b"\"]");
    // An escaped text is one still.
    String::from_utf8_lossy(&frame).into_owned()
}

/// How many bytes that may be overwritten [`messages`] wants in front of a frame. The header of a client's
/// WebSocket frame has no fewer.
pub const ROOM: usize = 6;

/// The messages of a frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Messages<'a> {
    /// The first one. An empty frame has none.
    pub first: Option<Cow<'a, str>>,
    /// The others.
    pub others: Vec<String>,
}

/// Reads a client's frame, `bytes[start..]`: a JSON array of texts, or one text.
///
/// The first message is read in place and stands in `bytes` afterwards, where there is [`ROOM`] in front
/// of the frame: most frames have no other.
pub fn messages(bytes: &mut [u8], start: usize) -> Result<Messages<'_>, BrokenFraming> {
    if start < ROOM || !bytes[start..].starts_with(b"[\"") {
        return all_messages(&bytes[start..]);
    }
    let to = start - ROOM;
    let (end, behind) = match string::unescape(bytes, start + 2, to) {
        Ok(read) => read,
        Err(BadString { read, write }) => return Err(broken(&bytes[to..write], &bytes[read..])),
    };
    let others = match &mut bytes[behind..] {
        [b']'] => Vec::new(),
        rest => match other_messages(rest) {
            Some(others) => others,
            None => return Err(broken(&bytes[to..end], &bytes[behind..])),
        },
    };
    let first = std::str::from_utf8(&bytes[to..end]).map_err(|_| BrokenFraming::NotUtf8)?;
    Ok(Messages { first: Some(first.into()), others })
}

/// The messages behind the first one; `rest` begins right behind its quote.
fn other_messages(rest: &mut [u8]) -> Option<Vec<String>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    let next = rest.iter().position(|byte| !is_space(byte))?;
    let (byte, behind) = rest[next..].split_first_mut()?;
    match byte {
        b']' => behind.iter().all(is_space).then(Vec::new),
        b',' => {
            *byte = b'[';
            let others: Vec<String> = serde_json::from_slice(&rest[next..]).ok()?;
            (!others.is_empty()).then_some(others)
        }
        _ => None,
    }
}

fn all_messages(frame: &[u8]) -> Result<Messages<'_>, BrokenFraming> {
    if frame.is_empty() {
        return Ok(Messages { first: None, others: Vec::new() });
    }
    let all: Result<Vec<String>, _> = if frame[0] == b'[' {
        serde_json::from_slice(frame)
    } else {
        serde_json::from_slice(frame).map(|message| vec![message])
    };
    let mut all = all.map_err(|_| broken(frame, b""))?.into_iter();
    Ok(Messages { first: all.next().map(Cow::Owned), others: all.collect() })
}

/// Says what is wrong with a frame. Its part that was read is `written` by now.
fn broken(written: &[u8], unread: &[u8]) -> BrokenFraming {
    if std::str::from_utf8(written).is_ok() && std::str::from_utf8(unread).is_ok() {
        BrokenFraming::NoTexts
    } else {
        BrokenFraming::NotUtf8
    }
}

/// Why a frame has no messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenFraming {
    /// It is something else than a JSON array of texts.
    #[error("a SockJS frame is a JSON array of texts")]
    NoTexts,
    /// It is no text at all.
    #[error("a SockJS frame is UTF-8")]
    NotUtf8,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::tests::{mangled, near_json};

    #[test]
    fn frames_messages_and_closes() {
        let mut frame = Vec::new();
        push_message_frame(&mut frame, Framing::Raw, "{\"a\":\"é\"}".as_bytes());
        assert_eq!(frame, "a[\"{\\\"a\\\":\\\"é\\\"}\"]".as_bytes());
        assert_eq!(close_frame(&Close::new(3000, "Go away!")), "c[3000,\"Go away!\"]");
    }

    #[test]
    fn escapes_what_browsers_lose() {
        let text = "\u{200c}\u{2028}\u{206f}\u{ffff} é\u{1f600}";
        let escaped = "\\u200c\\u2028\\u206f\\uffff é\u{1f600}";
        let mut frame = Vec::new();
        push_message_frame(&mut frame, Framing::Raw, text.as_bytes());
        assert_eq!(String::from_utf8_lossy(&frame), format!("a[\"{escaped}\"]"));
        assert_eq!(close_frame(&Close::new(3000, text)), format!("c[3000,\"{escaped}\"]"));
    }

    /// Reads a frame behind a header, and the same frame without one.
    fn read(frame: &[u8]) -> Result<Vec<String>, BrokenFraming> {
        let read = |bytes: &mut [u8], start| {
            messages(bytes, start).map(|Messages { first, others }| {
                first.map(Cow::into_owned).into_iter().chain(others).collect()
            })
        };
        let behind_header = read(&mut [&[0; ROOM], frame].concat(), ROOM);
        assert_eq!(behind_header, read(&mut frame.to_vec(), 0), "{frame:?}");
        behind_header
    }

    fn same_as_serde_json(frame: &[u8]) {
        let expected = match std::str::from_utf8(frame) {
            Err(_) => Err(BrokenFraming::NotUtf8),
            Ok("") => Ok(Vec::new()),
            Ok(text) if text.starts_with('[') => {
                serde_json::from_str(text).map_err(|_| BrokenFraming::NoTexts)
            }
            Ok(text) => {
                serde_json::from_str(text).map(|message| vec![message]).map_err(|_| BrokenFraming::NoTexts)
            }
        };
        assert_eq!(read(frame), expected, "{}", String::from_utf8_lossy(frame));
    }

    #[test]
    fn reads_arrays_of_texts_and_nothing_else() {
        assert_eq!(read(br#"["a","b"]"#), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read(br#""a""#), Ok(vec!["a".to_owned()]));
        assert_eq!(read(b""), Ok(Vec::new()));
        assert_eq!(read(b"[]"), Ok(Vec::new()));
        for broken in ["[", "[1]", "{}", "nonsense", "[\"a\"", "[\"a\",]", "[\"a\"]x", "[\"\\ud800\"]"] {
            assert_eq!(read(broken.as_bytes()), Err(BrokenFraming::NoTexts), "{broken}");
        }
        assert_eq!(read(b"[\"\xff\"]"), Err(BrokenFraming::NotUtf8));
        assert_eq!(read(b"[\"a\\x\xff\"]"), Err(BrokenFraming::NotUtf8));
    }

    #[test]
    fn reads_every_escape_wherever_it_stands() {
        for escape in
            [r#"\""#, r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u00e9", r"\ud83d\ude00", "é"]
        {
            for before in 0..17 {
                let frame = format!(r#"["{}{escape}{escape}yyyyyyyyyyyy{escape}"]"#, "x".repeat(before));
                assert!(read(frame.as_bytes()).is_ok());
                same_as_serde_json(frame.as_bytes());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn reads_back_what_it_frames(text in any::<String>(), json in mangled()) {
            for text in [text, json] {
                let mut frame = Vec::new();
                push_message_frame(&mut frame, Framing::Raw, text.as_bytes());
                prop_assert_eq!(read(&frame[1..]), Ok(vec![text]));
            }
        }

        #[test]
        fn reads_any_frame_as_serde_json_does(bytes in prop::collection::vec(any::<u8>(), 0..40), near in near_json(), json in mangled()) {
            same_as_serde_json(&bytes);
            same_as_serde_json(&[b"[\"", &bytes[..], b"\"]"].concat());
            for text in [near, json] {
                same_as_serde_json(text.as_bytes());
                same_as_serde_json(format!("[\"{text}\"]").as_bytes());
                same_as_serde_json(format!("[\"a\"{text}]").as_bytes());
            }
        }
    }
}
