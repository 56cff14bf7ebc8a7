//! Why a call failed, and why a connection did.

use crate::close::{Close, Reconnect};
use crate::error::ErrorCode;
use crate::message::Failure;

/// Why a request of the user failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<P> {
    /// The server answered an error.
    #[error("the server answered: {}", .0.message)]
    Refused(Failure<P>),
    /// No answer within the call's time. The server may have done what was asked.
    #[error("no answer in time; the server may have done what was asked")]
    Timeout,
    /// The user cancelled the call.
    #[error("the call was cancelled")]
    Cancelled,
    /// The connection was lost after the call was sent. The server may have done what was asked; call
    /// again if that does no harm.
    #[error("the connection was lost before the answer came")]
    Disconnected,
    /// The queue of calls that wait to be sent is full. The call was not sent; try again later.
    #[error("too many calls wait to be sent")]
    Overloaded,
    /// The message has more bytes than the server takes. It was not sent.
    #[error("the message has {bytes} bytes and the server takes at most {max}")]
    TooLarge {
        /// The message's size in bytes.
        bytes: u64,
        /// The server's limit in bytes.
        max: u64,
    },
    /// The session is over. The call was not sent, or its answer will never come.
    #[error("the session has ended")]
    Ended,
}

/// Why an attempt to connect failed, or a connection was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The authenticator said no to the token request (status 403).
    #[error("the server refuses to issue a token: {0}")]
    Refused(String),
    /// The token request failed in another way: no connection, another status, no token in the answer.
    #[error("no token could be had: {0}")]
    Token(String),
    /// The transport could not be opened, or broke.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// The server refused the token it had issued.
    #[error("the server refused the token: {message}")]
    Auth {
        /// The server's error text.
        message: String,
        /// The server's error code, if it sent one.
        code: Option<ErrorCode>,
    },
    /// The server closed the connection.
    #[error("the server closed the connection: {0}")]
    Closed(Close),
    /// The attempt took longer than the connect timeout.
    #[error("the server took too long to let us in")]
    Timeout,
    /// Nothing came after a ping within the pong timeout.
    #[error("the server went silent")]
    Silent,
    /// The user ended the session.
    #[error("the session was ended")]
    Ended,
}

impl ConnectionError {
    /// Whether trying again would meet the same answer. `authenticated` says whether the session ever
    /// was: a refused token request is final only before.
    pub(super) fn is_final(&self, authenticated: bool) -> bool {
        match self {
            Self::Refused(_) => !authenticated,
            Self::Auth { code, .. } => *code == Some(ErrorCode::Forbidden),
            Self::Closed(close) => close.reconnect() == Reconnect::No,
            _ => false,
        }
    }
}
