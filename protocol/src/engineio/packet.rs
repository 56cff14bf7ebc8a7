//! One packet: its kind and its data, as a text, as bytes, or as bytes in a text.
//!
//! In: a WebSocket frame's payload, or one packet of a polling body. Out: a [`Packet`]; and the reverse.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{BadPacket, Version};

/// Writes with padding; reads with and without, since Node does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The server's first: see [`Handshake`](super::Handshake).
    Open,
    /// The session ends.
    Close,
    /// A question for a sign of life: the client's in protocol 3, the server's in 4. Also `2probe`, the client's
    /// first on a transport it wants to change to.
    Ping,
    /// Its answer, with the same data.
    Pong,
    /// A message.
    Message,
    /// The client changes over to the transport on which this comes.
    Upgrade,
    /// Nothing: what ends a poll that is no longer wanted.
    Noop,
}

impl Kind {
    /// Every kind, in the order of their digits.
    pub const ALL: [Self; 7] =
        [Self::Open, Self::Close, Self::Ping, Self::Pong, Self::Message, Self::Upgrade, Self::Noop];

    /// The digit in front of a text.
    pub const fn digit(self) -> u8 {
        b'0' + self.number()
    }

    const fn number(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Close => 1,
            Self::Ping => 2,
            Self::Pong => 3,
            Self::Message => 4,
            Self::Upgrade => 5,
            Self::Noop => 6,
        }
    }

    fn of_digit(digit: u8) -> Result<Self, BadPacket> {
        Self::of_number(digit.wrapping_sub(b'0'))
    }

    fn of_number(number: u8) -> Result<Self, BadPacket> {
        Self::ALL.get(usize::from(number)).copied().ok_or(BadPacket::Kind)
    }
}

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it is for.
    pub kind: Kind,
    /// What it carries: nothing is an empty text.
    pub data: Data<'a>,
}

/// What a packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<'a> {
    /// A text.
    Text(&'a str),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Packet<'a> {
    /// Reads a text: that of a WebSocket frame, or one packet of a polling body.
    pub fn from_text(version: Version, text: &'a str) -> Result<Self, BadPacket> {
        let (&first, _) = text.as_bytes().split_first().ok_or(BadPacket::Empty)?;
        if first == b'b' {
            return Self::from_base64(version, &text.as_bytes()[1..]);
        }
        let kind = Kind::of_digit(first)?;
        Ok(Self { kind, data: Data::Text(&text[1..]) })
    }

    /// Reads a binary WebSocket frame, or a binary packet of a polling body.
    pub fn from_binary(version: Version, bytes: &'a [u8]) -> Result<Self, BadPacket> {
        match version {
            Version::V3 => {
                let (&number, data) = bytes.split_first().ok_or(BadPacket::Empty)?;
                Ok(Self { kind: Kind::of_number(number)?, data: Data::Binary(data.into()) })
            }
            Version::V4 => Ok(Self { kind: Kind::Message, data: Data::Binary(bytes.into()) }),
        }
    }

    fn from_base64(version: Version, text: &[u8]) -> Result<Self, BadPacket> {
        let (kind, text) = match version {
            Version::V3 => {
                let (&digit, text) = text.split_first().ok_or(BadPacket::Empty)?;
                (Kind::of_digit(digit)?, text)
            }
            Version::V4 => (Kind::Message, text),
        };
        let data = BASE64.decode(text).map_err(|_| BadPacket::Base64)?;
        Ok(Self { kind, data: Data::Binary(data.into()) })
    }
}

/// A packet to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// A packet with a text, which is UTF-8 and may be empty.
    Text(Kind, &'a [u8]),
    /// A message of bytes.
    Binary(&'a [u8]),
}

impl Outgoing<'_> {
    /// Appends it as the payload of a WebSocket frame. With `base64` that is a text frame always, else a binary one
    /// for [`Outgoing::Binary`].
    pub fn push(&self, version: Version, base64: bool, out: &mut Vec<u8>) {
        match *self {
            Self::Text(kind, text) => {
                out.reserve(1 + text.len());
                out.push(kind.digit());
                out.extend_from_slice(text);
            }
            Self::Binary(data) if base64 => push_base64(version, data, out),
            Self::Binary(data) => {
                out.reserve(1 + data.len());
                if version == Version::V3 {
                    out.push(Kind::Message.number());
                }
                out.extend_from_slice(data);
            }
        }
    }

    /// How many bytes [`Outgoing::push`] appends.
    pub fn length(&self, version: Version, base64: bool) -> usize {
        let front = usize::from(version == Version::V3);
        match self {
            Self::Text(_, text) => 1 + text.len(),
            Self::Binary(data) if base64 => 1 + front + data.len().div_ceil(3).saturating_mul(4),
            Self::Binary(data) => front + data.len(),
        }
    }
}

fn push_base64(version: Version, data: &[u8], out: &mut Vec<u8>) {
    out.push(b'b');
    if version == Version::V3 {
        out.push(Kind::Message.digit());
    }
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, 0);
    let written = BASE64.encode_slice(data, &mut out[start..]).unwrap_or_default();
    out.truncate(start + written);
}
