//! What a server's handle does with all nodes: who they are, what they have, and one socket of any of them.
//!
//! Without an engine that nodes share there is one node, and all of this holds for it alone.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokensocket_protocol::{Channel, Close, RawJson};

use super::Server;
use crate::broker::BrokerError;
use crate::error::{ReachError, SubscribeError};
use crate::node::peers::{
    ChannelInfo, ChannelQuery, Listed, NodeInfo, OutgoingTo, Question, SocketQuery, Surveyed, Totals,
};
use crate::socket::emit::arguments;
use crate::socket::{SocketId, SocketInfo};

/// How long a survey waits for nodes that say nothing.
const WITHIN: Duration = Duration::from_secs(2);

impl Server {
    /// What this node says of itself, as of now; its load as of when it last said so.
    pub fn this_node(&self) -> NodeInfo {
        self.node().info()
    }

    /// All nodes that are known, this one among them, by name, each as of when it last said so: at most the
    /// [`node_heartbeat`](crate::ServerBuilder::node_heartbeat) ago, 3 s by default. A node that ends is known no more;
    /// neither is one that was silent for three and a half times as long.
    ///
    /// A node that cannot reach the engine hears of no other, and forgets none until it hears again: they may well be there.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.node().nodes()
    }

    /// Asks all nodes that are known what they have, for at most 2 s. At most 64 at a time: one more is refused.
    ///
    /// ```no_run
    /// # async fn example(server: tokensocket_server::Server) -> Result<(), tokensocket_server::BrokerError> {
    /// let found = server.survey().counts().await?;
    /// println!("{} sockets; {} of {} nodes answered", found.value.sockets, found.answered, found.asked);
    /// # Ok(())
    /// # }
    /// ```
    pub fn survey(&self) -> Survey {
        Survey { server: self.clone(), within: WITHIN }
    }

    // One socket of any node.

    /// What is known of a socket, whichever node it is connected to.
    pub async fn find_socket(&self, id: SocketId) -> Result<SocketInfo, ReachError> {
        let node = self.node();
        if let Some(socket) = node.open_socket(id) {
            return Ok(socket.describe());
        }
        let found = node.reach_to(id, Question::Describe { socket: id }).await?;
        found.parse().map_err(|_| ReachError::NotUnderstood)
    }

    /// Calls an action of a client, whichever node it is connected to.
    ///
    /// Waits for the answer, at most the server's `rpc_timeout` (30 s by default); see [`OutgoingTo::timeout`] for
    /// another limit. Dropping the future cancels the call, also on another node. Resolves with
    /// [`CallError::Closed`](crate::CallError::Closed) when the socket closes first; for a socket that is not known,
    /// and a node that goes or does not know how, with [`CallError::Reach`](crate::CallError::Reach).
    pub fn rpc_to<T: DeserializeOwned>(
        &self,
        id: SocketId,
        path: &str,
        data: impl Serialize,
    ) -> OutgoingTo<T> {
        OutgoingTo::new(self.node().clone(), id, path, RawJson::new(&data))
    }

    /// Closes a socket, whichever node it is connected to, with a code and a reason, after what is queued was sent. A
    /// client comes back unless the code says otherwise; see [`Close::reconnect`].
    pub async fn disconnect(&self, id: SocketId, close: Close) -> Result<(), ReachError> {
        if let Some(socket) = self.node().open_socket(id) {
            socket.disconnect_with(close);
            return Ok(());
        }
        let question =
            Question::Disconnect { socket: id, code: close.code, reason: close.reason.into_owned() };
        self.node().reach_to(id, question).await?;
        Ok(())
    }

    /// Sends one message on `channel` to a socket, whichever node it is connected to, whether it follows the channel or
    /// not. Resolves when it is queued there; see [`Socket::send`](crate::Socket::send).
    pub async fn send_to(
        &self,
        id: SocketId,
        channel: impl AsRef<str>,
        message: impl Serialize,
    ) -> Result<(), ReachError> {
        if let Some(socket) = self.node().open_socket(id) {
            return Ok(socket.send(channel, message)?);
        }
        let (channel, message) = (Channel::new(channel)?, RawJson::new(&message)?);
        let channel = channel.as_str().to_owned();
        self.node().reach_to(id, Question::Send { socket: id, channel, message }).await?;
        Ok(())
    }

    /// Sends an event with its arguments to a socket, whichever node it is connected to. Resolves when it is queued
    /// there; see [`Socket::emit`](crate::Socket::emit).
    pub async fn emit_to(
        &self,
        id: SocketId,
        event: impl AsRef<str>,
        args: impl Serialize,
    ) -> Result<(), ReachError> {
        if let Some(socket) = self.node().open_socket(id) {
            return Ok(socket.emit(event, args)?);
        }
        let (event, args) = (event.as_ref().to_owned(), arguments(RawJson::new(&args)?));
        self.node().reach_to(id, Question::Emit { socket: id, event, args }).await?;
        Ok(())
    }

    /// Subscribes a socket to a channel, whichever node it is connected to, without asking the hooks; see
    /// [`Socket::subscribe`](crate::Socket::subscribe).
    pub async fn subscribe_to(&self, id: SocketId, channel: impl AsRef<str>) -> Result<(), SubscribeError> {
        if let Some(socket) = self.node().open_socket(id) {
            return socket.subscribe(channel).await;
        }
        let channel = Channel::new(channel)?.as_str().to_owned();
        self.node().reach_to(id, Question::Subscribe { socket: id, channel }).await?;
        Ok(())
    }

    /// Takes a socket off a channel, whichever node it is connected to, without asking the hooks; see
    /// [`Socket::unsubscribe`](crate::Socket::unsubscribe).
    pub async fn unsubscribe_from(
        &self,
        id: SocketId,
        channel: impl AsRef<str>,
    ) -> Result<(), SubscribeError> {
        if let Some(socket) = self.node().open_socket(id) {
            return socket.unsubscribe(channel);
        }
        let channel = Channel::new(channel)?.as_str().to_owned();
        self.node().reach_to(id, Question::Unsubscribe { socket: id, channel }).await?;
        Ok(())
    }
}

/// A question to all nodes, by [`Server::survey`]. Each says how many nodes answered, of how many that are known: a node
/// that is busy, of another version, or cut off is missing, and so is what it has.
#[derive(Debug)]
#[must_use = "nobody is asked until one of its questions is awaited"]
pub struct Survey {
    server: Server,
    within: Duration,
}

impl Survey {
    /// Waits at most this long for nodes that have not answered. Default 2 s. When all have, nothing is waited for.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Which sockets there are, by their ids: page by page, of at most 1,000.
    ///
    /// [`BrokerError::TooMany`] when too many surveys are under way; no other error.
    pub async fn sockets(self, query: SocketQuery) -> Result<Surveyed<Listed<SocketInfo>>, BrokerError> {
        self.server.node().survey_sockets(query, self.within).await
    }

    /// Which channels sockets follow by name, and how many do, by the channels' names: page by page, of at most 1,000.
    ///
    /// [`BrokerError::TooMany`] when too many surveys are under way; no other error.
    pub async fn channels(self, query: ChannelQuery) -> Result<Surveyed<Listed<ChannelInfo>>, BrokerError> {
        self.server.node().survey_channels(query, self.within).await
    }

    /// How much there is of everything.
    ///
    /// [`BrokerError::TooMany`] when too many surveys are under way; no other error.
    pub async fn counts(self) -> Result<Surveyed<Totals>, BrokerError> {
        self.server.node().survey_totals(self.within).await
    }
}
