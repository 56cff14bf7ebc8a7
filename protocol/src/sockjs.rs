//! SockJS framing (SockJS protocol 0.3.3): how messages travel inside a transport's frames.
//!
//! In: messages, or a client's frame. Out: frames, or messages. Pure: sessions and transports are the
//! server's.

use crate::close::Close;

/// The open frame.
pub const OPEN: &str = "o";
/// The heartbeat frame.
pub const HEARTBEAT: &str = "h";

/// Appends the frame of one message: `a["…"]`. `message` is UTF-8.
pub fn push_message_frame(out: &mut Vec<u8>, message: &[u8]) {
    out.extend_from_slice(b"a[");
    // Writing text into memory cannot fail.
    let _ = match std::str::from_utf8(message) {
        Ok(text) => serde_json::to_writer(&mut *out, text),
        Err(_) => serde_json::to_writer(&mut *out, &String::from_utf8_lossy(message)),
    };
    out.push(b']');
}

/// Frames the end of a session: `c[code,"reason"]`.
pub fn close_frame(close: &Close) -> String {
    serde_json::json!([close.code, close.reason]).to_string().replacen('[', "c[", 1)
}

/// Reads a client's frame: a JSON array of texts, or one text. An empty frame has no messages.
pub fn messages(frame: &str) -> Result<Vec<String>, BrokenFraming> {
    if frame.is_empty() {
        return Ok(Vec::new());
    }
    if frame.starts_with('[') {
        serde_json::from_str(frame).map_err(|_| BrokenFraming)
    } else {
        serde_json::from_str(frame).map(|message| vec![message]).map_err(|_| BrokenFraming)
    }
}

/// The frame is not a JSON array of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SockJS frame is a JSON array of texts")]
pub struct BrokenFraming;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_messages_and_closes() {
        let mut frame = Vec::new();
        push_message_frame(&mut frame, "{\"a\":\"é\"}".as_bytes());
        assert_eq!(frame, "a[\"{\\\"a\\\":\\\"é\\\"}\"]".as_bytes());
        assert_eq!(close_frame(&Close::new(3000, "Go away!")), "c[3000,\"Go away!\"]");
    }

    #[test]
    fn reads_arrays_of_texts_and_nothing_else() {
        assert_eq!(messages(r#"["a","b"]"#), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(messages(r#""a""#), Ok(vec!["a".to_owned()]));
        assert_eq!(messages(""), Ok(Vec::new()));
        for broken in ["[", "[1]", "{}", "nonsense", "[\"a\""] {
            assert_eq!(messages(broken), Err(BrokenFraming), "{broken}");
        }
    }
}
