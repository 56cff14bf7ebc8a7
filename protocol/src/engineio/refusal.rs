//! What the server answers to a request that it refuses: a status and a small JSON body.

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The query's `transport` is missing, unknown or not allowed.
    #[error("Transport unknown")]
    TransportUnknown,
    /// There is no session of the query's `sid`.
    #[error("Session ID unknown")]
    SessionUnknown,
    /// A session begins with `GET`.
    #[error("Bad handshake method")]
    BadHandshakeMethod,
    /// Anything else that is wrong.
    #[error("Bad request")]
    BadRequest,
    /// The request is understood and not allowed.
    #[error("Forbidden")]
    Forbidden,
    /// The query's `EIO` is neither 3 nor 4.
    #[error("Unsupported protocol version")]
    UnsupportedVersion,
}

impl Refusal {
    /// The number that clients know.
    pub const fn code(self) -> u8 {
        match self {
            Self::TransportUnknown => 0,
            Self::SessionUnknown => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedVersion => 5,
        }
    }

    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The body of the answer, `application/json`.
    pub fn to_json(self) -> String {
        format!(r#"{{"code":{},"message":"{self}"}}"#, self.code())
    }
}
