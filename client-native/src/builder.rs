//! From options to a running client.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::RwLock;
use rustls_platform_verifier::BuilderVerifierExt;
use serde::Serialize;
use tokensocket_protocol::action::StateMap;
use tokensocket_protocol::client::handle::{Handlers, Listeners, form};
use tokensocket_protocol::client::{Config, Session, State, WhenFull};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::message::MAX_DEVICE_BYTES;
use tokio::sync::{mpsc, watch};

use crate::address::Address;
use crate::driver::Driver;
use crate::error::BuildError;
use crate::socket::{Actions, Shared, Status, TokenSocket};
use crate::token::TokenRequest;
use crate::transport::Opening;

/// How many commands may lie between the handles and the driver; more of them wait.
const COMMANDS: usize = 256;

/// Describes a client. See [`TokenSocket::builder`].
#[must_use = "a builder does nothing before `connect`"]
pub struct Builder {
    address: String,
    token_path: String,
    socket_prefix: String,
    authentication: Result<serde_json::Value, serde_json::Error>,
    headers: Vec<(String, String)>,
    actions: Actions,
    state: StateMap,
    tls: Option<Arc<rustls::ClientConfig>>,
    max_message_bytes: usize,
    subscription_items: usize,
    subscription_bytes: usize,
    device: Option<String>,
    session: Config,
}

impl Builder {
    pub(crate) fn new(address: String) -> Self {
        let mut session = Config::default();
        if let Some(hello) = &mut session.hello {
            env!("CARGO_PKG_NAME").clone_into(&mut hello.name);
            env!("CARGO_PKG_VERSION").clone_into(&mut hello.version);
        }
        Self {
            address,
            token_path: "/socket/token".to_owned(),
            socket_prefix: "/sockets".to_owned(),
            authentication: Ok(serde_json::Value::Object(serde_json::Map::new())),
            headers: Vec::new(),
            actions: Actions::new(),
            state: StateMap::default(),
            tls: None,
            max_message_bytes: 16 * 1024 * 1024,
            subscription_items: 256,
            subscription_bytes: 8 * 1024 * 1024,
            device: None,
            session,
        }
    }

    /// The path of the token request. Default: `/socket/token`.
    pub fn token_path(mut self, path: impl Into<String>) -> Self {
        self.token_path = path.into();
        self
    }

