//! One socket, whichever node it is connected to.
//!
//! In: its name, and what is wanted of it. Out: what came of it. The name says which node to ask; a socket of this node
//! is asked directly, with nothing in between.

use std::collections::HashSet;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokensocket_protocol::RawJson;
use tokio::time::timeout;

use super::answering::json;
use super::asking::{Asking, Heard};
use super::message::{Ask, Failure, Message, Question};
use crate::broker::{BrokerError, Control};
use crate::error::CallError;
use crate::node::Node;
use crate::socket::outgoing::Outgoing;
use crate::socket::{Socket, SocketId};

/// The longest that a call may take.
const LONGEST: Duration = Duration::from_hours(24);

impl Node {
    /// The socket, if it is connected to this node and not closed.
    pub(crate) fn open_socket(&self, id: SocketId) -> Option<Socket> {
        self.socket(id).filter(|socket| !socket.is_closed())
    }

    /// Asks the node of a socket that is not on this one. `cancels`: when this future is dropped, that node is told.
    pub(crate) async fn reach(
        self: &Arc<Self>,
        socket: SocketId,
        question: Question,
        within: Duration,
        cancels: bool,
    ) -> Result<RawJson, Failure> {
        let nodes = self.peers.roster.lock().nodes_of(socket);
        if nodes.is_empty() {
            return Err(Failure::NoSuchSocket);
        }
        let mut asking = Asking::of(self, nodes.iter().copied(), cancels).ok_or(Failure::Overloaded)?;
        let ask = Some(Ask { number: asking.number(), question: json(&question) });
        let message = json(&Message { ask, ..Message::of(self.id) });
        let asked = async {
            let mut left: HashSet<_> = HashSet::new();
            let mut unsent = None;
            for node in nodes {
                match self.broker.tell(node, Control::Node(message.clone())).await {
                    Ok(()) => _ = left.insert(node),
                    Err(BrokerError::NoSuchNode(_)) => unsent = Some(Failure::NodeGone),
                    Err(error) => unsent = Some(Failure::Unsent(error)),
                }
            }
            let mut last = unsent.unwrap_or(Failure::NoSuchSocket);
            while !left.is_empty()
                && let Some((node, heard)) = asking.next().await
            {
                left.remove(&node);
                match heard {
                    Heard::Answer(answer) => match answer.read() {
                        // It may be on another node that gives such names.
                        Err(Failure::NoSuchSocket) => {}
                        answer => return answer,
                    },
                    Heard::Gone => last = Failure::NodeGone,
                }
            }
            Err(last)
        };
        timeout(within, asked).await.unwrap_or(Err(Failure::TimedOut))
    }

    /// The same where the answer says nothing but that it is done.
    pub(crate) async fn reach_to(
        self: &Arc<Self>,
        socket: SocketId,
        question: Question,
    ) -> Result<RawJson, Failure> {
        self.reach(socket, question, self.config.store_timeout, false).await
    }
}

/// A call of a client on whatever node, that is sent when it is awaited.
#[must_use = "a call is sent when it is awaited"]
pub struct OutgoingTo<T> {
    node: Arc<Node>,
    socket: SocketId,
    path: String,
    args: Result<RawJson, serde_json::Error>,
    timeout: Duration,
    result: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> OutgoingTo<T> {
    pub(crate) fn new(
        node: Arc<Node>,
        socket: SocketId,
        path: &str,
        args: Result<RawJson, serde_json::Error>,
    ) -> Self {
        let timeout = node.config.rpc_timeout;
        Self { node, socket, path: path.to_owned(), args, timeout, result: PhantomData }
    }

    /// Waits at most this long for the answer, the way to the other node included; what is longer than a day is a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    async fn run(self) -> Result<T, CallError>
    where
        T: Send + 'static,
    {
        let Self { node, socket, path, args, timeout, .. } = self;
        if let Some(socket) = node.open_socket(socket) {
            return Outgoing::new(socket, &path, args, timeout).await;
        }
        let limit = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let question = Question::Call { socket, path, args: args?, timeout: limit };
        Ok(node.reach(socket, question, timeout, true).await?.parse()?)
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for OutgoingTo<T> {
    type Output = Result<T, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T> std::fmt::Debug for OutgoingTo<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingTo")
            .field("socket", &self.socket)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
