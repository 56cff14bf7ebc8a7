//! Why a request or a subscription failed.

use crate::channel::InvalidChannel;
use crate::client::CallError;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// A request to the server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered an error. Its code is `internal` where the server sent none.
    #[error("the server answered: {0}")]
    Server(RpcError),
    /// The argument cannot be serialized. Nothing was sent.
    #[error("the argument cannot be serialized: {0}")]
    Encode(#[source] serde_json::Error),
    /// The answer is of another shape than the type that was asked for.
    #[error("the answer is of another shape: {0}")]
    Decode(#[source] serde_json::Error),
    /// The channel's name is none. Nothing was sent.
    #[error(transparent)]
    Channel(#[from] InvalidChannel),
    /// No answer within the call's time. The server may have done what was asked.
    #[error("no answer in time; the server may have done what was asked")]
    Timeout,
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
    /// The client was ended, or stays away for good: the state is
    /// [`State::Ended`](crate::client::State::Ended).
    #[error("the client has ended")]
    Ended,
}

impl From<CallError<RawJson>> for Error {
    fn from(error: CallError<RawJson>) -> Self {
        match error {
            CallError::Refused(failure) => Self::Server(failure.into()),
            CallError::Timeout => Self::Timeout,
            CallError::Disconnected => Self::Disconnected,
            CallError::Overloaded => Self::Overloaded,
            CallError::TooLarge { bytes, max } => Self::TooLarge { bytes, max },
            // A cancelled call has nobody left to hear of it.
            _ => Self::Ended,
        }
    }
}

/// What a subscription has to tell beside publications.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// So many publications were dropped here, the oldest first, because the buffer was full. More
    /// publications follow.
    #[error("{0} publications were dropped, because they were not read fast enough")]
    Lagged(u64),
    /// After a reconnect, or because the server began anew, publications were lost here that cannot be recovered:
    /// fetch the state that they were about. More publications follow.
    #[error("publications were lost here: fetch what they were about")]
    Unrecovered,
    /// The server ended the subscription, or refused it after a reconnect. Nothing follows.
    #[error("the server ended the subscription{}", .0.as_ref().map(|error| format!(": {error}")).unwrap_or_default())]
    Lost(Option<RpcError>),
    /// A publication is of another shape than the type that was asked for. More publications follow.
    #[error("a publication is of another shape: {0}")]
    Decode(String),
}
