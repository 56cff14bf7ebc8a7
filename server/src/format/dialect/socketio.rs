//! What Socket.IO clients are told: packets without their namespace, which the connection puts in
//! (`2["event",…]`, and with an acknowledgement `212["event",…]`).
//!
//! The number of an acknowledgement says by itself what is acknowledged, so that nothing is kept for it.

use std::time::Duration;

use tokensocket_protocol::RawJson;
use tokensocket_protocol::command::call::Fid;
use tokensocket_protocol::command::deliver::Delivery;
use tokensocket_protocol::engineio::Version;
use tokensocket_protocol::message::Acknowledge;
use tokensocket_protocol::socketio;

use super::push_text;

/// What a client acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// What it was delivered.
    Delivery(Acknowledge),
    /// An event, with an answer.
    Call(Fid),
}

impl Ack {
    /// The number in a packet that is the same for every socket. [`Mark::number`] makes the number on the wire of it.
    pub(crate) fn number(self) -> u64 {
        let (kind, number) = match self {
            Self::Delivery(Acknowledge::One(seq)) => (0, seq),
            Self::Delivery(Acknowledge::Batch(seq)) => (1, seq),
            Self::Delivery(Acknowledge::Resync(number)) => (2, number),
            Self::Call(fid) => (3, fid.number()),
        };
        number.saturating_mul(4).saturating_add(kind)
    }

    /// Reads a number that came back.
    pub(crate) fn of(number: u64) -> Self {
        let (kind, number) = (number % 4, number / 4);
        match kind {
            0 => Self::Delivery(Acknowledge::One(number)),
            1 => Self::Delivery(Acknowledge::Batch(number)),
            2 => Self::Delivery(Acknowledge::Resync(number)),
            _ => Self::Call(Fid::of(number)),
        }
    }
}

/// What tells one join's acknowledgements from another's. Clients send an acknowledgement that is late on whatever
/// connection they have then, and queues and calls begin to count anew: it must not be taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// How many numbers a mark leaves: twice 2^30 deliveries and calls each. JavaScript's numbers are exact up to 2^53.
    const NUMBERS: u64 = 1 << 33;

    pub(crate) fn random() -> Self {
        Self(rand::random::<u64>() % (1 << 20))
    }

    /// The number on the wire.
    pub(crate) fn number(self, number: u64) -> u64 {
        self.0 * Self::NUMBERS + number % Self::NUMBERS
    }

    /// Reads a number that came back; `None` for one of another join.
    pub(crate) fn of(self, number: u64) -> Option<u64> {
        (number / Self::NUMBERS == self.0).then_some(number % Self::NUMBERS)
    }
}

/// An event. `args`: its arguments as JSON with commas between them, none or more.
pub(crate) fn event(ack: Option<Ack>, name: &str, args: &[u8]) -> Vec<u8> {
    let mut out = begin(ack, name.len() + args.len());
    push_event(&mut out, name, args);
    out
}

/// Greets a device.
pub(super) fn settings(ttl: Duration) -> Vec<u8> {
    event(None, "_settings", format!("{{\"device_ttl\":{}}}", ttl.as_secs()).as_bytes())
}

/// Everything that was kept, as `[[event, …args], …]`.
pub(super) fn batch<'a>(last: u64, entries: impl Iterator<Item = Delivery<'a>>) -> Vec<u8> {
    let mut events = b"[".to_vec();
    for entry in entries {
        push_event(&mut events, entry.event, elements(entry.args));
        events.push(b',');
    }
    if events.len() > 1 {
        events.pop();
    }
    events.push(b']');
    event(Some(Ack::Delivery(Acknowledge::Batch(last))), "_batch", &events)
}

/// One entry, live.
pub(super) fn deliver(entry: Delivery<'_>) -> Vec<u8> {
    event(Some(Ack::Delivery(Acknowledge::One(entry.seq))), entry.event, elements(entry.args))
}

/// Everything is to be fetched again. The clients of this dialect are not told why.
pub(super) fn resync() -> Vec<u8> {
    event(None, "_resync", b"")
}

/// What stands between the brackets of a JSON array.
pub(crate) fn elements(args: &RawJson) -> &[u8] {
    let array = args.as_bytes().trim_ascii();
    array.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or_default().trim_ascii()
}

