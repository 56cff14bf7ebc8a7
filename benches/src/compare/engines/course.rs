//! What is measured.

use serde::{Deserialize, Serialize};

use super::stack::Stack;
use crate::workload::{Deliver, Relay, Workload};

/// What is measured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Course {
    /// Publications, each to one follower.
    Publications,
    /// The same on channels with history.
    Kept,
    /// Few publications to many followers.
    #[serde(rename = "deliveries")]
    FanOut,
    /// One publication at a time: how long it takes.
    OneByOne,
    /// Deliveries to devices, which acknowledge each.
    Devices,
}

pub(super) const COURSES: [Course; 5] =
    [Course::Publications, Course::Kept, Course::FanOut, Course::OneByOne, Course::Devices];

impl Course {
    /// As `--only` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Publications => "publications",
            Self::Kept => "kept",
            Self::FanOut => "fan-out",
            Self::OneByOne => "one-by-one",
            Self::Devices => "devices",
        }
    }

    /// As tables have it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Publications => "publications, 16 channels, 1 follower each",
            Self::Kept => "the same with history",
            Self::FanOut => "fan-out, 1 channel, 300 followers",
            Self::OneByOne => "one publication at a time",
            Self::Devices => "deliveries, each to one of 1,000 devices",
        }
    }

    pub(super) fn workload(self) -> Workload {
        let usual = Relay::default();
        Workload::Relay(match self {
            Self::Publications => Relay { in_flight: 8, ..usual },
            Self::Kept => Relay { in_flight: 8, channel: "kept".to_owned(), ..usual },
            Self::FanOut => Relay { channels: 1, followers: 300, in_flight: 2, ..usual },
            Self::OneByOne => Relay { channels: 1, in_flight: 1, ..usual },
            Self::Devices => return Workload::Deliver(Deliver::default()),
        })
    }

    /// socket.io keeps nothing, for nobody.
    pub(super) fn is_for(self, stack: Stack) -> bool {
        stack.is_ours() || !matches!(self, Self::Kept | Self::Devices)
    }
}
