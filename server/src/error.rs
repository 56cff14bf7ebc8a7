//! Errors of the server's public calls: one type for each boundary.

use tokensocket_protocol::action::InvalidAction;
use tokensocket_protocol::{ErrorCode, InvalidChannel, RpcError};

use crate::broker::BrokerError;
use crate::store::StoreError;
use crate::token::TokenStoreError;

/// Why a server could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nobody said who may have a token, and there is no endpoint that wants none.
    #[error(
        "who may have a token? Call `.authenticate(…)`, or `.authenticate_anyone()` to issue one to everybody"
    )]
    NoAuthenticator,
    /// An action can never be called, or asks for something that is not there.
    #[error(transparent)]
    Action(#[from] InvalidAction),
    /// A path does not begin with a slash, ends with one, or is used twice.
    #[error("the path {0:?} cannot be served: begin with `/`, end without one, and use each path once")]
    InvalidPath(String),
    /// A limit is zero, so that nothing would work.
    #[error("{0} is zero: nothing could be done within it")]
    ZeroLimit(&'static str),
    /// A history cannot be sent.
    #[error(
        "the channels {pattern:?} keep {history} bytes, which must fit twice into a socket's outbox of {outbox}: let \
         the history have fewer, or the outbox more"
    )]
    HistoryTooLarge {
        /// Of which channels.
        pattern: String,
        /// How much they keep, in bytes.
        history: usize,
        /// How many bytes may wait for one socket.
        outbox: usize,
    },
    /// A text is no pattern of channels.
    #[error("{0:?} is no pattern of channels: {1}")]
    InvalidPattern(String, InvalidChannel),
    /// The broker could not start.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A store could not start.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node has no name.
    #[error("the operating system gave no randomness for the node's name: {0}")]
    NoRandomness(#[source] std::io::Error),
}

/// Why a publication was not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The text is no channel name.
    #[error(transparent)]
    InvalidChannel(#[from] InvalidChannel),
    /// The value cannot be JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The key is empty, or longer than 128 bytes.
    #[error("a key has 1 to 128 bytes")]
    InvalidKey,
    /// The broker did not take it.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl From<PublishError> for RpcError {
    fn from(error: PublishError) -> Self {
        let code = match error {
            PublishError::InvalidChannel(_) | PublishError::InvalidKey => ErrorCode::BadRequest,
            PublishError::NotJson(_) => ErrorCode::Internal,
            PublishError::Broker(error) => return error.into(),
        };
        Self::text(error.to_string()).with_code(code)
    }
}

/// Why a channel's history cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The text is no channel name.
    #[error(transparent)]
    InvalidChannel(#[from] InvalidChannel),
    /// The channel keeps nothing: its options say so, or it has none.
    #[error("this channel keeps no history")]
    NotKept,
    /// The broker could not read it.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl From<HistoryError> for RpcError {
    fn from(error: HistoryError) -> Self {
        let code = match error {
            HistoryError::InvalidChannel(_) => ErrorCode::BadRequest,
            HistoryError::NotKept => ErrorCode::NotFound,
            HistoryError::Broker(error) => return error.into(),
        };
        Self::text(error.to_string()).with_code(code)
    }
}

/// Why it is not known who is on a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// The text is no channel name.
    #[error(transparent)]
    InvalidChannel(#[from] InvalidChannel),
    /// The channel's options do not say that it is kept, or it has none.
    #[error("nobody keeps who is on this channel")]
    NotKept,
    /// The store did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PresenceError> for RpcError {
    fn from(error: PresenceError) -> Self {
        let code = match error {
            PresenceError::InvalidChannel(_) => ErrorCode::BadRequest,
            PresenceError::NotKept | PresenceError::Store(StoreError::Gone(_)) => ErrorCode::NotFound,
            PresenceError::Store(_) => ErrorCode::Overloaded,
        };
        Self::text(error.to_string()).with_code(code)
    }
}

/// Why a message was not kept for devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The event has no name, or too long a one.
    #[error("an event's name has 1 to 128 bytes")]
    InvalidEvent,
    /// The key is empty or too long.
    #[error("a key has 1 to 128 bytes")]
    InvalidKey,
    /// The arguments cannot be JSON.
    #[error("the arguments are not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DeliverError> for RpcError {
    fn from(error: DeliverError) -> Self {
        let code = match error {
            DeliverError::InvalidEvent | DeliverError::InvalidKey => ErrorCode::BadRequest,
            DeliverError::NotJson(_) => ErrorCode::Internal,
            DeliverError::Store(StoreError::TooLarge { .. }) => ErrorCode::TooLarge,
            DeliverError::Store(_) => ErrorCode::Overloaded,
        };
        Self::text(error.to_string()).with_code(code)
    }
}

