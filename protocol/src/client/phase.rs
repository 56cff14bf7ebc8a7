//! How far a session has come with its connection.

use std::time::Duration;

use super::error::ConnectionError;
use super::event::State;
use super::random::Number;

/// What the session waits for.
#[derive(Debug)]
pub(super) enum Phase {
    AwaitStart,
    AwaitToken {
        deadline: Duration,
    },
    AwaitOpen {
        deadline: Duration,
        token: String,
    },
    AwaitAuth {
        deadline: Duration,
        message: Number,
    },
    /// The token was refused. The close that follows says whether to come back.
    AwaitClose {
        deadline: Duration,
        error: ConnectionError,
    },
    Ready,
    AwaitRetry {
        at: Duration,
    },
    Ended,
}

impl Phase {
    pub(super) fn state(&self) -> State {
        match self {
            Self::AwaitStart | Self::AwaitRetry { .. } => State::Disconnected,
            Self::AwaitToken { .. }
            | Self::AwaitOpen { .. }
            | Self::AwaitAuth { .. }
            | Self::AwaitClose { .. } => State::Connecting,
            Self::Ready => State::Ready,
            Self::Ended => State::Ended,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::AwaitToken { deadline }
            | Self::AwaitOpen { deadline, .. }
            | Self::AwaitAuth { deadline, .. }
            | Self::AwaitClose { deadline, .. }
            | Self::AwaitRetry { at: deadline } => Some(*deadline),
            Self::AwaitStart | Self::Ready | Self::Ended => None,
        }
    }
}