/// A packet in its namespace: the name stands behind the type, and the number of attachments. The number under which an
/// event wants its acknowledgement is marked.
pub(crate) fn in_namespace(namespace: &str, mark: Mark, packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(packet.len() + namespace.len() + 17);
    let has_attachments = matches!(packet.first(), Some(b'5' | b'6'));
    let dash = packet.iter().position(|byte| *byte == b'-').filter(|_| has_attachments);
    let (front, rest) = packet.split_at(dash.map_or(1, |dash| dash + 1).min(packet.len()));
    out.extend_from_slice(front);
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, data) = rest.split_at(digits);
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    match number {
        Some(number) if matches!(packet.first(), Some(b'2' | b'5')) => {
            out.extend_from_slice(mark.number(number).to_string().as_bytes());
        }
        _ => out.extend_from_slice(digits),
    }
    out.extend_from_slice(data);
    out
}

/// Whether a packet is an event of a name that clients of this version take for broken, and end their connection.
pub(crate) fn is_reserved_event(version: Version, packet: &[u8]) -> bool {
    let Some(at) = packet.iter().position(|byte| *byte == b'[') else { return false };
    let is_event = matches!(packet.first(), Some(b'2' | b'5'));
    let name = packet[at..].strip_prefix(b"[\"").and_then(|rest| rest.split(|byte| *byte == b'"').next());
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    is_event && name.is_some_and(|name| socketio::is_reserved(version, name))
}

fn begin(ack: Option<Ack>, expected: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(expected + 16);
    out.push(b'2');
    if let Some(ack) = ack {
        out.extend_from_slice(ack.number().to_string().as_bytes());
    }
    out
}

fn push_event(out: &mut Vec<u8>, name: &str, args: &[u8]) {
    out.push(b'[');
    push_text(out, name);
    if !args.is_empty() {
        out.push(b',');
        out.extend_from_slice(args);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap_or_default()
    }

    #[test]
    fn says_what_is_delivered_as_packets() {
        let args = RawJson::from_text(r#" [1, {"a":[]}] "#).unwrap_or_default();
        let none = RawJson::from_text("[]").unwrap_or_default();
        let entry = |seq, event, args| Delivery { seq, event, args };
        assert_eq!(text(deliver(entry(3, "a\"b", &args))), r#"212["a\"b",1, {"a":[]}]"#);
        assert_eq!(text(deliver(entry(0, "x", &none))), r#"20["x"]"#);
        let both = [entry(1, "x", &none), entry(2, "y", &args)];
        assert_eq!(text(batch(2, both.into_iter())), r#"29["_batch",[["x"],["y",1, {"a":[]}]]]"#);
        assert_eq!(text(resync()), r#"2["_resync"]"#);
        assert_eq!(text(settings(Duration::from_secs(5))), r#"2["_settings",{"device_ttl":5}]"#);
    }

    #[test]
    fn puts_a_packet_into_its_namespace() {
        let in_n = |packet: &str| text(in_namespace("/n", Mark(1), packet.as_bytes()));
        assert_eq!(in_n("2[\"a-b\"]"), "2/n,[\"a-b\"]");
        assert_eq!(in_n("312[]"), "3/n,12[]", "the client's own number");
        assert_eq!(in_n("62-12[]"), "62-/n,12[]");
        assert_eq!(in_n("52-7[\"a\"]"), "52-/n,8589934599[\"a\"]");
        assert_eq!(text(in_namespace("/", Mark(0), b"27[\"a\"]")), "27[\"a\"]");
        assert_eq!(in_n(""), "/n,");
    }

    #[test]
    fn knows_the_numbers_of_its_own_join() {
        let last = Mark((1 << 20) - 1);
        for number in [0, 7, Mark::NUMBERS - 1] {
            assert!(last.number(number) < 1 << 53);
            assert_eq!(last.of(last.number(number)), Some(number));
            assert_eq!(Mark(0).of(last.number(number)), None);
            assert_eq!(last.of(number), None);
        }
    }

    #[test]
    fn knows_events_that_would_end_a_connection() {
        assert!(is_reserved_event(Version::V4, b"24[\"connect\",1]"));
        assert!(!is_reserved_event(Version::V3, b"24[\"connect\",1]"));
        assert!(!is_reserved_event(Version::V4, b"2[\"connected\"]"));
        assert!(!is_reserved_event(Version::V4, b"34[\"connect\"]"));
    }

    #[test]
    fn knows_what_a_number_acknowledges() {
        let acks = [Acknowledge::One(7), Acknowledge::Batch(7), Acknowledge::Resync(7)].map(Ack::Delivery);
        for ack in acks.into_iter().chain([Ack::Call(Fid::of(7))]) {
            assert_eq!(Ack::of(ack.number()), ack);
        }
    }
}
