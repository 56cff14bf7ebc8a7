//! What is loaded, and what it keeps things in.

use serde::{Deserialize, Serialize};

use crate::compare::engine::EngineKind;

/// What is loaded.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) enum Stack {
    /// Our gateway, everything in memory.
    InMemory,
    /// Our gateway on a Redis that keeps nothing on its disk.
    OnRedis,
    /// Our gateway on NATS.
    OnNats,
    /// Two of our gateways on one Redis: sent at one, received at the other.
    TwoOnRedis,
    /// The same on NATS.
    TwoOnNats,
    /// Socket.IO and Redis as it is without further ado, which keeps snapshots at most.
    Redis,
    /// Our gateway, which answers when it is on the disk.
    Embedded,
    /// Our gateway on a Redis that answers when it is on the disk.
    OnStrictRedis,
    /// Socket.IO with such a Redis.
    StrictRedis,
}

/// In the order of tables: what keeps nothing on the disk before what does.
pub(super) const STACKS: [Stack; 9] = [
    Stack::InMemory,
    Stack::OnRedis,
    Stack::OnNats,
    Stack::TwoOnRedis,
    Stack::TwoOnNats,
    Stack::Redis,
    Stack::Embedded,
    Stack::OnStrictRedis,
    Stack::StrictRedis,
];

impl Stack {
    /// As `--peers` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InMemory => "memory",
            Self::OnRedis => "redis",
            Self::OnNats => "nats",
            Self::TwoOnRedis => "two-on-redis",
            Self::TwoOnNats => "two-on-nats",
            Self::Redis => "npm",
            Self::Embedded => "embedded",
            Self::OnStrictRedis => "redis-strict",
            Self::StrictRedis => "npm-strict",
        }
    }

    /// As tables have it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::InMemory => "TokenSocket gateway, in memory",
            Self::OnRedis => "TokenSocket gateway, Redis",
            Self::OnNats => "TokenSocket gateway, NATS",
            Self::TwoOnRedis => "two TokenSocket gateways, Redis",
            Self::TwoOnNats => "two TokenSocket gateways, NATS",
            Self::Redis => "npm socket.io 4.8, redis-adapter, Redis",
            Self::Embedded => "TokenSocket gateway, embedded store",
            Self::OnStrictRedis => "TokenSocket gateway, Redis, appendfsync always",
            Self::StrictRedis => "npm socket.io 4.8, redis-adapter, Redis, appendfsync always",
        }
    }

    pub(super) fn engine(self) -> EngineKind {
        match self {
            Self::InMemory | Self::Embedded => EngineKind::None,
            Self::OnRedis | Self::TwoOnRedis | Self::Redis => EngineKind::Redis,
            Self::OnNats | Self::TwoOnNats => EngineKind::Nats,
            Self::OnStrictRedis | Self::StrictRedis => EngineKind::StrictRedis,
        }
    }

    pub(super) fn is_ours(self) -> bool {
        !matches!(self, Self::Redis | Self::StrictRedis)
    }

    pub(super) fn nodes(self) -> usize {
        if matches!(self, Self::TwoOnRedis | Self::TwoOnNats) { 2 } else { 1 }
    }
}
