//! Who may do what: the authenticator, the hooks, the filter.
//!
//! In: a token request, or a socket and what it asks for. Out: an identity, or yes or no with an error of
//! the hook's own. Hooks run one after the other; the first that refuses decides. A hook that panics
//! refuses with `internal` and is logged.

use std::borrow::Cow;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use http::HeaderMap;
use serde::de::DeserializeOwned;
use tokensocket_protocol::{Channel, Close, Pattern, RawJson, RpcError};

use crate::guarded::{Guarded, caught};
use crate::identity::Identity;
use crate::socket::Socket;

/// A request for a token, as the authenticator sees it.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    pub(crate) headers: HeaderMap,
    pub(crate) query: String,
    pub(crate) remote_address: Option<SocketAddr>,
}

impl TokenRequest {
    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's text; `None` when it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first cookie of this name.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(http::header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The query as it came, still percent-encoded.
    pub fn raw_query(&self) -> &str {
        &self.query
    }

    /// The first query parameter of this name, decoded. A client's nested authentication data comes as
    /// `a[b]=c`.
    pub fn query(&self, name: &str) -> Option<String> {
        serde_urlencoded::from_str::<Vec<(Cow<'_, str>, String)>>(&self.query)
            .ok()?
            .into_iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The whole query as a flat type.
    pub fn parse_query<T: DeserializeOwned>(&self) -> Result<T, AuthenticateError> {
        serde_urlencoded::from_str(&self.query).map_err(|error| AuthenticateError::Failed(error.to_string()))
    }

    /// Where the request came from, when the HTTP server knows. Behind a proxy this is the proxy.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.remote_address
    }
}

/// Why a token request gets no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// Nobody is known by what the request brought: status 401 and this message. Clients may try again.
    #[error("{0}")]
    Refused(String),
    /// This user may not connect: status 403, `{"error":"Forbidden"}`.
    #[error("Forbidden")]
    Forbidden,
    /// The same with a message of its own. Clients that ask by JSONP, which see no status, still read `Forbidden` in
    /// `error`, and the message in `message`.
    #[error("{0}")]
    Denied(String),
    /// The question could not be answered: status 500 and this message.
    #[error("{0}")]
    Failed(String),
}

/// What the filter does with a message for one recipient.
#[derive(Debug, Clone)]
pub enum Filtered {
    /// Send it as it is.
    Keep,
    /// Send this instead.
    Replace(RawJson),
    /// Send nothing.
    Drop,
}

pub(crate) type Authenticator =
    Box<dyn Fn(TokenRequest) -> BoxFuture<'static, Result<Identity, AuthenticateError>> + Send + Sync>;
pub(crate) type Hook<A> = Box<dyn Fn(A) -> BoxFuture<'static, Result<(), RpcError>> + Send + Sync>;
pub(crate) type DisconnectHook = Box<dyn Fn(Socket, Close) -> BoxFuture<'static, ()> + Send + Sync>;
pub(crate) type Filter = Box<dyn Fn(&Socket, &Channel, &RawJson) -> Filtered + Send + Sync>;
pub(crate) type ChannelPredicate = Box<dyn Fn(&Channel) -> bool + Send + Sync>;

/// Everything that may refuse.
#[derive(Default)]
pub(crate) struct Access {
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) on_authenticate: Vec<Hook<Socket>>,
    pub(crate) on_subscribe: Vec<Hook<(Socket, Channel)>>,
    pub(crate) on_unsubscribe: Vec<Hook<(Socket, Channel)>>,
    pub(crate) on_publish: Vec<Hook<(Socket, Channel, RawJson)>>,
    pub(crate) on_subscribe_pattern: Vec<Hook<(Socket, Pattern)>>,
    pub(crate) on_presence: Vec<Hook<(Socket, Channel)>>,
    pub(crate) on_history: Vec<Hook<(Socket, Channel)>>,
    pub(crate) on_broadcast: Vec<Hook<(Socket, RawJson)>>,
    pub(crate) on_disconnect: Vec<DisconnectHook>,
    pub(crate) filter: Option<Filter>,
    pub(crate) drops_oldest: Option<ChannelPredicate>,
}

impl Access {
    /// Asks the authenticator.
    pub(crate) async fn authenticate(&self, request: TokenRequest) -> Result<Identity, AuthenticateError> {
        let Some(authenticator) = &self.authenticator else { return Err(AuthenticateError::Forbidden) };
        let asked = Guarded::begin(|| authenticator(request)).await;
        asked.unwrap_or_else(|_| {
            tracing::error!("the authenticator panicked");
            Err(AuthenticateError::Failed("Internal error".to_owned()))
        })
    }

    /// Asks every hook of one kind, in the order they were added.
    pub(crate) async fn allow<A: Clone>(hooks: &[Hook<A>], asked: A) -> Result<(), RpcError> {
        for hook in hooks {
            let answer = Guarded::begin(|| hook(asked.clone())).await;
            answer.unwrap_or_else(|_| {
                tracing::error!("a hook panicked");
                Err(RpcError::text("Internal error"))
            })?;
        }
        Ok(())
    }

    /// Tells every disconnect hook.
    pub(crate) async fn disconnected(&self, socket: Socket, close: Close) {
        for hook in &self.on_disconnect {
            let told = Guarded::begin(|| hook(socket.clone(), close.clone()));
            if told.await.is_err() {
                tracing::error!("a disconnect hook panicked");
            }
        }
    }

    /// Whether a channel's oldest publications may be dropped.
    pub(crate) fn drops_oldest(&self, channel: &Channel) -> bool {
        let Some(allowed) = &self.drops_oldest else { return false };
        caught(|| allowed(channel)).unwrap_or_else(|_| {
            tracing::error!(%channel, "what names the channels that may drop panicked");
            false
        })
    }

    /// Asks the filter, if there is one.
    pub(crate) fn filtered(&self, socket: &Socket, channel: &Channel, message: &RawJson) -> Filtered {
        let Some(filter) = &self.filter else { return Filtered::Keep };
        caught(|| filter(socket, channel, message)).unwrap_or_else(|_| {
            tracing::error!(%channel, "the filter panicked");
            Filtered::Drop
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cookies_and_query() {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", http::HeaderValue::from_static("a=1; session=x=y"));
        let request =
            TokenRequest { headers, query: "user=a%20b&x%5By%5D=1&user=2".to_owned(), remote_address: None };
        assert_eq!(request.cookie("session"), Some("x=y"));
        assert_eq!(request.query("user").as_deref(), Some("a b"));
        assert_eq!(request.query("x[y]").as_deref(), Some("1"));
        assert_eq!(request.query("z"), None);
    }
}
