//! What a builder is told of presence.

use std::future::Future;

use tokensocket_protocol::{Channel, RpcError};

use super::{ServerBuilder, boxed};
use crate::presence::PresenceStore;
use crate::socket::Socket;

impl ServerBuilder {
    /// Keeps who is on a channel elsewhere than in memory. The default is
    /// [`MemoryPresenceStore`](crate::MemoryPresenceStore): this node alone. Which channels keep it is said by
    /// [`ChannelOptions::presence`](crate::ChannelOptions::presence).
    pub fn presence_store(mut self, store: impl PresenceStore) -> Self {
        self.presence = Box::new(store);
        self
    }

    /// Asked before a client learns who is on a channel by `_presence`. Several hooks: all must allow. Without one, a
    /// client may ask about the channels that it follows. Who is told of joins and leaves is not asked here: every
    /// follower may be.
    pub fn on_presence<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, Channel) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_presence.push(boxed(move |(socket, channel)| hook(socket, channel)));
        self
    }
}
