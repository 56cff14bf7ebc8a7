//! Engine.IO, protocols 3 and 4: how messages travel in WebSocket frames and in the bodies of polling requests.
//!
//! In: packets, or what came from a client. Out: the bytes of frames and bodies, or packets. Pure: sessions,
//! heartbeats and upgrades are the server's. What a message says is [`socketio`](crate::socketio)'s.
//!
//! ```text
//!               WebSocket                     polling, text                 polling, binary
//! protocol 3    4hello        \x04<bytes>     6:4hello10:b4AQIDBA==         <0><6><255>4hello<1><5><255><4><bytes>
//! protocol 4    4hello        <bytes>         4hello \x1e bAQIDBA==         none
//! ```
//!
//! Lengths in protocol 3's texts count UTF-16 units, as JavaScript does. Clients of 1.x write and read another text
//! there when it is outside ASCII; this is what 2.x does. As bytes both do the same.

mod handshake;
mod jsonp;
mod packet;
mod payload;
mod refusal;
#[cfg(test)]
mod tests;

pub use handshake::Handshake;
pub use jsonp::{jsonp_payload, push_jsonp};
pub use packet::{Data, Kind, Outgoing, Packet};
pub use payload::{Payload, PayloadReader, encode_payload, encode_payload_as_bytes, payload_packets};
pub use refusal::Refusal;

/// Which protocol a client speaks: the `EIO` of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Engine.IO 3, with Socket.IO protocol 4 on it: clients 1.x and 2.x.
    V3,
    /// Engine.IO 4, with Socket.IO protocol 5 on it: clients 3.x and 4.x.
    V4,
}

impl Version {
    /// Reads the query's `EIO`; `None` for any other protocol.
    pub fn parse(eio: &str) -> Option<Self> {
        match eio {
            "3" => Some(Self::V3),
            "4" => Some(Self::V4),
            _ => None,
        }
    }

    /// The number in the query.
    pub const fn number(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// Why something is no packet, or a body no packets. A connection that sent it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// There is nothing, not even a kind.
    #[error("an Engine.IO packet begins with its kind")]
    Empty,
    /// It begins with something else than 0 to 6.
    #[error("an Engine.IO packet is of the kinds 0 to 6")]
    Kind,
    /// What follows `b` is not base64.
    #[error("binary data in a text is base64")]
    Base64,
    /// A packet's length is missing, no number, or more than there is.
    #[error("a packet's length is not what follows")]
    Length,
    /// A text that is not UTF-8.
    #[error("texts are UTF-8")]
    NotUtf8,
}
