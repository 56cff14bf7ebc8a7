//! What a builder is told of the engine that several nodes share.

use std::sync::Arc;
use std::time::Duration;

use super::ServerBuilder;
use crate::engine::Engine;
use crate::node_id::NodeId;

impl ServerBuilder {
    /// Shares tokens, publications, histories, presence and deliveries with all nodes that have the same engine, in place
    /// of the [`token_store`](Self::token_store), the [`broker`](Self::broker), the
    /// [`presence_store`](Self::presence_store) and the [`device_store`](Self::device_store) given so far.
    pub fn engine(mut self, engine: &impl Engine) -> Self {
        self.tokens = engine.tokens();
        self.broker = engine.broker();
        self.devices = engine.devices();
        self.presence = engine.presence();
        self
    }

    /// Names this node. By default a name is made up, which is right but where nothing may be random.
    pub fn node_id(mut self, id: NodeId) -> Self {
        self.node_id = Some(id);
        self
    }

    /// This node's name for people, in the list of nodes. Default: its machine's name.
    pub fn node_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.config.node_name = Some(name.into());
        self
    }

    /// How often this node tells others that it is there, give or take a tenth. Who is silent for three and a half times
    /// as long is known to them no more. Default 3 s. At least 10 ms.
    pub fn node_heartbeat(mut self, interval: Duration) -> Self {
        self.config.node_heartbeat = interval;
        self
    }
}
