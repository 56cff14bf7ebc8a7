//! Socket.IO clients of versions 1 to 4, on Engine.IO transports of our own.
//!
//! ```text
//! Engine.IO session ──▶ Connection ──┬── "/newsite" ──▶ a socket of that server's node
//!                                    └── "/other"   ──▶ a socket of another's
//! ```
//!
//! A namespace belongs to a [`Server`](crate::Server), which may have several, and may serve other clients as well:
//! what is delivered, emitted or published there reaches a Socket.IO client as events. In: connections of clients.
//! Out: sockets like all others. Must not know: what a site is, and where identities come from.
//!
//! ```
//! use tokensocket_server::socketio::{
//!     ConnectRequest, EventArgs, NamespaceOptions, Refusal, SocketIo, SocketIoOptions,
//! };
//! use tokensocket_server::{Identity, Server, Socket};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().authenticate_anyone().build()?;
//! let io = SocketIo::new(SocketIoOptions::new());
//! let options = NamespaceOptions::new().on("add", |_: Socket, args: EventArgs| async move {
//!     let (a, b): (i64, i64) = args.parse().unwrap_or_default();
//!     a + b // what the client's callback gets
//! });
//! io.namespace("/newsite", options, &server, |request: ConnectRequest| async move {
//!     let token = request.query("token").ok_or_else(|| Refusal::new("Authentication failed"))?;
//!     Ok(Identity::new(()).user(token).rooms(["staff"]))
//! });
//! let routes = io.routes(); // beside `server.routes()`
//! # Ok(())
//! # }
//! ```

mod args;
mod client;
mod connection;
mod emit;
mod handlers;
mod joined;
mod joining;
mod namespace;
mod options;
mod request;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;
use parking_lot::RwLock;
use tokensocket_protocol::engineio::Version;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::Head;
use crate::http::engineio::{Endpoint, Opens};
use crate::http::upgrade::Accept;
use crate::identity::Identity;
use crate::node::Node;
use crate::transport::Transport;
use crate::transport::engineio::Link;
use crate::transport::engineio::exchange::Exchange;
use crate::transport::engineio::session::{Session, Terms, Timing};
use crate::transport::engineio::table::{Entry, Table};
use connection::Connection;
use namespace::{Connect, Namespace};
use request::Handshake;

pub use args::{EventArgs, IntoAck};
pub use emit::EmitWithAck;
pub use namespace::NamespaceOptions;
pub use options::SocketIoOptions;
pub use request::{ConnectRequest, Refusal};

/// Where Socket.IO clients connect. Cloning gives another handle to the same.
///
/// It has no listener of its own: mount [`SocketIo::routes`] or [`SocketIo::into_service`] beside a server's, or have
/// a server mount it by [`ServerBuilder::socketio`](crate::ServerBuilder::socketio).
#[derive(Clone)]
pub struct SocketIo(pub(crate) Arc<Core>);

/// What all connections share.
pub(crate) struct Core {
    pub(crate) options: SocketIoOptions,
    namespaces: RwLock<HashMap<Box<str>, Arc<Namespace>>>,
    pub(crate) endpoint: Endpoint,
    table: Arc<Table>,
    tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl SocketIo {
    /// An endpoint without namespaces: every client is refused with "Invalid namespace" until there are some.
    pub fn new(options: SocketIoOptions) -> Self {
        let stop = CancellationToken::new();
        Self::with(options, TaskTracker::new(), stop.clone(), stop)
    }

    /// The same, whose tasks are another's. `last`: its connections have been told to go.
    pub(crate) fn with(
        options: SocketIoOptions,
        tasks: TaskTracker,
        stop: CancellationToken,
        last: CancellationToken,
    ) -> Self {
        let lingering = options.ping_timeout;
        let table = Table::new(options.max_connections, lingering, tasks.clone(), last);
        let endpoint = Endpoint {
            table: Arc::clone(&table),
            max_payload: options.max_payload,
            origins: options.origins.clone(),
            tasks: tasks.clone(),
        };
        Self(Arc::new(Core { options, namespaces: RwLock::default(), endpoint, table, tasks, stop }))
    }

    pub(crate) fn offer(&self, name: &str, options: NamespaceOptions, node: Arc<Node>, connect: Connect) {
        self.insert(name, Namespace::new(options, node, connect));
    }

    /// Offers what [`ServerBuilder::socketio`](crate::ServerBuilder::socketio) does: clients bring a token of the
    /// server's own in the handshake's query.
    pub(crate) fn offer_by_token(&self, name: &str, options: NamespaceOptions, node: &Arc<Node>) {
        let tokens = Arc::clone(node);
        let connect = Box::new(move |request: ConnectRequest| {
            let node = Arc::clone(&tokens);
            async move { redeem(&node, &request).await }.boxed()
        });
        self.offer(name, options, Arc::clone(node), connect);
    }

    fn insert(&self, name: &str, namespace: Namespace) {
        let name = if name.starts_with('/') { name.into() } else { format!("/{name}").into() };
        self.0.namespaces.write().insert(name, Arc::new(namespace));
    }

    /// Offers a namespace no longer; `true` when it was there. Who is connected stays: see
    /// [`Server::shutdown`](crate::Server::shutdown) and [`Server::disconnect_users`](crate::Server::disconnect_users).
    pub fn remove(&self, name: &str) -> bool {
        self.0.namespaces.write().remove(name).is_some()
    }

    /// How many clients are connected, or about to.
    pub fn connections(&self) -> usize {
        self.0.table.len()
    }

    /// Whether a path belongs to it.
    pub fn owns(&self, path: &str) -> bool {
        self.0.below(path).is_some()
    }

    /// Ends it: no client can connect any more, and those that are connected are told to come back elsewhere; those in
    /// a namespace of a server that is [draining](crate::Server::is_draining) when that server tells them, so shut it
    /// down first. Returns when the last one is gone, at the latest some seconds after that. Not needed where a server
    /// mounts it, whose [`Server::shutdown`](crate::Server::shutdown) does the same.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl std::fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketIo").field("options", &self.0.options).finish_non_exhaustive()
    }
}

