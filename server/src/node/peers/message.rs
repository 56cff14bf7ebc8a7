//! What nodes tell one another: that they are there, questions, answers.
//!
//! In: values of this node. Out: JSON, as [`Control::Node`](crate::broker::Control::Node) carries it, and back. Nodes of
//! two versions read it, while one follows the other: what a message has beside the fields here is passed over, and a
//! question of another kind is answered [`Failure::NotUnderstood`]. So a kind never changes what it means; what means
//! something else is another kind.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokensocket_protocol::{ErrorCode, RawJson, RpcError};

use super::info::NodeInfo;
use super::survey::{ChannelQuery, SocketQuery};
use crate::broker::BrokerError;
use crate::error::{CallError, ReachError, SubscribeError};
use crate::node_id::NodeId;
use crate::socket::SocketId;

/// One message. It says any of these, usually one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) from: NodeId,
    /// The node is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) here: Option<Here>,
    /// The node has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) gone: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ask: Option<Ask>,
    /// Nobody waits any more for what this question is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cancel: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Answer>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Here {
    pub(super) info: NodeInfo,
    /// How often it says so, in milliseconds.
    pub(super) every: u64,
    /// It is new, and wants to be told who else is there.
    #[serde(default)]
    pub(super) asks: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    /// The asking node's name for it.
    pub(super) number: u64,
    /// A [`Question`], if this node knows its kind.
    pub(super) question: RawJson,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) number: u64,
    /// A [`Reply`].
    pub(super) reply: RawJson,
}

impl Message {
    pub(super) fn of(from: NodeId) -> Self {
        Self { from, here: None, gone: false, ask: None, cancel: None, answer: None }
    }
}

/// What one node asks another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Which sockets have you?
    Sockets(SocketQuery),
    /// Which channels do your sockets follow?
    Channels(ChannelQuery),
    /// How much is there of everything?
    Totals {},
    /// What is known of this socket?
    Describe { socket: SocketId },
    /// Call its client, for so many milliseconds.
    Call { socket: SocketId, path: String, args: RawJson, timeout: u64 },
    /// Close it.
    Disconnect { socket: SocketId, code: u16, reason: String },
    /// Send it a message on a channel.
    Send { socket: SocketId, channel: String, message: RawJson },
    /// Send it an event.
    Emit { socket: SocketId, event: String, args: RawJson },
    /// Have it follow a channel.
    Subscribe { socket: SocketId, channel: String },
    /// Have it leave a channel.
    Unsubscribe { socket: SocketId, channel: String },
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Done(RawJson),
    Failed(Failure),
}

/// Why something was not done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    /// That kind of question is not known here.
    NotUnderstood,
    /// So much is under way for other nodes already.
    Overloaded,
    /// It is not connected here.
    NoSuchSocket,
    /// It closed before it was done.
    Closed,
    /// It was taken off the channel before it had joined.
    Left,
    /// Its client did not answer in time.
    TimedOut,
    /// So many calls wait for its client already.
    TooManyCalls,
    /// What its client speaks has no such thing.
    Unsupported,
    /// It follows as many channels as it may.
    TooManyChannels(usize),
    /// Its client's action failed.
    Remote { error: Value, code: String, details: Option<RawJson> },
    /// Anything else, in words.
    Other(String),
    /// The node went before it answered.
    #[serde(skip)]
    NodeGone,
    /// The question did not leave this node.
    #[serde(skip)]
    Unsent(BrokerError),
}

