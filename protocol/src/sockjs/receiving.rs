//! What goes down to a receiver over HTTP: a SockJS frame in the framing of each transport.
//!
//! In: frames, such as `o` or `a["x"]`. Out: the bytes of a response's body. When a response begins and ends
//! is the server's.

use super::callback::Callback;
use crate::json::string::push_escaped;

/// What an `eventsource` response begins with (`EventSource.test_transport`).
pub const EVENT_PRELUDE: &str = "\r\n";

/// What an `xhr_streaming` response begins with (`XhrStreaming.test_transport`): enough for browsers that
/// show nothing of a body before it has some length.
pub fn xhr_prelude() -> Vec<u8> {
    let mut out = vec![b'h'; 2049];
    out[2048] = b'\n';
    out
}

/// Appends a frame for `xhr` and `xhr_streaming`: one line (`XhrPolling.test_transport`).
pub fn xhr(out: &mut Vec<u8>, frame: &[u8]) {
    out.reserve(frame.len() + 1);
    out.extend_from_slice(frame);
    out.push(b'\n');
}

/// Appends a frame for `eventsource`: one event (`EventSource.test_transport`).
///
/// Clients read it with `decodeURI`, so `%` is escaped, and with it what would end the event's line.
pub fn event(out: &mut Vec<u8>, frame: &[u8]) {
    out.reserve(frame.len() + 10);
    out.extend_from_slice(b"data: ");
    let is_unsafe = |byte: &u8| matches!(byte, b'%' | b'\r' | b'\n' | 0);
    for part in frame.split_inclusive(is_unsafe) {
        let escape: &[u8] = match part.last() {
            Some(b'%') => b"%25",
            Some(b'\r') => b"%0D",
            Some(b'\n') => b"%0A",
            Some(0) => b"%00",
            _ => {
                out.extend_from_slice(part);
                continue;
            }
        };
        out.extend_from_slice(&part[..part.len() - 1]);
        out.extend_from_slice(escape);
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// What an `htmlfile` response begins with (`HtmlFile.test_transport`): a page whose scripts tell `callback`'s
/// owner in the page around it. It is longer than 1024 bytes, as [`xhr_prelude`] is long.
pub fn page(callback: &Callback) -> Vec<u8> {
    let callback = callback.as_str();
    let mut out = format!(
        r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.{callback};
    c.start();
    function p(d) {{c.message(d);}};
    window.onload = function() {{c.stop();}};
  </script>"#
    )
    .into_bytes();
    out.resize(1023 + callback.len(), b' ');
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// Appends a frame for `htmlfile`: a script (`HtmlFile.test_transport`).
pub fn script(out: &mut Vec<u8>, frame: &[u8]) {
    out.extend_from_slice(b"<script>\np(");
    push_script_text(out, frame);
    out.extend_from_slice(b");\n</script>\r\n");
}

/// Appends a frame for `jsonp`: a call of `callback` (`JsonPolling.test_transport`).
///
/// The comment in front keeps the caller from choosing how the answer begins.
pub fn call(out: &mut Vec<u8>, callback: &Callback, frame: &[u8]) {
    out.extend_from_slice(b"/**/");
    out.extend_from_slice(callback.as_str().as_bytes());
    out.push(b'(');
    push_script_text(out, frame);
    out.extend_from_slice(b");\r\n");
}

/// Appends a frame as a text in a script. A `<` is escaped: a message must neither end the script it stands in
/// nor begin a comment there.
fn push_script_text(out: &mut Vec<u8>, frame: &[u8]) {
    out.push(b'"');
    for (at, part) in frame.split(|byte| *byte == b'<').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\\u003c");
        }
        push_escaped(out, part);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HEARTBEAT, OPEN, close_frame, push_element, push_message_frame};
    use super::*;
    use crate::{Close, Framing};

    fn callback() -> Callback {
        Callback::parse(Some("callback"), None).unwrap_or_else(|bad| panic!("{bad}"))
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap_or_else(|bad| panic!("{bad}"))
    }

    /// The frame of several messages.
    fn frame(messages: &[String]) -> String {
        let mut out = b"a[".to_vec();
        for message in messages {
            push_element(&mut out, Framing::Raw, message.as_bytes());
        }
        if !messages.is_empty() {
            out.pop();
        }
        out.push(b']');
        text(|all| all.extend_from_slice(&out))
    }

    /// What a client makes of the messages of a frame.
    fn read(frame: &str) -> Option<Vec<String>> {
        serde_json::from_str(frame.strip_prefix('a')?).ok()
    }

    /// What a browser's `decodeURI` makes of an event: of all escapes, only those of reserved characters
    /// stay, and none of these is ours.
    fn decode_uri(text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((plain, escape)) = rest.split_once('%') {
            out.push_str(plain);
            let (digits, behind) = escape.split_at_checked(2)?;
            let byte = u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii)?;
            out.push(char::from(byte));
            rest = behind;
        }
        Some(out + rest)
    }

    /// What a page's function is called with.
    fn argument(script: &str, before: &str, after: &str) -> Option<String> {
        let argument = script.strip_prefix(before)?.strip_suffix(after)?;
        assert!(!argument.contains('<'), "{argument}");
        serde_json::from_str(argument).ok()
    }

    #[test]
    fn frames_as_the_protocol_text_does() {
        assert_eq!(text(|out| xhr(out, b"o")), "o\n");
        assert_eq!(text(|out| event(out, br#"a["x"]"#)), "data: a[\"x\"]\r\n\r\n");
        assert_eq!(text(|out| event(out, b"100%\r\n\0")), "data: 100%25%0D%0A%00\r\n\r\n");
        assert_eq!(text(|out| script(out, b"o")), "<script>\np(\"o\");\n</script>\r\n");
        assert_eq!(text(|out| script(out, br#"a["x"]"#)), "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n");
        assert_eq!(text(|out| call(out, &callback(), b"o")), "/**/callback(\"o\");\r\n");
        assert_eq!(text(|out| call(out, &callback(), br#"a["x"]"#)), "/**/callback(\"a[\\\"x\\\"]\");\r\n");
    }

    #[test]
    fn preludes_are_as_long_as_the_protocol_text_says() {
        let prelude = xhr_prelude();
        assert_eq!(prelude.len(), 2049);
        assert!(prelude.starts_with(&[b'h'; 2048]) && prelude.ends_with(b"h\n"));
        let page = page(&callback());
        assert_eq!(page.len(), 1027 + "callback".len());
        let page = String::from_utf8_lossy(&page).into_owned();
        assert!(page.ends_with(" \r\n\r\n"), "{page}");
        assert!(page.trim_end().ends_with("</script>"), "{page}");
        assert!(page.contains("\n    var c = parent.callback;\n"), "{page}");
    }

    #[test]
    fn no_message_leaves_the_script_it_stands_in() {
        for message in ["</script>", "<!--<script>", "</SCRIPT", "]]>", "<\u{2028}"] {
            let frame = frame(&[message.to_owned()]);
            let script = text(|out| script(out, frame.as_bytes()));
            assert_eq!(argument(&script, "<script>\np(", ");\n</script>\r\n"), Some(frame));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

        #[test]
        fn every_framing_is_read_back(
            messages in prop::collection::vec(any::<String>(), 0..5),
            reason in ".{0,30}",
            odd in "[%\r\n\0<>/!\\-\"\\\\a-c\u{2028}\u{200c}\u{fffe}]{0,20}",
        ) {
            let messages = [messages, vec![odd]].concat();
            let frames = [
                OPEN.to_owned(),
                HEARTBEAT.to_owned(),
                close_frame(&Close::new(3000, reason)),
                text(|out| push_message_frame(out, Framing::Raw, messages[0].as_bytes())),
                frame(&messages),
            ];
            prop_assert_eq!(read(&frames[4]), Some(messages));
            for frame in &frames {
                let bytes = frame.as_bytes();
                let line = text(|out| xhr(out, bytes));
                prop_assert_eq!(line.split_once('\n'), Some((&frame[..], "")));
                let event = text(|out| event(out, bytes));
                let data = event.strip_prefix("data: ").and_then(|event| event.strip_suffix("\r\n\r\n"));
                prop_assert!(data.is_some_and(|data| !data.contains(['\r', '\n', '\0'])));
                prop_assert_eq!(data.and_then(decode_uri), Some(frame.clone()));
                let script = text(|out| script(out, bytes));
                prop_assert_eq!(argument(&script, "<script>\np(", ");\n</script>\r\n"), Some(frame.clone()));
                let call = text(|out| call(out, &callback(), bytes));
                prop_assert_eq!(argument(&call, "/**/callback(", ");\r\n"), Some(frame.clone()));
            }
        }

        #[test]
        fn any_bytes_of_a_frame_stay_within_their_framing(frame in any::<String>()) {
            let bytes = frame.as_bytes();
            let event = text(|out| event(out, bytes));
            let data = event.strip_prefix("data: ").and_then(|event| event.strip_suffix("\r\n\r\n"));
            prop_assert_eq!(data.and_then(decode_uri), Some(frame.clone()));
            let script = text(|out| script(out, bytes));
            prop_assert_eq!(argument(&script, "<script>\np(", ");\n</script>\r\n"), Some(frame.clone()));
        }
    }
}
