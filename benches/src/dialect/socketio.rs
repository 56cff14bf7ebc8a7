//! Socket.IO 4 over Engine.IO 4's WebSocket: events with acknowledgements for
//! calls, rooms for channels.

use std::fmt::Write;

use super::{AUTHENTICATION, Dialect, Incoming, leading_number, refused};

/// Speaks to `/socket.io/` in the main namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socketio;

impl Dialect for Socketio {
    fn path(&self) -> String {
        "/socket.io/?EIO=4&transport=websocket".to_owned()
    }

    fn is_greeted(&self) -> bool {
        true
    }

    fn authenticate(&self, _token: Option<&str>, out: &mut String) -> bool {
        out.push_str(r#"40{"token":"bench"}"#);
        true
    }

    fn call(&self, id: u64, data: &str, out: &mut String) {
        let _ = write!(out, r#"42{id}["echo",{data}]"#);
    }

    fn subscribe(&self, id: u64, channel: &str, out: &mut String) {
        let _ = write!(out, r#"42{id}["subscribe","{channel}"]"#);
    }

    fn publish(&self, _id: u64, channel: &str, data: &str, out: &mut String) {
        let _ = write!(out, r#"42["publish","{channel}",{data}]"#);
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        each(match text {
            [b'0', ..] => Incoming::Greeting,
            [b'2', ..] => Incoming::Heartbeat("3"),
            [b'4', b'0', ..] => Incoming::Answer(AUTHENTICATION),
            [b'4', b'2', ..] => Incoming::Publication,
            [b'4', b'3', rest @ ..] => leading_number(rest).map_or(Incoming::Other, Incoming::Answer),
            [b'1', ..] | [b'4', b'1' | b'4', ..] => refused(text),
            _ => Incoming::Other,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{CALLS, read_all};

    #[test]
    fn tells_the_kinds_of_packets_apart() {
        let read = |text: &str| read_all(&Socketio, text);
        assert_eq!(read(r#"0{"sid":"1"}"#), [Incoming::Greeting]);
        assert_eq!(read(r#"40{"sid":"1"}"#), [Incoming::Answer(AUTHENTICATION)]);
        assert_eq!(read(r#"43100000000016["1"]"#), [Incoming::Answer(CALLS)]);
        assert_eq!(read(r#"42["message","1"]"#), [Incoming::Publication]);
        assert_eq!(read("2"), [Incoming::Heartbeat("3")]);
        assert!(matches!(read(r#"44{"message":"no"}"#)[..], [Incoming::Refused(_)]));
    }
}