/// Why a socket does not follow a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is no channel name.
    #[error(transparent)]
    InvalidChannel(#[from] InvalidChannel),
    /// The socket follows as many channels as it may.
    #[error("a socket may follow at most {0} channels: unsubscribe from one first")]
    TooManyChannels(usize),
    /// The socket is gone.
    #[error("the socket is closed")]
    Closed,
    /// The socket was taken off the channel before it had joined.
    #[error("the socket was taken off the channel before it had joined")]
    Left,
    /// The socket is on another node, or on none.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// The broker did not take it.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl From<SubscribeError> for RpcError {
    fn from(error: SubscribeError) -> Self {
        let code = match error {
            SubscribeError::InvalidChannel(_) => ErrorCode::BadRequest,
            SubscribeError::TooManyChannels(_) => ErrorCode::RateLimited,
            SubscribeError::Closed | SubscribeError::Left => ErrorCode::Cancelled,
            SubscribeError::Broker(error) => return error.into(),
            SubscribeError::Reach(error) => return error.into(),
        };
        Self::text(error.to_string()).with_code(code)
    }
}

impl From<BrokerError> for RpcError {
    fn from(error: BrokerError) -> Self {
        let code = match error {
            BrokerError::Unsupported(_) => ErrorCode::NotFound,
            BrokerError::Store(StoreError::TooLarge { .. }) => ErrorCode::TooLarge,
            _ => ErrorCode::Overloaded,
        };
        Self::text(error.to_string()).with_code(code)
    }
}

/// Why something was not done to a socket that may be on any node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// The text is no channel name.
    #[error(transparent)]
    InvalidChannel(#[from] InvalidChannel),
    /// The value cannot be JSON.
    #[error("the message is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// It is connected to no node that is known.
    #[error("no such socket is connected")]
    NoSuchSocket,
    /// Its node went before it answered: whether it was done is not known.
    #[error("the socket's node is gone; whether it was done before is not known")]
    NodeGone,
    /// Its node did not answer in time: whether it was done is not known.
    #[error("the socket's node did not answer in time; whether it was done is not known")]
    Timeout,
    /// Its node runs a version that cannot do this. Try again when all nodes run the same.
    #[error("the socket's node runs another version, which cannot do this")]
    NotUnderstood,
    /// Too much is under way between nodes. Try again later.
    #[error("too much is under way between nodes: try again later")]
    Overloaded,
    /// The broker did not take the question.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Its node could not do it.
    #[error("{0}")]
    Failed(String),
}

impl From<ReachError> for RpcError {
    fn from(error: ReachError) -> Self {
        let code = match error {
            ReachError::InvalidChannel(_) | ReachError::NotJson(_) => ErrorCode::BadRequest,
            ReachError::NoSuchSocket => ErrorCode::NotFound,
            ReachError::NodeGone => ErrorCode::Cancelled,
            ReachError::Timeout => ErrorCode::Timeout,
            ReachError::NotUnderstood | ReachError::Overloaded => ErrorCode::Overloaded,
            ReachError::Failed(_) => ErrorCode::Internal,
            ReachError::Broker(error) => return error.into(),
        };
        Self::text(error.to_string()).with_code(code)
    }
}

impl From<PublishError> for ReachError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::InvalidChannel(error) => Self::InvalidChannel(error),
            PublishError::NotJson(error) => Self::NotJson(error),
            PublishError::Broker(error) => Self::Broker(error),
            PublishError::InvalidKey => Self::Failed(error.to_string()),
        }
    }
}

/// Why a call of a client's action has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The client's action answered an error.
    #[error("the client's action failed: {0}")]
    Remote(RpcError),
    /// No answer came in time.
    #[error("the client did not answer in time")]
    Timeout,
    /// The socket closed before the answer came.
    #[error("the socket is closed")]
    Closed,
    /// As many calls wait for this client as may.
    #[error("too many calls wait for this client: await some first")]
    TooManyCalls,
    /// What the client speaks has no answers.
    #[error("this client answers no calls: send it an event")]
    Unsupported,
    /// The argument or the answer is not of the type asked for.
    #[error("the value has another shape: {0}")]
    Shape(#[from] serde_json::Error),
    /// The socket is on another node, or on none.
    #[error(transparent)]
    Reach(#[from] ReachError),
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        let code = match error {
            CallError::Remote(error) => return error,
            CallError::Timeout => ErrorCode::Timeout,
            CallError::Closed => ErrorCode::Cancelled,
            CallError::TooManyCalls => ErrorCode::Overloaded,
            CallError::Unsupported => ErrorCode::NotFound,
            CallError::Shape(_) => ErrorCode::Internal,
            CallError::Reach(error) => return error.into(),
        };
        Self::text(error.to_string()).with_code(code)
    }
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The identity cannot be JSON.
    #[error("{0}")]
    Identity(String),
    /// The server is shutting down.
    #[error("the server is shutting down: ask another node")]
    ShuttingDown,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] TokenStoreError),
}

/// Why [`crate::Server::serve`] ended early.
#[derive(Debug, thiserror::Error)]
#[error("the listener failed: {0}")]
pub struct ServeError(#[from] pub(crate) std::io::Error);