async fn redeem(node: &Node, request: &ConnectRequest) -> Result<Identity, Refusal> {
    match request.redeem(node).await {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(Refusal::invalid_token()),
        Err(error) => {
            tracing::warn!(%error, "a token could not be redeemed");
            Err(Refusal::try_again(error.to_string()))
        }
    }
}

impl Core {
    /// What stands behind the path in `path`: empty, or beginning with a slash.
    pub(crate) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&*self.options.path).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn find(&self, namespace: &str) -> Option<Arc<Namespace>> {
        self.namespaces.read().get(namespace).cloned()
    }

    /// Whether there are namespaces beside this one.
    fn has_others(&self, namespace: &str) -> bool {
        self.namespaces.read().keys().any(|name| **name != *namespace)
    }

    fn terms(&self, version: Version, base64: bool) -> Terms {
        let SocketIoOptions { ping_interval, ping_timeout, upgrade_timeout, .. } = self.options;
        Terms {
            version,
            timing: Timing { ping_interval, ping_timeout, upgrade_timeout },
            max_payload: self.options.max_payload,
            upgrades: self.options.websocket,
            base64,
        }
    }

    fn connection(
        self: &Arc<Self>,
        version: Version,
        handshake: Handshake,
        (exchange, entry): (Arc<Exchange>, Entry),
        link: Option<Box<dyn Link>>,
    ) -> Connection {
        let base64 = handshake.parameter("b64").is_some();
        let session = Session::new(self.terms(version, base64), exchange, entry, link);
        Connection::new(Arc::clone(self), version, session, handshake)
    }
}

/// Opens sessions for those who ask.
pub(crate) struct Opener<'a>(pub(crate) &'a Arc<Core>);

/// A connection that begins as a WebSocket.
pub(crate) struct Begins {
    core: Arc<Core>,
    version: Version,
    handshake: Handshake,
    place: (Arc<Exchange>, Entry),
}

type Refused = (StatusCode, &'static str);

impl Opener<'_> {
    fn place(&self) -> Result<(Arc<Exchange>, Entry), Refused> {
        if self.0.stop.is_cancelled() {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
        }
        let most = self.0.options.max_payload;
        let full = (StatusCode::SERVICE_UNAVAILABLE, "too many connections: come again later");
        self.0.table.open(most).map_err(|_| full)
    }
}

impl Opens for Opener<'_> {
    fn open(&self, head: &Head, version: Version) -> Result<Arc<Exchange>, Refused> {
        let place = self.place()?;
        let exchange = Arc::clone(&place.0);
        let connection = self.0.connection(version, Handshake::of(head), place, None);
        self.0.tasks.spawn(connection);
        Ok(exchange)
    }

    fn accept(&self, head: &Head, version: Version) -> Result<impl Accept, Refused> {
        if !self.0.options.websocket {
            return Err((StatusCode::BAD_REQUEST, "this server offers no WebSocket here"));
        }
        let place = self.place()?;
        Ok(Begins { core: Arc::clone(self.0), version, handshake: Handshake::of(head), place })
    }
}

impl Accept for Begins {
    fn run<T: Transport>(self, transport: T) -> impl Future<Output = ()> + Send {
        let Self { core, version, handshake, place } = self;
        core.connection(version, handshake, place, Some(Box::new(transport)))
    }
}

/// How long a client that was refused for good has to read that, before its connection is ended.
const REFUSED: Duration = Duration::from_millis(20);
