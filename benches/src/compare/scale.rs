//! What the figures of a workload are, and how they are written.

use super::{
    plan::{CORES_CALLS, CORES_FAN_OUT, FAN_OUT_10K_HALF, MEMORY, is_idle},
    table::grouped,
};

/// What the figures of a workload are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Counted per second of the server's CPU time.
    PerCpuSecond,
    /// Counted per second on the clock.
    PerSecond,
    /// Resident bytes per idle socket.
    Bytes,
    /// The 99th percentile of the latency, in milliseconds.
    Milliseconds,
}

impl Scale {
    /// That of the workload called `course`.
    pub(super) fn of(course: &str) -> Self {
        match course {
            MEMORY => Self::Bytes,
            FAN_OUT_10K_HALF => Self::Milliseconds,
            CORES_CALLS | CORES_FAN_OUT => Self::PerSecond,
            course if is_idle(course) => Self::Bytes,
            _ => Self::PerCpuSecond,
        }
    }

    pub(super) fn less_is_better(self) -> bool {
        matches!(self, Self::Bytes | Self::Milliseconds)
    }

    /// In words, as a heading has them.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::PerCpuSecond => "per second of server CPU time",
            Self::PerSecond => "per second on the clock",
            Self::Bytes => "resident bytes per idle socket, less is better",
            Self::Milliseconds => "99th percentile of delivery in ms, less is better",
        }
    }

    /// A figure as tables have it.
    pub(super) fn show(self, figure: f64) -> String {
        if self == Self::Milliseconds { format!("{figure:.1}") } else { grouped(figure) }
    }
}
