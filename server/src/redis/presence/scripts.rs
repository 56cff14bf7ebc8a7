//! What runs inside Redis for presence: one step each, on one shard. Each is a file of its own behind `roster.lua`, where
//! the keys are said. What takes members off is done also with a full memory.

use crate::redis::script::Script;

macro_rules! script {
    ($first:literal, $($part:literal),+) => {
        Script::new(concat!(
            $first,
            include_str!("../shards/shard.lua"),
            include_str!("../shards/lease.lua"),
            $(include_str!($part)),+
        ))
    };
}

pub(super) static JOIN: Script = script!("#!lua\n", "scripts/roster.lua", "scripts/join.lua");
pub(super) static LEAVE: Script =
    script!("#!lua flags=allow-oom\n", "scripts/roster.lua", "scripts/leave.lua");
pub(super) static MEMBERS: Script =
    script!("#!lua flags=no-writes\n", "scripts/roster.lua", "scripts/members.lua");
pub(super) static COUNTS: Script = script!("#!lua flags=no-writes\n", "scripts/counts.lua");
pub(super) static EXPIRE: Script =
    script!("#!lua flags=allow-oom\n", "scripts/roster.lua", "scripts/expire.lua");
pub(super) static RENEW: Script = script!("#!lua flags=allow-oom\n", "scripts/renew.lua");
pub(super) static RELEASE: Script = script!("#!lua flags=allow-oom\n", "scripts/release.lua");
pub(super) static REJOIN: Script =
    script!("#!lua flags=allow-oom\n", "scripts/roster.lua", "scripts/rejoin.lua");
pub(super) static STRAY: Script = script!("#!lua flags=no-writes\n", "scripts/stray.lua");

/// All of them.
pub(in crate::redis) const SCRIPTS: &[&Script] =
    &[&JOIN, &LEAVE, &MEMBERS, &COUNTS, &EXPIRE, &RENEW, &RELEASE, &REJOIN, &STRAY];
