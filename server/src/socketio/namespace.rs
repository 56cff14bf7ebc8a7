//! A namespace: whose sockets its clients become, who they are, and what is done with their events.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::args::{EventArgs, IntoAck};
use super::handlers::Handlers;
use super::request::{ConnectRequest, Refusal};
use crate::identity::Identity;
use crate::node::Node;
use crate::socket::Socket;

/// Says who a client is.
pub(crate) type Connect =
    Box<dyn Fn(ConnectRequest) -> BoxFuture<'static, Result<Identity, Refusal>> + Send + Sync>;

/// Choices for a namespace.
#[derive(Default)]
#[must_use = "they are for a namespace"]
pub struct NamespaceOptions {
    handlers: Handlers,
}

impl NamespaceOptions {
    /// Events are ignored.
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles an event. What the handler returns is the acknowledgement, if the client wants one: see [`IntoAck`].
    ///
    /// A client's events begin to be handled in their order; a handler that waits holds up nobody, until as many run
    /// as [`max_calls_per_socket`](crate::ServerBuilder::max_calls_per_socket) says: then the client is not listened
    /// to, and when that takes as long as it may be silent its connection ends. Handlers are dropped when their socket
    /// is gone.
    pub fn on<F, Fut>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(Socket, EventArgs) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send + 'static,
    {
        self.handlers.on(event, handler);
        self
    }

    /// Handles every event that no other handler does. Without one these are ignored.
    pub fn on_any<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Socket, String, EventArgs) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send + 'static,
    {
        self.handlers.on_any(handler);
        self
    }
}

impl std::fmt::Debug for NamespaceOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamespaceOptions")
    }
}

/// A namespace that is offered.
pub(crate) struct Namespace {
    pub(super) node: Arc<Node>,
    pub(super) connect: Connect,
    pub(super) handlers: Handlers,
}

impl Namespace {
    pub(crate) fn new(options: NamespaceOptions, node: Arc<Node>, connect: Connect) -> Self {
        Self { node, connect, handlers: options.handlers }
    }
}
