//! The server's public handle.

mod channels;
mod delivery;
#[cfg(feature = "events")]
mod events;
mod nodes;
mod presence;
#[cfg(feature = "socketio")]
mod socketio;
mod together;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::{Body, Incoming};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokensocket_protocol::action::{Call, FromCall, Handler, InvalidAction};
use tokensocket_protocol::{ErrorCode, RpcError, Token};
use tower_service::Service;
use warp::filters::BoxedFilter;
use warp::{Filter, Reply};

use crate::builder::ServerBuilder;
use crate::delivery::QueueCounts;
use crate::error::{IssueError, ServeError};
use crate::http::body::{Kind, ResponseBody};
use crate::http::listener::{self, Listener};
use crate::http::service::{Answers, TokenSocketService};
use crate::http::{Head, Http};
use crate::identity::Identity;
use crate::node::{Node, NodeCounts};
use crate::session::outbox::Signal;
use crate::socket::outgoing::Outgoing;
use crate::socket::{Socket, SocketId};
use crate::token::TokenStoreError;

pub use channels::PublishOptions;
pub use nodes::Survey;
pub use together::Together;

/// A TokenSocket server. Cloning gives another handle to the same one.
///
/// It runs on the tokio runtime of whoever mounts it; see [`Server::routes`], [`Server::serve`] and
/// [`Server::into_service`]. Call [`Server::shutdown`] to end it: dropping the handles lets connections go
/// on.
#[derive(Clone)]
pub struct Server {
    http: Arc<Http>,
}

impl Server {
    /// Begins to put a server together.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    pub(crate) fn new(http: Http) -> Self {
        Self { http: Arc::new(http) }
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.http.shared.node
    }

    // Mounting.

    /// The server as a warp filter, to be combined with others. It rejects paths that are not its own
    /// with "not found", and answers all that are.
    pub fn routes(&self) -> BoxedFilter<(warp::reply::Response,)> {
        mounted(Arc::clone(&self.http))
    }

    /// Serves on `listener`, with the server's own accept loop, until [`Server::shutdown`] is through.
    ///
    /// A connection that cannot be accepted is logged, and the next one tried.
    pub async fn serve(&self, listener: impl Into<Listener>) -> Result<(), ServeError> {
        let listener = listener.into();
        listener.local_addr()?;
        listener::accept(Arc::clone(&self.http), listener, None::<TokenSocketService>).await;
        self.node().tasks.wait().await;
        Ok(())
    }

    /// The same, with `others` for every path that is not the server's own: a warp filter, through
    /// [`warp::service`], or an axum router.
    ///
    /// A request for `others` carries the peer's address as [`crate::RemoteAddress`] in its extensions.
    pub async fn serve_with<S, B>(&self, listener: impl Into<Listener>, others: S) -> Result<(), ServeError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let listener = listener.into();
        listener.local_addr()?;
        listener::accept(Arc::clone(&self.http), listener, Some(others)).await;
        self.node().tasks.wait().await;
        Ok(())
    }

    /// The server as a tower service, for hyper and axum.
    pub fn into_service(self) -> TokenSocketService {
        TokenSocketService(self.http)
    }

    // Sockets.

    /// The sockets of this node, those that have not authenticated yet among them.
    pub fn sockets(&self) -> Vec<Socket> {
        self.node().sockets()
    }

    /// The socket of this id, if it is connected to this node.
    pub fn socket(&self, id: SocketId) -> Option<Socket> {
        self.node().socket(id)
    }

    /// The sockets of this node that belong to a user, in the order in which they connected.
    pub fn user_sockets(&self, user: impl Into<Arc<str>>) -> Vec<Socket> {
        let mut sockets = self.node().user_sockets(&user.into());
        sockets.sort_unstable_by_key(Socket::id);
        sockets
    }

    /// What this node has counted since it began.
    pub fn counts(&self) -> NodeCounts {
        self.node().counts()
    }

    /// How much this node's store keeps for devices; `None` if it does not count that. See
    /// [`DeviceStore::counts`](crate::DeviceStore::counts).
    pub fn queue_counts(&self) -> Option<QueueCounts> {
        self.node().queue_counts()
    }

    // Calls.

    /// Calls an action of a client. The same as [`Socket::rpc`].
    pub fn rpc<T: DeserializeOwned>(&self, socket: &Socket, path: &str, data: impl Serialize) -> Outgoing<T> {
        socket.rpc(path, data)
    }

    /// Adds or replaces an action while running; `true` when there was one of this path. Calls that run
    /// go on with the handler they began with. One that is replaced is dropped when nobody holds it any more, perhaps
    /// by a connection that is in the middle of a burst of calls.
    pub fn insert_action<Args: 'static>(
        &self,
        path: &str,
        handler: impl Handler<Socket, Args>,
    ) -> Result<bool, InvalidAction> {
        self.http.shared.router.insert(path, handler)
    }

    /// Removes an action, and all actions under it, while running; `true` when there was any. It is dropped when
    /// nobody holds it any more, as with [`insert_action`](Self::insert_action).
    pub fn remove_action(&self, path: &str) -> bool {
        self.http.shared.router.remove(path)
    }

    /// The paths of all actions, sorted.
    pub fn actions(&self) -> Vec<String> {
        self.http.shared.router.paths()
    }

    // Tokens and times.

    /// Issues a token for `identity`, without a request: for applications that hand it to their page
    /// themselves.
    pub async fn issue_token(&self, identity: Identity) -> Result<Token, IssueError> {
        self.node().issue(identity).await
    }

    /// Takes the identity of a token, which is used up by that; `None` when it is unknown, used or expired. For doors
    /// of an application's own.
    pub async fn redeem_token(&self, token: Token) -> Result<Option<Identity>, TokenStoreError> {
        self.node().redeem(token).await
    }

    /// Changes how long a connection may take to authenticate; `None` for as long as it likes. Holds for
    /// connections that are already open, too.
    pub fn set_auth_timeout(&self, timeout: Option<Duration>) {
        self.node().set_auth_timeout(timeout);
    }

    /// Whether [`Server::shutdown`] was called: no token is issued, no connection accepted, so whoever asks for this
    /// server's health should be told to send clients elsewhere.
    pub fn is_draining(&self) -> bool {
        self.node().is_draining()
    }

    /// Ends the server.
    ///
    /// From the first moment no token is issued and no connection accepted. Then connections are told to go: all at
    /// once, or at the pace that [`ServerBuilder::drain`] says, and who has not been told yet is served as before.
    /// Clients that understand it are told to come back elsewhere, spread over the `reconnect_spread`. From when its
    /// connection was told, calls in flight may finish within the `shutdown_timeout`; new ones are answered
    /// `overloaded`. Each connection closes with 1012 when its last call is done. Returns when the last task is gone:
    /// after the last connection was told, at the latest after the `shutdown_timeout`, two `close_timeout`s, and however
    /// long disconnect hooks take, each at most the `shutdown_timeout`.
    ///
    /// An application that mounts the server keeps its own listener open until this returns: clients without WebSocket
    /// send requests to the end.
    pub async fn shutdown(&self) {
        self.node().drain();
        self.ended().await;
    }

    /// The same without a pace, whatever [`ServerBuilder::drain`] says: where nobody gains by one, such as when another
    /// server can begin only after this one. A [`shutdown`](Self::shutdown) that is under way goes on like that.
    pub async fn shutdown_at_once(&self) {
        self.node().drain_at_once();
        self.ended().await;
    }

    /// Waits until the last task is gone, as long as it has time.
    async fn ended(&self) {
        let node = self.node();
        node.last.cancelled().await;
        let limit = node.config.shutdown_timeout.saturating_add(node.config.close_timeout.saturating_mul(2));
        if tokio::time::timeout(limit, node.tasks.wait()).await.is_err() {
            for socket in node.sockets() {
                socket.outbox().signal(Signal::Kill);
            }
            node.tasks.wait().await;
        }
    }
}

