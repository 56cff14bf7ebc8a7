//! What an endpoint of event clients offers.
//!
//! In: the application's choices and functions. Out: the same, shared by all sockets of the endpoint.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokensocket_protocol::{RawJson, RpcError};

use super::message::{DataRequest, EventMessage};
use super::socket::EventSocket;
use crate::access::{AuthenticateError, TokenRequest};
use crate::identity::Identity;

/// Which events of a client are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventMode {
    /// None: no connection is accepted, and the path answers 404.
    #[default]
    Off,
    /// Those with `:get:` are answered from data sources, all others go to the handler.
    Both,
    /// Those with `:get:` are answered from data sources, all others are ignored.
    Data,
    /// All go to the handler, those with `:get:` too.
    Passthrough,
}

impl EventMode {
    /// What a setting says: `false`, `data` or `passthrough`; anything else, `true` among them, is
    /// [`EventMode::Both`].
    pub fn from_setting(setting: &str) -> Self {
        match setting {
            "false" => Self::Off,
            "data" => Self::Data,
            "passthrough" => Self::Passthrough,
            _ => Self::Both,
        }
    }
}

pub(super) type Source =
    Arc<dyn Fn(DataRequest) -> BoxFuture<'static, Result<RawJson, RpcError>> + Send + Sync>;
pub(super) type Handler = Arc<dyn Fn(EventMessage, EventSocket) -> BoxFuture<'static, ()> + Send + Sync>;
pub(super) type Authenticator =
    Arc<dyn Fn(TokenRequest) -> BoxFuture<'static, Result<Identity, AuthenticateError>> + Send + Sync>;

/// An endpoint of event clients: see [`ServerBuilder::events`](crate::ServerBuilder::events).
#[derive(Clone)]
#[must_use = "options do nothing until `.events(path, options)`"]
pub struct EventOptions {
    pub(super) mode: EventMode,
    pub(super) is_open: bool,
    pub(super) authenticator: Option<Authenticator>,
    /// Tokens of the server's are good beside it.
    pub(super) takes_tokens: bool,
    /// By the event that asks for it.
    pub(super) sources: HashMap<String, Source>,
    pub(super) other_source: Option<Source>,
    pub(super) handler: Option<Handler>,
    pub(super) data_timeout: Duration,
}

impl EventOptions {
    /// An endpoint where each connection brings a token of this server's as `token` in its query, in which
    /// [`deviceId`](Self::authenticate) may name its device.
    pub fn new(mode: EventMode) -> Self {
        Self {
            mode,
            is_open: false,
            authenticator: None,
            takes_tokens: false,
            sources: HashMap::new(),
            other_source: None,
            handler: None,
            data_timeout: Duration::from_secs(30),
        }
    }

    /// Lets connections in that bring no `token`, as [`Identity::anonymous`]. One that is brought must be good all
    /// the same. By default nobody is let in without.
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Asks `authenticator` who connects, instead of redeeming a token of this server's. It is given the request for
    /// the WebSocket; a refusal is that request's answer, with the statuses of a token request. It has the
    /// server's [`auth_timeout`](crate::ServerBuilder::auth_timeout). On an
    /// [open](Self::open) endpoint it is asked about those that bring a `token`. The last one given counts.
    ///
    /// Where the identity has a user, the connection is one of the user's devices, for deliveries: the one that
    /// `deviceId` in the query names, in 1 to 128 bytes, or one of its own that ends with it.
    pub fn authenticate<F, Fut>(mut self, authenticator: F) -> Self
    where
        F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Identity, AuthenticateError>> + Send + 'static,
    {
        self.authenticator = Some(Arc::new(move |request| authenticator(request).boxed()));
        self
    }

    /// Lets in who brings a token of this server's as well, without asking [`authenticate`](Self::authenticate), which
    /// is asked about all other tokens; while tokens cannot be redeemed, about these too, and what it refuses then may be
    /// good later: that is answered with 500. Without an authenticator that is so anyway.
    pub fn or_token(mut self) -> Self {
        self.takes_tokens = true;
        self
    }

    /// Answers `data:get:NAME` with `data:set:NAME` and what `source` gives, to the socket that asked. A name with
    /// `:get:` in it is the whole event: `user:get:list` is answered as `user:set:list`. The last source of a name
    /// counts.
    ///
    /// Nothing is answered when the source fails, or takes longer than the [`data_timeout`](Self::data_timeout): there
    /// is no error on this wire. Either is logged as a warning, an error with [`ErrorCode::BadRequest`](crate::ErrorCode) for
    /// debugging only. Answers come as they are ready, in whatever order.
    pub fn data_source<F, Fut, T>(mut self, name: &str, source: F) -> Self
    where
        F: Fn(DataRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, RpcError>> + Send + 'static,
        T: Serialize,
    {
        let event = if name.contains(":get:") { name.to_owned() } else { format!("data:get:{name}") };
        self.sources.insert(event, sourced(source));
        self
    }

    /// Answers every event with `:get:` for which there is no [`data_source`](Self::data_source). Without it those
    /// are ignored.
    pub fn other_data<F, Fut, T>(mut self, source: F) -> Self
    where
        F: Fn(DataRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, RpcError>> + Send + 'static,
        T: Serialize,
    {
        self.other_source = Some(sourced(source));
        self
    }

    /// Takes every event that is not answered from data sources, with the socket that sent it. The last handler given
    /// counts.
    ///
    /// Handlers of one socket begin in the order in which its messages came, and then run beside each other. They end
    /// with their connection.
    pub fn on_event<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EventMessage, EventSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handler = Some(Arc::new(move |message, socket| handler(message, socket).boxed()));
        self
    }

    /// How long a data source may take. Default 30 s.
    pub fn data_timeout(mut self, timeout: Duration) -> Self {
        self.data_timeout = timeout;
        self
    }
}

fn sourced<F, Fut, T>(source: F) -> Source
where
    F: Fn(DataRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, RpcError>> + Send + 'static,
    T: Serialize,
{
    Arc::new(move |request| {
        let giving = source(request);
        async move {
            let data = giving.await?;
            RawJson::new(&data).map_err(|error| RpcError::text(format!("the data is not JSON: {error}")))
        }
        .boxed()
    })
}

impl fmt::Debug for EventOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventOptions")
            .field("mode", &self.mode)
            .field("is_open", &self.is_open)
            .field("sources", &self.sources.keys())
            .finish_non_exhaustive()
    }
}
