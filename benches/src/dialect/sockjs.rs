//! The TokenSocket wire inside SockJS frames, over SockJS's WebSocket.

use std::cell::Cell;

use super::{
    Dialect, Incoming, refused,
    tokensocket::{Tokensocket, read_message},
};

/// Speaks to `{prefix}/000/{session}/websocket`.
#[derive(Clone, Debug)]
pub(crate) struct Sockjs {
    inner: Tokensocket,
}

thread_local! {
    static SESSIONS: Cell<u64> = const { Cell::new(0) };
}

impl Sockjs {
    /// Frames what `inner` says.
    pub(crate) fn new(inner: Tokensocket) -> Self {
        Self { inner }
    }
}

impl Dialect for Sockjs {
    fn path(&self) -> String {
        let session = SESSIONS.get();
        SESSIONS.set(session + 1);
        format!("{}/000/bench{session:08}/websocket", self.inner.socket_prefix)
    }

    fn token_path(&self) -> Option<&str> {
        self.inner.token_path()
    }

    fn is_greeted(&self) -> bool {
        true
    }

    fn authenticate(&self, token: Option<&str>, out: &mut String) -> bool {
        framed(out, |inside| {
            self.inner.authenticate(token, inside);
        });
        true
    }

    fn call(&self, id: u64, data: &str, out: &mut String) {
        framed(out, |inside| self.inner.call(id, data, inside));
    }

    fn subscribe(&self, id: u64, channel: &str, out: &mut String) {
        framed(out, |inside| self.inner.subscribe(id, channel, inside));
    }

    fn publish(&self, id: u64, channel: &str, data: &str, out: &mut String) {
        framed(out, |inside| self.inner.publish(id, channel, data, inside));
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        match text {
            [b'o', ..] => each(Incoming::Greeting),
            [b'a', elements @ ..] => {
                for element in Elements(elements) {
                    each(read_message(element));
                }
            }
            [b'm', message @ ..] => each(read_message(message)),
            [b'c', ..] => each(refused(text)),
            _ => each(Incoming::Other),
        }
    }
}

/// Writes what `word` writes as an array of one string.
fn framed(out: &mut String, word: impl FnOnce(&mut String)) {
    let mut inside = String::new();
    word(&mut inside);
    out.push_str("[\"");
    for character in inside.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push_str("\"]");
}

/// The strings of an array of strings, with their escapes left as they are.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = memchr::memchr(b'"', self.0)? + 1;
        let rest = &self.0[start..];
        let mut end = 0;
        loop {
            end += memchr::memchr2(b'"', b'\\', &rest[end..])?;
            if rest[end] == b'"' {
                break;
            }
            // The escaped byte may be a quote: it does not end the string.
            end = (end + 2).min(rest.len());
        }
        self.0 = &rest[end + 1..];
        Some(&rest[..end])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;
    use crate::dialect::{CALLS, SUBSCRIPTION, read_all};

    fn dialect() -> Sockjs {
        Sockjs::new(Tokensocket {
            token_path: "/socket/token".into(),
            socket_prefix: "/sockets".into(),
            action: "echo".into(),
        })
    }

    #[test]
    fn reads_each_message_of_a_frame() {
        let frame = |messages: &[&str]| format!("a{}", serde_json::to_string(messages).unwrap());
        let text = frame(&[
            r#"{"rpc":"echo","uuid":"00000000-0000-4000-8000-100000000016","resp":"a\"]b\\"}"#,
            r#"{"channel":"bench","message":"xxx"}"#,
            r#"{"internal":true,"command":"subscribe","data":{"channel":"bench"}}"#,
        ]);
        assert_eq!(
            read_all(&dialect(), &text),
            [Incoming::Answer(CALLS), Incoming::Publication, Incoming::Answer(SUBSCRIPTION)]
        );
        assert_eq!(read_all(&dialect(), "o"), [Incoming::Greeting]);
        assert_eq!(read_all(&dialect(), "h"), [Incoming::Other]);
        assert!(matches!(read_all(&dialect(), r#"c[3000,"Go away!"]"#)[..], [Incoming::Refused(_)]));
    }

    #[test]
    fn a_cut_off_array_ends_the_reading() {
        let cut = [r#"a["abc"#, r#"a["abc\"#, r#"a["abc\""#, "a["];
        for text in cut {
            assert_eq!(read_all(&dialect(), text), []);
        }
    }

    #[test]
    fn frames_what_the_wire_says_as_a_json_string() {
        let (mut framed, mut plain) = (String::new(), String::new());
        dialect().call(CALLS, r#""x\"y""#, &mut framed);
        dialect().inner.call(CALLS, r#""x\"y""#, &mut plain);
        let inside: Vec<String> = serde_json::from_str(&framed).unwrap();
        assert_eq!(inside, [plain]);
    }
}
