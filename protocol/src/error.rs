//! Error codes of the wire.
//!
//! In and out: a code as a type, and as its text on the wire. The error that carries it is `rpc_error.rs`.

use std::fmt;

/// What kind of error an answer carries, beside its text.
///
/// The original clients see only the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request cannot be understood. Sending it again won't help.
    BadRequest,
    /// There is no such action.
    NotFound,
    /// The identity may not do this.
    Forbidden,
    /// The token is missing, unknown, used or expired.
    Unauthenticated,
    /// The deadline passed before the answer was there.
    Timeout,
    /// The caller cancelled the call.
    Cancelled,
    /// Over a limit of this socket or address. Try again later, or use less.
    RateLimited,
    /// The request or its answer is larger than the limit.
    TooLarge,
    /// A queue or store is full. Try again later.
    Overloaded,
    /// The action failed, or named no code of its own.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::NotFound,
        Self::Forbidden,
        Self::Unauthenticated,
        Self::Timeout,
        Self::Cancelled,
        Self::RateLimited,
        Self::TooLarge,
        Self::Overloaded,
        Self::Internal,
    ];

    /// The code as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// Reads a code from the wire; `None` for one that this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
        }
        assert_eq!(ErrorCode::parse("boom"), None);
    }
}
