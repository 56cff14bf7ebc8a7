//! Why a call failed, and why a connection did.
//!
//! Each has its text for people as a method beside `Display`, and without its machinery, which would be a
//! good part of what a page has to download.

use std::borrow::Cow;
use std::fmt;

use crate::close::{Close, Reconnect};
use crate::error::ErrorCode;
use crate::message::Failure;

/// Why a request of the user failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum CallError<P> {
    /// The server answered an error.
    Refused(Failure<P>),
    /// No answer within the call's time. The server may have done what was asked.
    Timeout,
    /// The user cancelled the call.
    Cancelled,
    /// The connection was lost after the call was sent. The server may have done what was asked; call
    /// again if that does no harm.
    Disconnected,
    /// The queue of calls that wait to be sent is full. The call was not sent; try again later.
    Overloaded,
    /// The message has more bytes than the server takes. It was not sent.
    TooLarge {
        /// The message's size in bytes.
        bytes: u64,
        /// The server's limit in bytes.
        max: u64,
    },
    /// The session is over. The call was not sent, or its answer will never come.
    Ended,
}

impl<P> CallError<P> {
    /// What happened and what to do, for people.
    pub fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Refused(failure) => {
                return join(&["the server answered: ", &failure.message]);
            }
            Self::Timeout => "no answer in time; the server may have done what was asked",
            Self::Cancelled => "the call was cancelled",
            Self::Disconnected => "the connection was lost before the answer came",
            Self::Overloaded => "too many calls wait to be sent",
            Self::TooLarge { bytes, max } => {
                let (mut one, mut other) = (itoa::Buffer::new(), itoa::Buffer::new());
                let (bytes, max) = (one.format(*bytes), other.format(*max));
                return join(&["the message has ", bytes, " bytes and the server takes at most ", max]);
            }
            Self::Ended => "the session has ended",
        })
    }
}

impl<P> fmt::Display for CallError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl<P: fmt::Debug> std::error::Error for CallError<P> {}

/// Why an attempt to connect failed, or a connection was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The authenticator said no to the token request (status 403).
    Refused(String),
    /// The token request failed in another way: no connection, another status, no token in the answer.
    Token(String),
    /// The transport could not be opened, or broke.
    Transport(String),
    /// The server refused the token it had issued.
    Auth {
        /// The server's error text.
        message: String,
        /// The server's error code, if it sent one.
        code: Option<ErrorCode>,
    },
    /// The server closed the connection.
    Closed(Close),
    /// The attempt took longer than the connect timeout.
    Timeout,
    /// Nothing came after a ping within the pong timeout.
    Silent,
    /// The user ended the session.
    Ended,
}

impl ConnectionError {
    /// What happened, for people.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Self::Refused(why) => join(&["the server refuses to issue a token: ", why]),
            Self::Token(why) => join(&["no token could be had: ", why]),
            Self::Transport(why) => join(&["the connection failed: ", why]),
            Self::Auth { message, .. } => join(&["the server refused the token: ", message]),
            Self::Closed(close) => {
                let mut code = itoa::Buffer::new();
                join(&[
                    "the server closed the connection: ",
                    code.format(u64::from(close.code)),
                    " ",
                    &close.reason,
                ])
            }
            Self::Timeout => Cow::Borrowed("the server took too long to let us in"),
            Self::Silent => Cow::Borrowed("the server went silent"),
            Self::Ended => Cow::Borrowed("the session was ended"),
        }
    }

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

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for ConnectionError {}

/// `concat` of the standard library is four times as large.
fn join(parts: &[&str]) -> Cow<'static, str> {
    let mut text = String::new();
    for part in parts {
        text.push_str(part);
    }
    Cow::Owned(text)
}
