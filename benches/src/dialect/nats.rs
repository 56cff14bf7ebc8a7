//! The NATS client protocol over `nats-server`'s WebSocket: subjects for
//! channels. It has no actions, so nothing answers calls.
//!
//! NATS acknowledges nothing by itself here; a `PING` behind a command is
//! answered when the command has been taken.

use std::fmt::Write;

use memchr::memchr;

use super::{AUTHENTICATION, Dialect, Incoming, SUBSCRIPTION, refused};
use crate::socket::frame::Opcode;

/// Speaks to `/`, without tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nats;

impl Dialect for Nats {
    fn opcode(&self) -> Opcode {
        Opcode::Binary
    }

    fn path(&self) -> String {
        "/".to_owned()
    }

    fn is_greeted(&self) -> bool {
        true
    }

    fn authenticate(&self, _token: Option<&str>, out: &mut String) -> bool {
        out.push_str(
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\"}\r\nPING\r\n",
        );
        true
    }

    /// A request on the subject `echo`; for it to be answered, another client
    /// would have to serve that subject.
    fn call(&self, id: u64, data: &str, out: &mut String) {
        let _ = write!(out, "PUB echo {id} {}\r\n{data}\r\n", data.len());
    }

    /// The subject is its own subscription id: a connection follows it once.
    fn subscribe(&self, _id: u64, channel: &str, out: &mut String) {
        let _ = write!(out, "SUB {channel} {channel}\r\nPING\r\n");
    }

    fn publish(&self, _id: u64, channel: &str, data: &str, out: &mut String) {
        let _ = write!(out, "PUB {channel} {}\r\n{data}\r\n", data.len());
    }

    fn read(&self, text: &[u8], each: &mut dyn FnMut(Incoming)) {
        let mut rest = text;
        while !rest.is_empty() {
            let Some((line, behind)) = line(rest) else { return each(cut(text)) };
            rest = behind;
            match line {
                [b'M', b'S', b'G', b' ', ..] => {
                    let Some(behind) = length(line).and_then(|length| rest.get(length + 2..)) else {
                        return each(cut(text));
                    };
                    rest = behind;
                    each(Incoming::Publication);
                }
                b"PING" => each(Incoming::Heartbeat("PONG\r\n")),
                // The connection knows which of the two it waits for.
                b"PONG" => {
                    each(Incoming::Answer(AUTHENTICATION));
                    each(Incoming::Answer(SUBSCRIPTION));
                }
                [b'I', b'N', b'F', b'O', ..] => each(Incoming::Greeting),
                [b'-', b'E', b'R', b'R', ..] => each(refused(line)),
                _ => each(Incoming::Other),
            }
        }
    }
}

/// The first line without its end, and what stands behind it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', text)?;
    Some((text[..end].strip_suffix(b"\r")?, &text[end + 1..]))
}

/// The last word of `MSG subject sid length`.
fn length(line: &[u8]) -> Option<usize> {
    let word = line.rsplit(|byte| *byte == b' ').next()?;
    str::from_utf8(word).ok()?.parse().ok()
}

/// The server puts whole messages into its frames. One that did not would make
/// counts wrong, so it is refused.
fn cut(text: &[u8]) -> Incoming {
    Incoming::Refused(format!("a frame ends within a message: {}", String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::read_all;

    #[test]
    fn reads_every_message_of_a_frame() {
        let read = |text: &str| read_all(&Nats, text);
        assert_eq!(read("INFO {\"server_id\":\"x\"}\r\n"), [Incoming::Greeting]);
        assert_eq!(
            read("MSG bench bench 8\r\na\r\nMSG b\r\nPING\r\nMSG bench bench 0\r\n\r\n"),
            [Incoming::Publication, Incoming::Heartbeat("PONG\r\n"), Incoming::Publication]
        );
        assert_eq!(read("PONG\r\n"), [Incoming::Answer(AUTHENTICATION), Incoming::Answer(SUBSCRIPTION)]);
        assert!(matches!(read("-ERR 'Slow Consumer'\r\n")[..], [Incoming::Refused(_)]));
    }

    #[test]
    fn refuses_a_frame_that_ends_within_a_message() {
        for text in ["MSG bench bench 8\r\nabc", "MSG bench", "MSG bench bench x\r\nabc\r\n"] {
            assert!(matches!(read_all(&Nats, text)[..], [Incoming::Refused(_)]), "{text}");
        }
    }
}
