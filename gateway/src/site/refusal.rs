//! Why a client is not let in, in the words that clients know.

use std::fmt;

use tokensocket_server::AuthenticateError;

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The site does not know the client.
    Failed,
    /// The site answered something else.
    Status(u16),
    /// The site requires a room of the user's own, and gave none.
    NoPrivateRoom,
    /// It could not be found out. The words are for people, and name nothing that is nobody's business.
    Unknown(&'static str),
}

/// The text that the client is refused with.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("Authentication failed"),
            Self::Status(status) => write!(f, "Auth {status} error"),
            Self::NoPrivateRoom => f.write_str("User is missing a private room"),
            Self::Unknown(why) => write!(f, "Auth error: {why}"),
        }
    }
}

/// As the answer to a token request, with the text: 403 for who is not to come back like this, by which our clients know
/// it, and 500 for who may.
impl From<Refused> for AuthenticateError {
    fn from(refused: Refused) -> Self {
        match refused {
            refused @ (Refused::Failed | Refused::NoPrivateRoom) => Self::Denied(refused.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}
