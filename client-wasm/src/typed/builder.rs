//! From options to a running client.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;
use tokensocket_protocol::action::StateMap;
use tokensocket_protocol::client::handle::form;
use tokensocket_protocol::client::{Config, Session, WhenFull};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::message::MAX_DEVICE_BYTES;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use super::address::Address;
use super::ears::Ears;
use super::error::BuildError;
use super::mail::settle_by_hand;
use super::socket::{Actions, Shared, TokenSocket};
use super::transports::{self, Transport};
use crate::driver::{Driver, Target};
use crate::token::{Means, TokenSource};

/// How to ask for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenBy {
    /// By `fetch`. Across origins the server has to allow it (CORS).
    #[default]
    Fetch,
    /// By a script (JSONP), which servers of any origin can be asked with. It tells no status, so a
    /// refusal is known by its text only. Headers and credentials do not apply.
    Jsonp,
}

/// Whether cookies go along with requests: see `RequestCredentials` of the Fetch standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Credentials {
    /// To the page's own origin only.
    #[default]
    SameOrigin,
    /// To every origin; the server has to allow that.
    Include,
    /// Never.
    Omit,
}

/// Describes a client. See [`TokenSocket::builder`].
#[must_use = "a builder does nothing before `connect`"]
pub struct Builder {
    address: String,
    token_path: String,
    socket_prefix: String,
    authentication: Result<serde_json::Value, serde_json::Error>,
    token_by: TokenBy,
    credentials: Credentials,
    headers: Vec<(String, String)>,
    transports: Vec<Transport>,
    actions: Actions,
    state: StateMap,
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
            token_by: TokenBy::default(),
            credentials: Credentials::default(),
            headers: Vec::new(),
            transports: Vec::new(),
            actions: Actions::new(),
            state: StateMap::default(),
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

    /// How to ask for tokens. Default: by `fetch`.
    pub fn token_by(mut self, token_by: TokenBy) -> Self {
        self.token_by = token_by;
        self
    }

    /// Whether cookies go along with requests. Default: to the page's own origin only.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Adds a header to the token request. A page cannot add any to a WebSocket's handshake. Default:
    /// none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The transports to use, best first. When nothing is heard by one, the next is tried in the same attempt:
    /// at once where it fails, and otherwise after half of the time that the attempt has left for it and those
    /// behind it. What worked is tried first for an hour, also by the origin's other pages; when it fails, the
    /// others follow from the top. Default: [`Transport::WebSocket`], [`Transport::XhrStreaming`],
    /// [`Transport::XhrPolling`].
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
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
    /// 5 s, each plus up to half of it at random, and at once when the page is online again or looked at
    /// again. Default: true. Without it a lost connection is the client's end.
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

    /// Adds a value that actions take with the extractor [`State`](crate::State).
    pub fn state<S: tokensocket_protocol::MaybeSync + 'static>(mut self, value: S) -> Self {
        self.state.insert(value);
        self
    }

    /// How many of the server's calls may run at once; more of them are answered with `overloaded`.
    /// Default: 64.
    pub fn max_invocations(mut self, calls: usize) -> Self {
        self.session.max_invocations = calls;
        self
    }

    /// How many publications, and how many bytes of them, a [`Subscription`](crate::Subscription) keeps
    /// for a reader that is slow; then the oldest are dropped. Default: 256 and 8 MiB.
    pub fn subscription_buffer(mut self, publications: usize, bytes: usize) -> Self {
        self.subscription_items = publications;
        self.subscription_bytes = bytes;
        self
    }

    /// This device's name, 1 to 128 bytes: what is delivered to its user while it is away is kept for it by this name.
    /// Clients of one name are one device: each gets what is delivered while it is connected, and the first
    /// acknowledgement counts for all. So give a name that is kept, such as one in the page's `localStorage`, where a
    /// delivery is to reach the visitor in one of the tabs, also after a reload. Default: a name made up for this
    /// client, which outlives lost connections and no reload, so that each tab is a device of its own.
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Starts the client. It connects in the background: await [`TokenSocket::ready`] to know when, or
    /// make requests right away, which wait until then.
    ///
    /// Fails only when the description is wrong.
    pub fn connect(mut self) -> Result<TokenSocket, BuildError> {
        let query = match self.authentication {
            Ok(serde_json::Value::Object(fields)) => form::encode(&fields),
            Ok(other) => return Err(BuildError::Authentication(format!("{other} is none"))),
            Err(error) => return Err(BuildError::Authentication(error.to_string())),
        };
        let address = Address::new(&self.address, &self.token_path, &self.socket_prefix, &query)?;
        self.actions.check(&self.state)?;
        if self.device.as_ref().is_some_and(|device| !(1..=MAX_DEVICE_BYTES).contains(&device.len())) {
            return Err(BuildError::Device);
        }
        let credentials = credentials(self.credentials);
        let ways = transports::ways(&self.transports, self.session.connect_timeout, &credentials);
        let means = match self.token_by {
            TokenBy::Fetch => {
                Means::Fetch { headers: headers(&self.headers), credentials, fetch: JsValue::UNDEFINED }
            }
            TokenBy::Jsonp => Means::Jsonp,
        };
        let target = Target {
            token: TokenSource { url: address.token_url, means },
            socket_url: address.socket_url,
            ways,
        };
        // Names of requests have to differ on one connection, and delays between clients; no more.
        let mut random = Rng::with_seed(js_sys::Math::random().to_bits());
        if let Some(hello) = &mut self.session.hello {
            hello.device = Some(self.device.unwrap_or_else(|| format!("{:016x}", random.u64(..))));
        }
        let session = Session::new(NativeCodec, self.session, Box::new(move || random.u64(..)));
        let ears = Ears::new(self.actions, self.state);
        let shared = Rc::new(Shared {
            driver: Driver::start(session, target, ears),
            subscription_items: self.subscription_items,
            subscription_bytes: self.subscription_bytes,
            last_id: Cell::new(0),
        });
        shared.driver.face().belong_to(Rc::downgrade(&shared));
        spawn_local(settle_by_hand(Rc::downgrade(&shared)));
        Ok(TokenSocket { shared })
    }
}

fn headers(headers: &[(String, String)]) -> JsValue {
    let pairs = js_sys::Array::new();
    for (name, value) in headers {
        pairs.push(&js_sys::Array::of2(&name.into(), &value.into()));
    }
    pairs.into()
}

fn credentials(credentials: Credentials) -> JsValue {
    JsValue::from_str(match credentials {
        Credentials::SameOrigin => "same-origin",
        Credentials::Include => "include",
        Credentials::Omit => "omit",
    })
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("address", &self.address).finish_non_exhaustive()
    }
}
