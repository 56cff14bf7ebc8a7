//! What can go wrong with Redis.

use crate::broker::BrokerError;
use crate::store::StoreError;
use crate::token::TokenStoreError;

/// Why there is no connection to an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The address cannot be understood.
    #[error("{address} is no address of Redis: {reason}")]
    Address {
        /// The address, without its password.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The authorities to be trusted cannot be read.
    #[error("cannot read the certificates in {path}: {reason}")]
    Certificates {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The server cannot be reached, or does not let us in.
    #[error("cannot connect to Redis at {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The server is there, and is none that can be used.
    #[error("the Redis at {address} cannot be used: {reason}")]
    Unfit {
        /// Where.
        address: String,
        /// Why not.
        reason: String,
    },
    /// A name has characters that a key may not have here.
    #[error("{0:?} cannot be part of a key's name: use 1 to 65 letters, digits, and . _ -")]
    Name(String),
}

/// What became of an operation that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::redis) enum LinkError {
    /// Nothing was done: the server cannot be reached.
    #[error("{0}")]
    Away(String),
    /// It was sent, and no answer came.
    #[error("whether Redis has done it is not known: {0}")]
    Unknown(String),
    /// Nothing was done: more waits than may.
    #[error("more waits for Redis than may: try again later")]
    Overloaded,
    /// Nothing was done: the server's memory is full.
    #[error("the memory of Redis is full: give it more (maxmemory), or keep less")]
    Full,
    /// The server's own words.
    #[error("Redis refuses: {0}")]
    Refused(String),
}

impl From<LinkError> for StoreError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unknown(_) => Self::Timeout,
            LinkError::Overloaded => Self::Overloaded,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<LinkError> for BrokerError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Unknown(_) => Self::Store(StoreError::Timeout),
            LinkError::Overloaded => Self::TooMany("operations"),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<LinkError> for TokenStoreError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Overloaded | LinkError::Full => Self::Full,
            other => Self::Unavailable(other.to_string()),
        }
    }
}
