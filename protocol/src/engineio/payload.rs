//! The packets of a polling request's body or response.
//!
//! In: packets. Out: a body, and whether that is bytes. And the reverse, one packet after the other, so that a body
//! of many small ones costs nothing but itself. How long a body may be is the server's.

use super::packet::{Outgoing, Packet};
use super::{BadPacket, Kind, Version};

/// What stands between the packets in protocol 4.
const SEPARATOR: u8 = 0x1e;
/// What stands behind the length in protocol 3's binary form.
const END_OF_LENGTH: u8 = 255;

/// The body of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes.
    pub body: Vec<u8>,
    /// Whether it is `application/octet-stream`. Else it is `text/plain; charset=UTF-8`.
    pub is_binary: bool,
}

/// Writes packets as one body. `base64` says that the client takes texts only (its query has `b64`); in protocol 4
/// bytes are always base64.
///
/// Without a packet the body is none that a client reads: a poll is answered when there is something, and be it a
/// [`Kind::Noop`].
pub fn encode_payload(version: Version, base64: bool, packets: &[Outgoing<'_>]) -> Payload {
    let is_binary = version == Version::V3
        && !base64
        && packets.iter().any(|packet| matches!(packet, Outgoing::Binary(_)));
    let mut body =
        Vec::with_capacity(packets.iter().map(|packet| packet.length(version, !is_binary) + 8).sum());
    for (at, packet) in packets.iter().enumerate() {
        match version {
            Version::V3 if is_binary => push_binary(packet, &mut body),
            Version::V3 => push_counted(packet, &mut body),
            Version::V4 => {
                if at > 0 {
                    body.push(SEPARATOR);
                }
                packet.push(version, true, &mut body);
            }
        }
    }
    Payload { body, is_binary }
}

/// The same as bytes, in protocol 3, whatever the packets: clients of 1.x send such bodies always, and understand text
/// outside ASCII in no other. So do clients of 2.x that take bytes.
pub fn encode_payload_as_bytes(packets: &[Outgoing<'_>]) -> Payload {
    let mut body =
        Vec::with_capacity(packets.iter().map(|packet| packet.length(Version::V3, false) + 8).sum());
    for packet in packets {
        push_binary(packet, &mut body);
    }
    Payload { body, is_binary: true }
}

/// `6:4hello`
fn push_counted(packet: &Outgoing<'_>, body: &mut Vec<u8>) {
    let units = match packet {
        Outgoing::Text(_, text) => 1 + units(text),
        Outgoing::Binary(_) => packet.length(Version::V3, true),
    };
    body.extend_from_slice(itoa::Buffer::new().format(units).as_bytes());
    body.push(b':');
    packet.push(Version::V3, true, body);
}

/// `<0><6><255>4hello`
fn push_binary(packet: &Outgoing<'_>, body: &mut Vec<u8>) {
    body.push(u8::from(matches!(packet, Outgoing::Binary(_))));
    let length = packet.length(Version::V3, false);
    body.extend(itoa::Buffer::new().format(length).bytes().map(|digit| digit - b'0'));
    body.push(END_OF_LENGTH);
    packet.push(Version::V3, false, body);
}

/// Reads a body's packets, one after the other: [`PayloadReader`] for whoever takes a body as a whole.
pub fn payload_packets(
    version: Version,
    is_binary: bool,
    body: &[u8],
) -> impl Iterator<Item = Result<Packet<'_>, BadPacket>> {
    let mut reader = PayloadReader::new(version, is_binary);
    std::iter::from_fn(move || reader.next(body))
}

/// Reads a body's packets in steps, as they are wanted. It keeps no more than how far it has come.
#[derive(Debug, Clone)]
pub struct PayloadReader {
    form: Form,
    /// Where the next packet begins.
    at: usize,
}

/// How packets stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Counted,
    Binary,
    Separated,
    /// Bytes, where there is no such form.
    Unknown,
    /// All is read, or what follows is not worth it.
    Done,
}

impl PayloadReader {
    /// `is_binary` says that the body's type is `application/octet-stream`, which protocol 4 does not have: there
    /// such a body is refused.
    pub const fn new(version: Version, is_binary: bool) -> Self {
        let form = match (version, is_binary) {
            (Version::V3, true) => Form::Binary,
            (Version::V3, false) => Form::Counted,
            (Version::V4, false) => Form::Separated,
            (Version::V4, true) => Form::Unknown,
        };
        Self { form, at: 0 }
    }

