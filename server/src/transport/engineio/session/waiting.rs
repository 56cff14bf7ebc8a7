//! Packets on their way to whatever carries the session.
//!
//! In: packets. Out: the same in their order, unframed, since it is known only when they are written what carries them.
//! Bounded by who asks whether there is room.

use std::collections::VecDeque;

use bytes::Bytes;
use tokensocket_protocol::engineio::{Kind, Outgoing};

use super::Terms;
use crate::transport::websocket::frame;

/// Beyond how many bytes no further packet is taken, so that it waits where its limits hold.
pub(super) const AHEAD: usize = 64 * 1024;
/// The same in packets.
const AHEAD_PACKETS: usize = 1024;
/// What a packet that waits costs beside its bytes.
const OVERHEAD: usize = 64;

/// Packets that wait for the carrier.
#[derive(Default)]
pub(super) struct Waiting {
    packets: VecDeque<Queued>,
    bytes: usize,
    /// A pong is among them.
    has_pong: bool,
}

/// A packet that waits for the carrier.
pub(super) enum Queued {
    Text(Kind, Bytes),
    Binary(Bytes),
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether another packet should be taken.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < AHEAD && self.packets.len() < AHEAD_PACKETS
    }

    /// All of them, in order.
    pub(super) fn outgoing(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.packets.iter().map(Queued::outgoing)
    }

    pub(super) fn push(&mut self, packet: Queued) {
        self.bytes += packet.cost();
        self.packets.push_back(packet);
    }

    /// Adds a pong, unless one waits: one answer is as good as many, so that a client that pings and does not read costs
    /// nothing.
    pub(super) fn push_pong(&mut self, data: Bytes) {
        if !self.has_pong {
            self.push(Queued::Text(Kind::Pong, data));
            self.has_pong = true;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Queued> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.cost();
        self.has_pong &= !matches!(packet, Queued::Text(Kind::Pong, _));
        if self.packets.is_empty() {
            // An idle session keeps no room.
            self.packets = VecDeque::new();
        }
        Some(packet)
    }
}

impl Queued {
    fn cost(&self) -> usize {
        let (Self::Text(_, bytes) | Self::Binary(bytes)) = self;
        bytes.len() + OVERHEAD
    }

    fn outgoing(&self) -> Outgoing<'_> {
        match self {
            Self::Text(kind, text) => Outgoing::Text(*kind, text),
            Self::Binary(bytes) => Outgoing::Binary(bytes),
        }
    }

    /// Appends it as a WebSocket's frame.
    pub(super) fn push_frame(&self, terms: &Terms, out: &mut Vec<u8>) {
        let packet = self.outgoing();
        let length = packet.length(terms.version, terms.base64);
        let is_binary = matches!(self, Self::Binary(_)) && !terms.base64;
        let opcode = if is_binary { frame::BINARY } else { frame::TEXT };
        frame::push_with(out, opcode, length, |out| packet.push(terms.version, terms.base64, out));
    }
}
