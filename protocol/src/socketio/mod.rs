//! Socket.IO, protocols 4 and 5: the packets in Engine.IO's messages.
//!
//! In: packets, or the messages of a client. Out: texts with their attachments, or packets. Pure: connections,
//! namespaces and acknowledgements are the server's. Protocol 4 is what [`Version::V3`] carries (clients 1.x and 2.x),
//! protocol 5 what [`Version::V4`] does (3.x and 4.x).
//!
//! ```text
//! 0/newsite?token=x&deviceId=y,        connect, protocol 4: the query stands in the namespace's name
//! 0/newsite,{"token":"x"}              connect, protocol 5
//! 2/newsite,12["name",1,{"a":2}]       event, with a number for its acknowledgement
//! 3/newsite,12["done"]                 acknowledgement
//! 51-/newsite,["name",{"_placeholder":true,"num":0}]   event, and one message of bytes behind it
//! ```
//!
//! Nothing between an event's name and its closing bracket is looked into: arguments stay the text that they came as,
//! placeholders for bytes included. Only that they are JSON, and that each placeholder has its bytes, is checked.

mod arguments;
mod decoder;
mod encode;
mod packet;
mod placeholder;
#[cfg(test)]
mod tests;

pub use arguments::{Argument, ArgumentList, Arguments};
pub use decoder::{Decoder, Whole};
pub use encode::{push_ack, push_connected, push_disconnected, push_event, push_refusal, push_refusal_with};
pub use packet::{Body, Packet};

use crate::engineio::Version;

/// How many attachments a packet may have. Clients of 2.5 and 4.8 refuse more as well.
pub const MAX_ATTACHMENTS: usize = 10;

/// Whether an event may not be sent by this name: clients of protocol 5 end the connection when one comes.
pub fn is_reserved(version: Version, event: &str) -> bool {
    let reserved =
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
    version == Version::V4 && reserved.contains(&event)
}

/// Why a message is no packet, or not the one that was due. A connection that sent it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    /// It begins with something else than 0 to 6.
    #[error("a Socket.IO packet is of the types 0 to 6")]
    Type,
    /// The number of attachments is missing or none.
    #[error("a binary packet says how many attachments it has")]
    Attachments,
    /// More attachments than [`MAX_ATTACHMENTS`].
    #[error("a packet has at most {MAX_ATTACHMENTS} attachments")]
    TooManyAttachments,
    /// A packet and its attachments are more bytes than allowed.
    #[error("a packet with its attachments is too large")]
    TooLarge,
    /// A placeholder names no attachment.
    #[error("a placeholder names one of the packet's attachments")]
    Placeholder,
    /// The number of an acknowledgement is missing or too large.
    #[error("an acknowledgement has its event's number")]
    Number,
    /// What follows is not JSON, or not of the form that this type has.
    #[error("a packet's payload is not what its type demands")]
    Payload,
    /// The payload nests deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("a packet's payload nests too deeply")]
    TooDeep,
    /// A text where bytes were due, or bytes where none were.
    #[error("attachments follow their packet, and nothing else comes between")]
    Order,
}
