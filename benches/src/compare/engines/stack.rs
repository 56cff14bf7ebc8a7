//! Whose nodes, and on what.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{compare::engine::EngineKind, target::DialectName};

/// How many nodes there are at most.
const NODES: usize = 3;

/// Whose nodes, and on what.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Stack {
    /// Ours, by itself.
    Memory,
    /// Ours on Redis.
    Redis,
    /// Ours on NATS.
    Nats,
    /// npm socket.io, by itself.
    Socketio,
    /// npm socket.io with its Redis adapter.
    SocketioRedis,
}

pub(super) const STACKS: [Stack; 5] =
    [Stack::Memory, Stack::Redis, Stack::Nats, Stack::Socketio, Stack::SocketioRedis];

impl Stack {
    /// As `--peers` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::Socketio => "socket.io",
            Self::SocketioRedis => "socket.io-redis",
        }
    }

    /// As tables have it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Memory => "TokenSocket, in memory",
            Self::Redis => "TokenSocket, Redis",
            Self::Nats => "TokenSocket, NATS",
            Self::Socketio => "npm socket.io 4.8, in memory",
            Self::SocketioRedis => "npm socket.io 4.8, redis-adapter",
        }
    }

    /// As plots have it, where there is less room.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Socketio => "npm socket.io, in memory",
            Self::SocketioRedis => "npm socket.io, Redis",
            ours => ours.title(),
        }
    }

    pub(super) fn engine(self) -> EngineKind {
        match self {
            Self::Memory | Self::Socketio => EngineKind::None,
            Self::Redis | Self::SocketioRedis => EngineKind::Redis,
            Self::Nats => EngineKind::Nats,
        }
    }

    /// What it is compared with.
    pub(super) fn without_engine(self) -> Self {
        match self {
            Self::Memory | Self::Redis | Self::Nats => Self::Memory,
            Self::Socketio | Self::SocketioRedis => Self::Socketio,
        }
    }

    pub(super) fn has_engine(self) -> bool {
        self.engine() != EngineKind::None
    }

    pub(super) fn is_ours(self) -> bool {
        self.without_engine() == Self::Memory
    }

    pub(super) fn dialect(self) -> DialectName {
        if self.is_ours() { DialectName::Tokensocket } else { DialectName::Socketio }
    }

    /// How many nodes there may be.
    pub(super) fn nodes(self) -> RangeInclusive<usize> {
        1..=if self.has_engine() { NODES } else { 1 }
    }
}
