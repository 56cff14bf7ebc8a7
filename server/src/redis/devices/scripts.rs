//! What runs inside Redis for device queues.
//!
//! ```text
//! arrive ─ depart ─ append ─ read ─ acknowledge ─ told ─ expire     one step each, on one shard
//! open ─ renew ─ release ─ rejoin ─ stray                           a node's lease, and what is connected to it
//! ```
//!
//! Each is a file of its own behind the files whose functions it uses. The keys are said in `device.lua`; `flags=allow-oom`
//! stands in front of what may be done with a full memory: all that makes room, and small things.

use crate::redis::script::Script;

macro_rules! script {
    ($($part:literal),+) => {
        Script::new(concat!(
            "#!lua\n",
            include_str!("../shards/shard.lua"),
            $(include_str!($part)),+
        ))
    };
    (even if full: $($part:literal),+) => {
        Script::new(concat!(
            "#!lua flags=allow-oom\n",
            include_str!("../shards/shard.lua"),
            $(include_str!($part)),+
        ))
    };
}

pub(super) static ARRIVE: Script = script!(even if full:
    "../shards/lease.lua",
    "scripts/device.lua",
    "scripts/forget.lua",
    "scripts/keep.lua",
    "scripts/arrive.lua"
);
pub(super) static DEPART: Script =
    script!(even if full: "scripts/device.lua", "scripts/forget.lua", "scripts/depart.lua");
pub(super) static APPEND: Script = script!(
    "scripts/device.lua",
    "scripts/keep.lua",
    "scripts/keys.lua",
    "scripts/hint.lua",
    "scripts/append.lua"
);
pub(super) static READ: Script = script!(even if full: "scripts/device.lua", "scripts/read.lua");
pub(super) static ACKNOWLEDGE: Script =
    script!(even if full: "scripts/device.lua", "scripts/hint.lua", "scripts/acknowledge.lua");
pub(super) static TOLD: Script = script!(even if full: "scripts/device.lua", "scripts/told.lua");
pub(super) static EXPIRE: Script = script!(even if full:
    "../shards/lease.lua",
    "scripts/device.lua",
    "scripts/forget.lua",
    "scripts/keys.lua",
    "scripts/hint.lua",
    "scripts/reap.lua",
    "scripts/expire.lua"
);
pub(super) static OPEN: Script = script!(even if full: "../shards/lease.lua", "scripts/device.lua", "scripts/reap.lua", "scripts/open.lua");
pub(super) static RENEW: Script = script!(even if full: "../shards/lease.lua", "scripts/device.lua", "scripts/keep.lua", "scripts/renew.lua");
pub(super) static RELEASE: Script = script!(even if full: "../shards/lease.lua", "scripts/release.lua");
pub(super) static REJOIN: Script = script!(even if full: "../shards/lease.lua", "scripts/device.lua", "scripts/keep.lua", "scripts/rejoin.lua");
pub(super) static STRAY: Script = script!(even if full: "scripts/stray.lua");

/// All of them.
pub(in crate::redis) const SCRIPTS: &[&Script] = &[
    &ARRIVE,
    &DEPART,
    &APPEND,
    &READ,
    &ACKNOWLEDGE,
    &TOLD,
    &EXPIRE,
    &OPEN,
    &RENEW,
    &RELEASE,
    &REJOIN,
    &STRAY,
];