    /// Where the server's sockets are; `/websocket` is added to it. Default: `/sockets`.
    pub fn socket_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.socket_prefix = prefix.into();
        self
    }

    /// What the server's authenticator gets to see, as the token request's query: an object, whose
    /// nested fields become keys such as `a[b]`. Default: nothing.
    ///
    /// A query is likely to be logged on its way; put secrets into [`header`](Self::header)s.
    pub fn authentication(mut self, data: &(impl Serialize + ?Sized)) -> Self {
        self.authentication = serde_json::to_value(data);
        self
    }

    /// Adds a header to the token request and to the WebSocket's handshake. Default: none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds headers as [`header`](Self::header) does.
    pub fn headers<N: Into<String>, V: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// How often to send a ping. A connection on which nothing follows a ping for
    /// [`pong_timeout`](Self::pong_timeout) is closed and opened anew. Default: as often as the server
    /// asks for; never with an original server.
    pub fn ping(mut self, interval: Duration) -> Self {
        self.session.ping = Some(interval);
        self
    }

    /// How long a ping may stay unanswered. Default: 10 s.
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.session.pong_timeout = timeout;
        self
    }

    /// Whether to come back when the connection is lost: after 10 ms, 50 ms, 250 ms, 1.25 s, then every
    /// 5 s, each plus up to half of it at random. Default: true. Without it a lost connection is the
    /// client's end.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.session.reconnect = reconnect;
        self
    }

    /// How long one attempt to connect may take, from the token request to ready. Default: 20 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.session.connect_timeout = timeout;
        self
    }

    /// How long a request may take, with the time it waits in the queue, when it does not say itself.
    /// Default: 30 s; `None` waits for ever.
    pub fn call_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.session.call_timeout = timeout.into();
        self
    }

    /// How many requests, and how many bytes of them, may wait while there is no connection. Default:
    /// 1024 and 8 MiB. What happens to more is [`when_full`](Self::when_full)'s affair.
    pub fn queue(mut self, requests: usize, bytes: usize) -> Self {
        self.session.queue_calls = requests;
        self.session.queue_bytes = bytes;
        self
    }

    /// Which request fails when the queue is full. Default: the new one.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.session.when_full = when_full;
        self
    }

    /// How many requests may wait for their answers at once; more of them wait in the queue. Default:
    /// 1024.
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.session.max_in_flight = requests;
        self
    }

    /// What the server may call. Default: nothing. [`TokenSocket::register`] replaces it later.
    pub fn actions(mut self, actions: Actions) -> Self {
        self.actions = actions;
        self
    }

    /// Adds a value that actions take with the extractor [`State`](crate::action::State).
    pub fn state<S: Send + Sync + 'static>(mut self, value: S) -> Self {
        self.state.insert(value);
        self
    }

    /// How many of the server's calls may run at once; more of them are answered with `overloaded`.
    /// Default: 64.
    pub fn max_invocations(mut self, calls: usize) -> Self {
        self.session.max_invocations = calls;
        self
    }

    /// The largest message to take from the server, in bytes; a larger one breaks the connection.
    /// Default: 16 MiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// How many publications, and how many bytes of them, a [`Subscription`](crate::Subscription) keeps
    /// for a reader that is slow; then the oldest are dropped. Default: 256 and 8 MiB.
    pub fn subscription_buffer(mut self, publications: usize, bytes: usize) -> Self {
        self.subscription_items = publications;
        self.subscription_bytes = bytes;
        self
    }

    /// This device's name, 1 to 128 bytes, the same each time the client is started: what is delivered to its user
    /// while it is away is kept for it by this name. Default: none, and each connection is a device of its own.
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// How to do TLS, for instance with certificates of one's own. Default: rustls with ring and the
    /// system's certificates.
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Starts the client. It connects in the background: await [`TokenSocket::ready`] to know when, or
    /// make requests right away, which wait until then.
    ///
    /// Fails only when the description is wrong. Needs a tokio runtime with I/O and time.
    pub fn connect(mut self) -> Result<TokenSocket, BuildError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let mut address = Address::new(&self.address, &self.token_path, &self.socket_prefix)?;
        let authentication = match self.authentication {
            Ok(serde_json::Value::Object(fields)) => form::encode(&fields),
            Ok(other) => return Err(BuildError::Authentication(format!("{other} is none"))),
            Err(error) => return Err(BuildError::Authentication(error.to_string())),
        };
        append_query(&mut address, &authentication);
        let headers = headers(self.headers)?;
        self.actions.check(&self.state)?;
        if self.device.as_ref().is_some_and(|device| !(1..=MAX_DEVICE_BYTES).contains(&device.len())) {
            return Err(BuildError::Device);
        }
        if let Some(hello) = &mut self.session.hello {
            hello.device = self.device;
        }
        let tls = match self.tls {
            Some(tls) => tls,
            None => Arc::new(default_tls(address.secure)?),
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            // A connection kept from the last token may be as dead as the socket was, and nothing tells
            // before the connect timeout.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| BuildError::Tls(error.to_string()))?;

        let (commands, command_receiver) = mpsc::channel(COMMANDS);
        let (control, control_receiver) = mpsc::unbounded_channel();
        let (status_sender, status) = watch::channel(Status { state: State::Disconnected, ready: None });
        let call_timeout = self.session.call_timeout;
        let token = TokenRequest { client, url: address.token_url.clone(), headers: headers.clone() };
        let opening = Opening { address, headers, tls, max_message_bytes: self.max_message_bytes };
        let shared = Arc::new(Shared {
            commands,
            control,
            status,
            listeners: Listeners::default(),
            handlers: Handlers::default(),
            actions: Arc::new(RwLock::new(Arc::new(self.actions))),
            state: Arc::new(self.state),
            call_timeout,
            subscription_items: self.subscription_items,
            subscription_bytes: self.subscription_bytes,
            last_id: AtomicU64::new(0),
        });
        let session = Session::new(NativeCodec, self.session, Box::new(rand::random));
        let driver = Driver::new(session, token, opening, &shared, status_sender);
        runtime.spawn(driver.run(command_receiver, control_receiver));
        Ok(TokenSocket { shared })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("address", &self.address).finish_non_exhaustive()
    }
}

fn append_query(address: &mut Address, query: &str) {
    if query.is_empty() {
        return;
    }
    let query = match address.token_url.query() {
        Some(before) if !before.is_empty() => format!("{before}&{query}"),
        _ => query.to_owned(),
    };
    address.token_url.set_query(Some(&query));
}

fn headers(headers: Vec<(String, String)>) -> Result<HeaderMap, BuildError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let (Ok(key), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(value)) else {
            return Err(BuildError::Header(name));
        };
        map.append(key, value);
    }
    Ok(map)
}

fn default_tls(secure: bool) -> Result<rustls::ClientConfig, BuildError> {
    let failed = |error: rustls::Error| BuildError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(failed)?;
    // Without TLS nobody asks for certificates, and there may be none.
    if !secure {
        return Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
    }
    Ok(builder.with_platform_verifier().map_err(failed)?.with_no_client_auth())
}
