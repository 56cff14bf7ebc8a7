//! How a server is put together: the only place that names concrete stores and brokers.

mod channels;
mod delivery;
mod engine;
#[cfg(feature = "events")]
mod events;
mod presence;
#[cfg(feature = "socketio")]
mod socketio;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokensocket_protocol::action::{Actions, StateMap};
use tokensocket_protocol::{Channel, Close, RawJson, RpcError};
use warp::Filter as WarpFilter;

use crate::access::{Access, AuthenticateError, Filtered, Hook, TokenRequest};
use crate::broker::{Broker, MemoryBroker};
use crate::channels::ChannelOptions;
use crate::config::Config;
use crate::delivery::{DeviceStore, MemoryDeviceStore};
use crate::drain::Drain;
use crate::error::BuildError;
use crate::http::Http;
use crate::http::cors::AllowedOrigins;
use crate::http::sockjs::Endpoint;
use crate::identity::Identity;
use crate::node::{Node, SharedStores};
use crate::node_id::NodeId;
use crate::presence::{MemoryPresenceStore, PresenceStore};
use crate::rpc::router::Router;
use crate::rpc::routes::Routes;
use crate::server::{Server, ServerHandle};
use crate::session::driver::Shared;
use crate::socket::Socket;
use crate::token::{MemoryTokenStore, TokenStore};
use crate::transport::sockjs::options::SockJsOptions;
use crate::transport::sockjs::service::{Handler as ServiceHandler, SockJsSocket};

/// Collects what a [`Server`] is made of.
#[must_use = "a builder does nothing until `.build()`"]
pub struct ServerBuilder {
    config: Config,
    access: Access,
    actions: Actions<Socket>,
    routes: Option<Routes>,
    state: StateMap,
    node_id: Option<NodeId>,
    tokens: Box<dyn TokenStore>,
    broker: Box<dyn Broker>,
    devices: Box<dyn DeviceStore>,
    presence: Box<dyn PresenceStore>,
    origins: AllowedOrigins,
    sockjs: SockJsOptions,
    services: Vec<(String, SockJsOptions, ServiceHandler)>,
    #[cfg(feature = "events")]
    events: Vec<(String, crate::events::EventOptions)>,
    channels: Vec<(String, ChannelOptions)>,
    #[cfg(feature = "socketio")]
    socketio: Option<(crate::socketio::SocketIoOptions, crate::socketio::NamespaceOptions)>,
}

