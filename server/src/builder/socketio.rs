//! What a builder is told of Socket.IO clients.

use super::ServerBuilder;
use crate::socketio::{NamespaceOptions, SocketIoOptions};

impl ServerBuilder {
    /// Takes Socket.IO clients of versions 1 to 4 in the namespace `/`. They bring a token of this server in the
    /// handshake's query (`io({ query: { token } })`), which is good once: another is refused with `INVALID_TOKEN`.
    ///
    /// More namespaces, and others that say who may connect: [`Server::socketio`](crate::Server::socketio).
    pub fn socketio(self, options: SocketIoOptions) -> Self {
        self.socketio_with(options, NamespaceOptions::new())
    }

    /// The same with handlers for the clients' events.
    pub fn socketio_with(mut self, options: SocketIoOptions, root: NamespaceOptions) -> Self {
        self.socketio = Some((options, root));
        self
    }
}