    /// The next packet of `body`, which is the same body each time. Nothing follows an error.
    pub fn next<'a>(&mut self, body: &'a [u8]) -> Option<Result<Packet<'a>, BadPacket>> {
        let next = match self.form {
            Form::Done => None,
            Form::Unknown => Some(Err(BadPacket::Kind)),
            // A body without packets is an error in both texts.
            Form::Counted | Form::Separated if body.is_empty() => Some(Err(BadPacket::Empty)),
            Form::Counted => self.counted(body),
            Form::Binary => self.binary(body),
            Form::Separated => self.separated(body),
        };
        if !matches!(next, Some(Ok(_))) {
            self.form = Form::Done;
        }
        next
    }

    fn separated<'a>(&mut self, body: &'a [u8]) -> Option<Result<Packet<'a>, BadPacket>> {
        let rest = body.get(self.at..)?;
        let packet = if let Some(length) = rest.iter().position(|byte| *byte == SEPARATOR) {
            self.at += length + 1;
            &rest[..length]
        } else {
            // Nothing follows. Behind a separator at the end there was an empty packet.
            self.at = usize::MAX;
            rest
        };
        Some(from_utf8(Version::V4, packet))
    }

    fn counted<'a>(&mut self, body: &'a [u8]) -> Option<Result<Packet<'a>, BadPacket>> {
        loop {
            let rest = body.get(self.at..).filter(|rest| !rest.is_empty())?;
            let Some((front, length)) = counted(rest) else { return Some(Err(BadPacket::Length)) };
            self.at += front + length;
            // A packet of no length is skipped, as 2.x does.
            if length > 0 {
                return Some(from_utf8(Version::V3, &rest[front..front + length]));
            }
        }
    }

    fn binary<'a>(&mut self, body: &'a [u8]) -> Option<Result<Packet<'a>, BadPacket>> {
        let rest = body.get(self.at..)?;
        let (&first, behind) = rest.split_first()?;
        let Some((packet, behind)) = take_binary(behind) else { return Some(Err(BadPacket::Length)) };
        self.at = body.len() - behind.len();
        Some(match first {
            0 => from_utf8(Version::V3, packet),
            1 => Packet::from_binary(Version::V3, packet),
            _ => Err(BadPacket::Kind),
        })
    }
}

fn from_utf8(version: Version, packet: &[u8]) -> Result<Packet<'_>, BadPacket> {
    let text = std::str::from_utf8(packet).map_err(|_| BadPacket::NotUtf8)?;
    Packet::from_text(version, text)
}

/// How long the length in front of a packet is, with its colon, and how long the packet, in bytes.
fn counted(text: &[u8]) -> Option<(usize, usize)> {
    let colon = text.iter().position(|byte| !byte.is_ascii_digit())?;
    if text[colon] != b':' {
        return None;
    }
    let mut left: usize = std::str::from_utf8(&text[..colon]).ok()?.parse().ok()?;
    let behind = &text[colon + 1..];
    if behind.get(..left)?.is_ascii() {
        return Some((colon + 1, left));
    }
    let mut end = 0;
    while left > 0 {
        let (units, bytes) = match behind.get(end)? {
            ..0xc0 => (1, 1),
            ..0xe0 => (1, 2),
            ..0xf0 => (1, 3),
            0xf0.. => (2, 4),
        };
        // A length that ends within a character is none.
        left = left.checked_sub(units)?;
        end += bytes;
    }
    (end <= behind.len()).then_some((colon + 1, end))
}

fn take_binary(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte > 9)?;
    let (digits, behind) = bytes.split_at(end);
    if digits.is_empty() || behind.first() != Some(&END_OF_LENGTH) {
        return None;
    }
    let mut length: usize = 0;
    for digit in digits {
        length = length.checked_mul(10)?.checked_add(usize::from(*digit))?;
    }
    behind.get(1..)?.split_at_checked(length)
}

/// How long UTF-8 is for JavaScript, in UTF-16 units.
fn units(text: &[u8]) -> usize {
    let begins = |byte: &u8| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0);
    text.iter().map(begins).sum()
}

impl<'a> Outgoing<'a> {
    /// A message that is a text, which is UTF-8.
    pub const fn message(text: &'a [u8]) -> Self {
        Self::Text(Kind::Message, text)
    }

    /// A packet without data.
    pub const fn bare(kind: Kind) -> Self {
        Self::Text(kind, b"")
    }
}