impl ServerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::default(),
            access: Access::default(),
            actions: Actions::new(),
            routes: None,
            state: StateMap::default(),
            node_id: None,
            tokens: Box::new(MemoryTokenStore::default()),
            broker: Box::new(MemoryBroker::default()),
            devices: Box::new(MemoryDeviceStore::default()),
            presence: Box::new(MemoryPresenceStore::new()),
            origins: AllowedOrigins::any(),
            sockjs: SockJsOptions::new(),
            services: Vec::new(),
            #[cfg(feature = "events")]
            events: Vec::new(),
            channels: Vec::new(),
            #[cfg(feature = "socketio")]
            socketio: None,
        }
    }

    // Who may do what.

    /// Says who may have a token. Asked for each token request; what it returns becomes the socket's
    /// identity. The last one given counts.
    pub fn authenticate<F, Fut>(mut self, authenticator: F) -> Self
    where
        F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Identity, AuthenticateError>> + Send + 'static,
    {
        self.access.authenticator = Some(Box::new(move |request| authenticator(request).boxed()));
        self
    }

    /// Issues a token to everybody. Their identity is JSON `null`.
    pub fn authenticate_anyone(self) -> Self {
        self.authenticate(|_| async { Ok(Identity::anonymous()) })
    }

    /// Asked when a socket has redeemed its token and [`Socket::identity`] is set. A refusal is answered
    /// and closes the connection. Several hooks: all must allow.
    pub fn on_authenticate<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_authenticate.push(boxed(hook));
        self
    }

    /// Asked before a client's subscription. Several hooks: all must allow.
    pub fn on_subscribe<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, Channel) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_subscribe.push(boxed(move |(socket, channel)| hook(socket, channel)));
        self
    }

    /// Asked before a client leaves a channel. Several hooks: all must allow.
    pub fn on_unsubscribe<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, Channel) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_unsubscribe.push(boxed(move |(socket, channel)| hook(socket, channel)));
        self
    }

    /// Asked before a client's publication. Several hooks: all must allow.
    pub fn on_publish<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, Channel, RawJson) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_publish.push(boxed(move |(socket, channel, data)| hook(socket, channel, data)));
        self
    }

    /// Asked before a client's broadcast. Several hooks: all must allow.
    pub fn on_broadcast<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, RawJson) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        self.access.on_broadcast.push(boxed(move |(socket, data)| hook(socket, data)));
        self
    }

    /// Told when an authenticated socket is gone, and why it ended. A hook that takes longer than the
    /// `shutdown_timeout` is dropped.
    pub fn on_disconnect<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Socket, Close) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.access.on_disconnect.push(Box::new(move |socket, close| hook(socket, close).boxed()));
        self
    }

    /// Looks at each message for each recipient, and may change or drop it. It must be quick, since the
    /// channel waits for it. It must not itself publish, subscribe, unsubscribe or ask who follows a channel:
    /// that could wait for ever. Without a filter a publication is encoded once for all.
    pub fn filter<F>(mut self, filter: F) -> Self
    where
        F: Fn(&Socket, &Channel, &RawJson) -> Filtered + Send + Sync + 'static,
    {
        self.access.filter = Some(Box::new(filter));
        self
    }

    /// Names the channels whose oldest publications may be dropped for a recipient that is too slow,
    /// instead of disconnecting it. None by default.
    pub fn drop_oldest_on<F>(mut self, channels: F) -> Self
    where
        F: Fn(&Channel) -> bool + Send + Sync + 'static,
    {
        self.access.drops_oldest = Some(Box::new(channels));
        self
    }

    /// Which origins' pages may ask for tokens, and connect as event clients. Any by default, without credentials.
    pub fn allowed_origins(mut self, origins: AllowedOrigins) -> Self {
        self.origins = origins;
        self
    }

    // What there is to call.

    /// Adds actions to those there are.
    pub fn actions(mut self, actions: Actions<Socket>) -> Self {
        self.actions = self.actions.merge(actions);
        self
    }

    /// Serves a warp filter as actions: a call of `a.b`, for which there is no action, becomes a request
    /// for `/a/b`.
    ///
    /// The call's data is the request's query and JSON body; the method is POST, or GET where the filter
    /// answers 405. The reply's JSON body is the answer; an object also gets `_code` and `_headers`. A
    /// status of 300 or more is an error, 404 is "Function not found".
    pub fn routes<F>(mut self, filter: F) -> Self
    where
        F: WarpFilter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
        F::Extract: warp::Reply + Send,
    {
        self.routes = Some(Routes::new(filter));
        self
    }

    /// Shares a value with handlers, which take it as [`crate::State`]. One value for each type.
    pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
        self.state.insert(value);
        self
    }

    /// Offers a SockJS endpoint by itself under `prefix`, without tokens. The session closes when the
    /// handler returns. A server that has such endpoints and no authenticator offers nothing else.
    pub fn sockjs<F, Fut>(self, prefix: &str, handler: F) -> Self
    where
        F: Fn(SockJsSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.sockjs_with(prefix, SockJsOptions::new(), handler)
    }

    /// The same with choices of its own.
    pub fn sockjs_with<F, Fut>(mut self, prefix: &str, options: SockJsOptions, handler: F) -> Self
    where
        F: Fn(SockJsSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.services.push((prefix.to_owned(), options, Arc::new(move |socket| handler(socket).boxed())));
        self
    }

    /// Choices for the server's own endpoint, below [`ServerBuilder::socket_prefix`]: the transports beside
    /// WebSocket.
    pub fn sockjs_options(mut self, options: SockJsOptions) -> Self {
        self.sockjs = options;
        self
    }

    /// Whether `_ping` is answered. Yes by default.
    pub fn ping(mut self, answered: bool) -> Self {
        self.config.ping = answered;
        self
    }

    // Where things are kept.

    /// Keeps tokens elsewhere than in memory. The default is [`MemoryTokenStore`], 100,000 tokens.
    pub fn token_store(mut self, store: impl TokenStore) -> Self {
        self.tokens = Box::new(store);
        self
    }

    /// Connects this node with others. The default is [`MemoryBroker`]: this node alone.
    pub fn broker(mut self, broker: impl Broker) -> Self {
        self.broker = Box::new(broker);
        self
    }

    // Paths, limits and times.

    /// Where tokens are issued. Default `/socket/token`.
    pub fn token_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.config.token_path);
        self
    }

    /// Where connections are accepted. Default `/sockets`.
    pub fn socket_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.config.socket_prefix);
        self
    }

    /// How long a token is good. Default 30 s.
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.config.token_ttl = ttl;
        self
    }

    /// The largest message of a client, in bytes. A larger one closes the connection with 1009. Default
    /// 1 MiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.config.max_message_bytes = bytes;
        self
    }

    /// How many channels one socket may follow. One more is answered `rate_limited`. Default 256.
    pub fn max_channels_per_socket(mut self, channels: usize) -> Self {
        self.config.max_channels_per_socket = channels;
        self
    }

    /// How many calls of one socket may be in flight, in each direction. One more is answered
    /// `overloaded`. A call whose answer waits for a peer that does not read is in flight, too. Default 1,024.
    pub fn max_calls_per_socket(mut self, calls: usize) -> Self {
        self.config.max_calls_per_socket = calls;
        self
    }

    /// How many connections one address may have. One more is refused with status 429. No limit by
    /// default: behind a proxy all come from one address.
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.config.max_connections_per_address = Some(connections);
        self
    }

    /// How much may wait to be written to one socket: messages and bytes. One that exceeds either is
    /// disconnected with 4409. Default 16,384 messages, 8 MiB.
    pub fn outbox(mut self, messages: usize, bytes: usize) -> Self {
        self.config.outbox_messages = messages;
        self.config.outbox_bytes = bytes;
        self
    }

    /// How long a connection may take to authenticate; `None` for as long as it likes. Default 5 s. Can
    /// be changed while running: [`Server::set_auth_timeout`].
    pub fn auth_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.auth_timeout = timeout;
        self
    }

    /// How long a call of a client's action waits for its answer. Default 30 s.
    pub fn rpc_timeout(mut self, timeout: Duration) -> Self {
        self.config.rpc_timeout = timeout;
        self
    }

    /// After how long a silence a peer is sent a ping; after twice as long it is closed with 4408.
    /// Default 25 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.config.heartbeat = interval;
        self
    }

    /// How long a close may take: what is queued, the close itself, and the peer's answer. Default 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.config.close_timeout = timeout;
        self
    }

    /// How long [`Server::shutdown`] lets calls in flight finish. Default 10 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.config.shutdown_timeout = timeout;
        self
    }

    /// How fast [`Server::shutdown`] closes connections. Default: all at once.
    pub fn drain(mut self, drain: Drain) -> Self {
        self.config.drain = drain;
        self
    }

    /// Over how long the clients of a server that shuts down are told to spread their return. Default 5 s; 250 ms at
    /// most where its connections are closed at a pace ([`ServerBuilder::drain`]).
    pub fn reconnect_spread(mut self, spread: Duration) -> Self {
        self.config.reconnect_spread = spread;
        self
    }

    /// Checks it all and makes the server.
    pub fn build(mut self) -> Result<Server, BuildError> {
        if self.access.authenticator.is_none() && self.wants_tokens() {
            return Err(BuildError::NoAuthenticator);
        }
        self.check_paths()?;
        self.check_limits()?;
        self.take_channels()?;
        self.actions.check(&self.state)?;
        let id = self.node_id.map_or_else(NodeId::random, Ok).map_err(BuildError::NoRandomness)?;
        let shared = SharedStores {
            tokens: self.tokens,
            broker: self.broker,
            devices: self.devices,
            presence: self.presence,
        };
        let node = Node::new(id, self.config, self.access, shared)?;
        let handle = ServerHandle::default();
        self.state.insert(handle.clone());
        let router = Router::new(self.actions, self.routes, self.state);
        let shared = Arc::new(Shared { node, router });
        let endpoint = |options| Endpoint::new(options, &shared.node);
        let services = self.services.into_iter();
        let services =
            services.map(|(prefix, options, handler)| (prefix, endpoint(options), handler)).collect();
        let sockets = endpoint(self.sockjs);
        #[cfg(feature = "events")]
        let events = self.events.into_iter();
        #[cfg(feature = "socketio")]
        let socketio = self.socketio.map(|(options, root)| {
            let node = &shared.node;
            let (tasks, stop, last) = (node.tasks.clone(), node.stop.clone(), node.last.clone());
            let io = crate::socketio::SocketIo::with(options, tasks, stop, last);
            io.offer_by_token("/", root, node);
            io
        });
        let server = Server::new(Http {
            shared,
            origins: self.origins,
            sockets,
            services,
            #[cfg(feature = "socketio")]
            socketio,
            #[cfg(feature = "events")]
            events: events
                .map(|(path, options)| (path, arc_swap::ArcSwap::from_pointee(options.into())))
                .collect(),
        });
        handle.set(&server);
        Ok(server)
    }

    /// Whether there is nothing to connect to but with a token that somebody asks for.
    fn wants_tokens(&self) -> bool {
        #[cfg(feature = "events")]
        if !self.events.is_empty() {
            return false;
        }
        self.services.is_empty()
    }

    fn check_paths(&self) -> Result<(), BuildError> {
        let services = self.services.iter().map(|(prefix, ..)| prefix.as_str());
        #[cfg(feature = "socketio")]
        let services = services.chain(self.socketio.iter().map(|(options, _)| &*options.path));
        #[cfg(feature = "events")]
        let services = services.chain(self.events.iter().map(|(path, _)| path.as_str()));
        let mut seen = Vec::new();
        for path in [&*self.config.token_path, &*self.config.socket_prefix].into_iter().chain(services) {
            if !path.starts_with('/') || path.ends_with('/') || seen.contains(&path) {
                return Err(BuildError::InvalidPath(path.to_owned()));
            }
            seen.push(path);
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), BuildError> {
        let config = &self.config;
        let limits = [
            ("max_message_bytes", config.max_message_bytes == 0),
            ("max_calls_per_socket", config.max_calls_per_socket == 0),
            ("outbox", config.outbox_messages == 0 || config.outbox_bytes == 0),
            ("token_ttl", config.token_ttl.is_zero()),
            ("heartbeat", config.heartbeat.is_zero()),
            ("close_timeout", config.close_timeout.is_zero()),
            ("rpc_timeout", config.rpc_timeout.is_zero()),
            ("max_history", config.max_history == 0),
            ("store_timeout", config.store_timeout.is_zero()),
            ("node_heartbeat", config.node_heartbeat < Duration::from_millis(10)),
        ];
        let sockjs = self.services.iter().map(|(_, options, _)| options).chain([&self.sockjs]);
        let of_sockjs = sockjs.flat_map(|options| {
            [
                ("heartbeat", options.heartbeat.is_some_and(|heartbeat| heartbeat.is_zero())),
                ("session_timeout", options.session_timeout.is_zero()),
                ("response_limit", options.response_limit == 0),
                ("max_sessions", options.max_sessions == 0),
            ]
        });
        limits
            .into_iter()
            .chain(of_sockjs)
            .find(|(_, zero)| *zero)
            .map_or(Ok(()), |(name, _)| Err(BuildError::ZeroLimit(name)))
    }
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("config", &self.config)
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

fn boxed<A, F, Fut>(hook: F) -> Hook<A>
where
    F: Fn(A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
{
    Box::new(move |asked| hook(asked).boxed())
}
