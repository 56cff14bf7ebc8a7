//! Packets from the messages of a connection: a text, and the attachments that follow it.
//!
//! In: messages in their order. Out: packets that are whole. One decoder for each connection; a packet and its
//! attachments stand together, whatever their namespace.

use bytes::Bytes;

use super::packet::Packet;
use super::{BadPacket, placeholder};
use crate::engineio::Version;

/// Puts packets together.
#[derive(Debug)]
pub struct Decoder {
    version: Version,
    max_bytes: usize,
    /// A packet whose attachments are still to come.
    begun: Option<Box<Begun>>,
}

#[derive(Debug)]
struct Begun {
    whole: Whole,
    expected: usize,
    bytes: usize,
}

/// A packet whose attachments have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    version: Version,
    text: String,
    /// What was attached, in the order of its numbers.
    pub attachments: Vec<Bytes>,
}

impl Whole {
    /// The packet.
    pub fn packet(&self) -> Result<Packet<'_>, BadPacket> {
        Packet::parse(self.version, &self.text)
    }
}

impl Decoder {
    /// A packet may have `max_bytes` together with its attachments, beside
    /// [`MAX_ATTACHMENTS`](super::MAX_ATTACHMENTS).
    pub fn new(version: Version, max_bytes: usize) -> Self {
        Self { version, max_bytes, begun: None }
    }

    /// Takes a text. Gives its packet, or `None` when attachments have to come first: see [`Decoder::binary`].
    pub fn text<'a>(&mut self, text: &'a str) -> Result<Option<Packet<'a>>, BadPacket> {
        if self.begun.is_some() {
            return Err(BadPacket::Order);
        }
        if text.len() > self.max_bytes {
            return Err(BadPacket::TooLarge);
        }
        let packet = Packet::parse(self.version, text)?;
        let expected = packet.attachments();
        if expected == 0 {
            return Ok(Some(packet));
        }
        placeholder::check(packet.arguments(), expected)?;
        let whole = Whole { version: self.version, text: text.to_owned(), attachments: Vec::new() };
        self.begun = Some(Box::new(Begun { whole, expected, bytes: text.len() }));
        Ok(None)
    }

    /// Takes an attachment. Gives the packet when that was the last.
    pub fn binary(&mut self, bytes: impl Into<Bytes>) -> Result<Option<Whole>, BadPacket> {
        let bytes = bytes.into();
        let begun = self.begun.as_mut().ok_or(BadPacket::Order)?;
        begun.bytes = begun.bytes.saturating_add(bytes.len());
        if begun.bytes > self.max_bytes {
            return Err(BadPacket::TooLarge);
        }
        begun.whole.attachments.push(bytes);
        if begun.whole.attachments.len() < begun.expected {
            return Ok(None);
        }
        Ok(self.begun.take().map(|begun| begun.whole))
    }
}
