//! The TokenSocket wire on a raw WebSocket: each frame is one message.

use std::fmt::{self, Display, Write};

use memchr::memmem::Finder;

use super::{AUTHENTICATION, Dialect, Incoming, Mark, SUBSCRIPTION, after, leading_number, refused};

/// Speaks to `{prefix}/websocket` with a token from `token_path`.
#[derive(Clone, Debug)]
pub(crate) struct Tokensocket {
    /// Where tokens are issued.
    pub(crate) token_path: String,
    /// Where the sockets are.
    pub(crate) socket_prefix: String,
    /// The action that echoes.
    pub(crate) action: String,
}

impl Dialect for Tokensocket {
    fn path(&self) -> String {
        format!("{}/websocket", self.socket_prefix)
    }

    fn token_path(&self) -> Option<&str> {
        Some(&self.token_path)
    }

    fn authenticate(&self, token: Option<&str>, out: &mut String) -> bool {
        let token = token.unwrap_or_default();
        let uuid = Uuid(AUTHENTICATION);
        push(out, format_args!(r#"{{"rpc":"auth","token":"{token}","uuid":"{uuid}"}}"#));
        true
    }

    fn call(&self, id: u64, data: &str, out: &mut String) {
        let (action, uuid) = (&self.action, Uuid(id));
        push(out, format_args!(r#"{{"rpc":"{action}","req":{data},"uuid":"{uuid}"}}"#));
    }

    fn subscribe(&self, id: u64, channel: &str, out: &mut String) {
        let uuid = Uuid(id);
        push(out, format_args!(r#"{{"rpc":"_subscribe","req":{{"channel":"{channel}"}},"uuid":"{uuid}"}}"#));
    }

    fn publish(&self, id: u64, channel: &str, data: &str, out: &mut String) {
        let uuid = Uuid(id);
        push(
            out,
            format_args!(
                r#"{{"rpc":"_publish","req":{{"channel":"{channel}","data":{data}}},"uuid":"{uuid}"}}"#
            ),
        );
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        each(read_message(text));
    }
}

static CHANNEL: Mark = Mark::new(|| Finder::new("channel"));
static ERROR: Mark = Mark::new(|| Finder::new("error"));
static INTERNAL: Mark = Mark::new(|| Finder::new("internal"));
static MESSAGE: Mark = Mark::new(|| Finder::new("message"));
static SUBSCRIBE: Mark = Mark::new(|| Finder::new("subscribe"));
static UUID: Mark = Mark::new(|| Finder::new("uuid"));

/// Where most servers put a publication's `channel`, quote escaped or not.
const FIRST_NAME: usize = 12;

/// Tells a message by the names in it. They are looked for without their
/// quotes, which SockJS escapes; the generator's payloads hold none of them.
pub(super) fn read_message(text: &[u8]) -> Incoming {
    if text.len() > FIRST_NAME && after(&text[..FIRST_NAME], &CHANNEL).is_some() {
        return Incoming::Publication;
    }
    if let Some(behind) = after(text, &INTERNAL) {
        return match after(behind, &SUBSCRIBE) {
            Some(_) => Incoming::Answer(SUBSCRIPTION),
            None => Incoming::Other,
        };
    }
    if after(text, &ERROR).is_some() {
        return refused(text);
    }
    match after(text, &UUID) {
        Some(behind) => Uuid::read(behind).map_or(Incoming::Other, Incoming::Answer),
        None if after(text, &MESSAGE).is_some() => Incoming::Publication,
        None => Incoming::Other,
    }
}

/// An id in the form of a UUID, as the original clients send.
pub(super) struct Uuid(pub(super) u64);

const UUID_START: &str = "00000000-0000-4000-8000-";

impl Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{UUID_START}{:012}", self.0)
    }
}

impl Uuid {
    fn read(behind: &[u8]) -> Option<u64> {
        let start = behind.iter().position(u8::is_ascii_digit)?;
        leading_number(behind.get(start + UUID_START.len()..)?)
    }
}

pub(super) fn push(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{CALLS, read_all};

    fn dialect() -> Tokensocket {
        Tokensocket {
            token_path: "/socket/token".into(),
            socket_prefix: "/sockets".into(),
            action: "echo".into(),
        }
    }

    #[test]
    fn tells_the_kinds_of_messages_apart() {
        let read = |text: &str| read_all(&dialect(), text);
        let answer = format!(r#"{{"rpc":"echo","uuid":"{}","resp":"xxx"}}"#, Uuid(CALLS + 5));
        assert_eq!(read(&answer), [Incoming::Answer(CALLS + 5)]);
        assert_eq!(read(r#"{"channel":"bench","message":"xxx"}"#), [Incoming::Publication]);
        assert_eq!(read(r#"{"message":"xxx","offset":1,"channel":"bench"}"#), [Incoming::Publication]);
        assert_eq!(
            read(r#"{"internal":true,"command":"subscribe","data":{"channel":"bench"}}"#),
            [Incoming::Answer(SUBSCRIPTION)]
        );
        assert!(matches!(
            read(r#"{"rpc":"echo","uuid":"1","error":"Function not found"}"#)[..],
            [Incoming::Refused(_)]
        ));
    }

    #[test]
    fn writes_calls_as_the_wire_has_them() {
        let mut text = String::new();
        dialect().call(CALLS, r#""xxx""#, &mut text);
        assert_eq!(text, r#"{"rpc":"echo","req":"xxx","uuid":"00000000-0000-4000-8000-100000000016"}"#);
    }
}