/// Lets a handler take the [`Server`] it runs on as an argument.
impl FromCall<Socket> for Server {
    fn from_call(call: &Call<'_, Socket>) -> Result<Self, RpcError> {
        let server = call.state.get::<ServerHandle>().and_then(|handle| handle.get());
        server.ok_or_else(|| RpcError::text("the server is gone").with_code(ErrorCode::Overloaded))
    }
}

/// The way from a handler to its server. Weak, since the server owns its handlers.
#[derive(Clone, Default)]
pub(crate) struct ServerHandle(Arc<OnceLock<Weak<Http>>>);

impl ServerHandle {
    pub(crate) fn set(&self, server: &Server) {
        // A server is built once, so this is the only call.
        let _ = self.0.set(Arc::downgrade(&server.http));
    }

    fn get(&self) -> Option<Server> {
        self.0.get()?.upgrade().map(|http| Server { http })
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("config", &self.node().config).finish_non_exhaustive()
    }
}

/// What answers requests as a warp filter.
fn mounted<A: Answers>(answers: A) -> BoxedFilter<(warp::reply::Response,)> {
    let owner = answers.clone();
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    warp::path::full()
        .and_then(move |path: warp::path::FullPath| {
            let owned = owner.owns(path.as_str()).then(|| path.as_str().to_owned());
            async move { owned.ok_or_else(warp::reject::not_found) }
        })
        .and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::addr::remote())
        .and(warp::ext::optional())
        .and(warp::body::stream())
        .then(move |path, method, query, headers, remote_address, on_upgrade, body| {
            let answers = answers.clone();
            let mut head = Head { method, path, query, headers, remote_address, on_upgrade };
            let body = StreamBody::new(TryStreamExt::map_ok(body, Frame::data));
            async move { into_reply(answers.respond(&mut head, body).await) }
        })
        .boxed()
}

/// The same response for warp.
fn into_reply(response: Response<ResponseBody>) -> warp::reply::Response {
    let (parts, ResponseBody(body)) = response.into_parts();
    let mut reply = match body {
        Kind::Whole(bytes) => Response::new(bytes).into_response(),
        Kind::Pieces(pieces) => {
            let pieces = pieces.into_iter().map(Ok::<_, Infallible>);
            warp::reply::stream(futures_util::stream::iter(pieces)).into_response()
        }
        Kind::Frames(receiver) => warp::reply::stream(receiver).into_response(),
    };
    *reply.status_mut() = parts.status;
    *reply.headers_mut() = parts.headers;
    reply
}