impl Reply {
    /// Reads what a node answered, of whatever version.
    pub(super) fn read(reply: &RawJson) -> Result<RawJson, Failure> {
        match reply.parse() {
            Ok(Self::Done(value)) => Ok(value),
            Ok(Self::Failed(failure)) => Err(failure),
            Err(_) => Err(Failure::Other("the node answered what this version does not know".to_owned())),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Remote(error) => Self::Remote {
                error: error.error().clone(),
                code: error.code().as_str().to_owned(),
                details: error.details().cloned(),
            },
            CallError::Timeout => Self::TimedOut,
            CallError::Closed => Self::Closed,
            CallError::TooManyCalls => Self::TooManyCalls,
            CallError::Unsupported => Self::Unsupported,
            other @ (CallError::Shape(_) | CallError::Reach(_)) => Self::Other(other.to_string()),
        }
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::TooManyChannels(limit) => Self::TooManyChannels(limit),
            SubscribeError::Closed => Self::Closed,
            SubscribeError::Left => Self::Left,
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<Failure> for ReachError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotUnderstood => Self::NotUnderstood,
            Failure::Overloaded => Self::Overloaded,
            // Whether it was there a moment ago makes no difference.
            Failure::NoSuchSocket | Failure::Closed => Self::NoSuchSocket,
            Failure::TimedOut => Self::Timeout,
            Failure::Remote { error, .. } => Self::Failed(error.to_string()),
            Failure::Left => Self::Failed("the socket left before it had joined".to_owned()),
            Failure::TooManyCalls => Self::Failed("too many calls wait for this client".to_owned()),
            Failure::Unsupported => Self::Failed("this client cannot do that".to_owned()),
            Failure::TooManyChannels(limit) => Self::Failed(format!("it follows {limit} channels already")),
            Failure::Other(text) => Self::Failed(text),
            Failure::NodeGone => Self::NodeGone,
            Failure::Unsent(error) => Self::Broker(error),
        }
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Remote { error, code, details } => {
                let code = ErrorCode::parse(&code).unwrap_or(ErrorCode::Internal);
                let error = RpcError::value(error).with_code(code);
                Self::Remote(match details {
                    Some(details) => error.with_details(&details),
                    None => error,
                })
            }
            Failure::TimedOut => Self::Timeout,
            Failure::Closed => Self::Closed,
            Failure::TooManyCalls => Self::TooManyCalls,
            Failure::Unsupported => Self::Unsupported,
            other => Self::Reach(other.into()),
        }
    }
}

impl From<Failure> for SubscribeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooManyChannels(limit) => Self::TooManyChannels(limit),
            Failure::Closed => Self::Closed,
            Failure::Left => Self::Left,
            other => Self::Reach(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn what_is_not_known_yet_is_passed_over() {
        let text = r#"{"from":"0000000000000007","later":{"a":[1]},"here":{"every":3000,"more":1,
            "info":{"id":"0000000000000007","colour":"red"}}}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        let here = message.here.unwrap();
        assert_eq!((here.every, here.asks, here.info.sockets), (3000, false, 0));
        let text = r#"{"from":"0000000000000007","ask":{"number":1,"question":{"colours":{}}}}"#;
        let message: Message = serde_json::from_str(text).unwrap();
        assert!(message.ask.unwrap().question.parse::<Question>().is_err());
        for text in [r#"{"failed":{"new_kind":{}}}"#, r#"{"later":1}"#, "7"] {
            let reply = RawJson::from_text(text).unwrap();
            assert!(matches!(Reply::read(&reply), Err(Failure::Other(_))), "{text}");
        }
    }

    #[test]
    fn questions_and_replies_are_read_as_they_were_written() {
        let socket = "0123456789abcdef".parse().unwrap();
        let args: RawJson = RawJson::from_text(r#"{"a":[1, 2]}"#).unwrap();
        let call = Question::Call { socket, path: "a.b".to_owned(), args: args.clone(), timeout: 9 };
        let text = RawJson::new(&call).unwrap();
        match text.parse().unwrap() {
            Question::Call { socket: to, path, args: with, timeout } => {
                assert_eq!((to, &*path, with, timeout), (socket, "a.b", args, 9));
            }
            other => panic!("{other:?}"),
        }
        let done = RawJson::new(&Reply::Done(RawJson::null())).unwrap();
        assert!(Reply::read(&done).unwrap().is_null());
        let error = RpcError::new("no").with_code(ErrorCode::Forbidden).with_details(&[1]);
        let failed = Reply::Failed(CallError::Remote(error.clone()).into());
        let failure = Reply::read(&RawJson::new(&failed).unwrap()).unwrap_err();
        assert!(matches!(CallError::from(failure), CallError::Remote(again) if again == error));
    }
}
