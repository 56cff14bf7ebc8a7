//! What can go wrong between a node and NATS.
//!
//! In: errors of the client and answers of the server. Out: what is known of what was asked, for those who asked.

use async_nats::jetstream::ErrorCode;
use async_nats::{RequestErrorKind, error};

use crate::broker::BrokerError;
use crate::store::StoreError;

/// Why there is no connection to NATS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// That is no address of NATS.
    #[error("{0}: an address of NATS reads nats://host:port or tls://host:port, several divided by commas")]
    Address(String),
    /// A file with credentials or certificates cannot be used.
    #[error("{file} cannot be used: {reason}")]
    File {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
    /// No server could be reached, or none lets this client in.
    #[error("no connection to NATS at {address}: {reason}")]
    Connect {
        /// Where, without secrets.
        address: String,
        /// Why.
        reason: String,
    },
}

/// What became of something that was asked of NATS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    /// There is no connection: nothing was done.
    #[error("NATS cannot be reached")]
    Away,
    /// It was sent, and no answer came: it may be done, or be done yet.
    #[error("NATS did not answer; whether it was done is not known")]
    Unknown,
    /// Nobody there answers to that: nothing was done. Without JetStream, or while a stream has no leader.
    #[error("JetStream does not answer at the moment")]
    Nobody,
    /// The server cannot do it at all.
    #[error("{0}")]
    Unsupported(&'static str),
    /// JetStream says no: nothing was done.
    #[error("JetStream refuses: {description}")]
    Refused {
        /// Its own number for the reason.
        code: ErrorCode,
        /// Its words.
        description: String,
    },
    /// Something that the server sent is not understood.
    #[error("an answer of NATS is not understood: {0}")]
    Answer(String),
    /// The message is larger than the server takes: nothing was done.
    #[error("the message is larger than the {0} bytes that NATS takes")]
    TooLarge(usize),
}

impl LinkError {
    /// Whether JetStream refused for this reason.
    pub(super) fn is(&self, reason: ErrorCode) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == reason)
    }

    /// Whether the same may succeed in a moment.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Away | Self::Unknown | Self::Nobody => true,
            Self::Refused { code, .. } => {
                *code == ErrorCode::CLUSTER_NOT_AVAILABLE || *code == ErrorCode::STREAM_OFFLINE
            }
            _ => false,
        }
    }

    fn is_full(&self) -> bool {
        let Self::Refused { code, description } = self else { return false };
        [
            ErrorCode::INSUFFICIENT_RESOURCES,
            ErrorCode::STORAGE_RESOURCES_EXCEEDED,
            ErrorCode::MEMORY_RESOURCES_EXCEEDED,
            ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ]
        .contains(code)
            || (*code == ErrorCode::STREAM_STORE_FAILED && description.contains("maximum"))
    }
}

impl From<error::Error<RequestErrorKind>> for LinkError {
    fn from(error: error::Error<RequestErrorKind>) -> Self {
        match error.kind() {
            RequestErrorKind::NoResponders => Self::Nobody,
            RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                Self::Answer(error.to_string())
            }
            _ => Self::Unknown,
        }
    }
}

impl From<async_nats::jetstream::Error> for LinkError {
    fn from(error: async_nats::jetstream::Error) -> Self {
        Self::Refused { code: error.error_code(), description: error.to_string() }
    }
}

impl From<LinkError> for StoreError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unknown => Self::Timeout,
            error if error.is_full() => Self::DiskFull,
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<LinkError> for BrokerError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Away | LinkError::Nobody => Self::Unavailable(error.to_string()),
            LinkError::Unsupported(what) => Self::Unsupported(what.to_owned()),
            error => Self::Store(error.into()),
        }
    }
}
