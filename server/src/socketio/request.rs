//! A client that wants to join a namespace, and what it is told when it may not.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use serde::Serialize;
use tokensocket_protocol::engineio::Version;
use tokensocket_protocol::message::MAX_DEVICE_BYTES;
use tokensocket_protocol::{RawJson, Token};
use tokio::sync::Mutex;

use crate::http::Head;
use crate::identity::Identity;
use crate::node::Node;
use crate::node_id::NodeId;
use crate::token::TokenStoreError;

/// The device of clients that name none.
const UNNAMED: &str = "~";

/// The request that began a connection.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    headers: Arc<HeaderMap>,
    query: Arc<str>,
    pub(crate) remote_address: Option<SocketAddr>,
    redeemed: Arc<Mutex<Option<Redeemed>>>,
}

/// A token that was used up by this connection, and whose identity its namespaces share.
#[derive(Debug)]
struct Redeemed {
    node: NodeId,
    token: Token,
    identity: Identity,
}

impl Redeemed {
    /// Compared as they are: who shows the token again is who brought it.
    fn is(&self, node: &Node, token: &Token) -> bool {
        self.node == node.id && self.token.key() == token.key() && self.token.secret() == token.secret()
    }
}

impl Handshake {
    pub(crate) fn of(head: &Head) -> Self {
        Self {
            headers: Arc::new(head.headers.clone()),
            query: Arc::from(&*head.query),
            remote_address: head.remote_address,
            redeemed: Arc::default(),
        }
    }

    /// A token that was used up lets its client into no more namespaces.
    pub(super) fn forget_token(&mut self) {
        // Who is being let in by it keeps the old one.
        self.redeemed = Arc::default();
    }

    /// The first parameter of this name in its query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.query, name)
    }
}

/// A client that wants to join a namespace.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    namespace: Arc<str>,
    version: Version,
    handshake: Handshake,
    /// The query behind the namespace's name.
    query: Option<Arc<str>>,
    auth: Option<RawJson>,
}

impl ConnectRequest {
    pub(crate) fn new(
        namespace: &str,
        version: Version,
        handshake: Handshake,
        query: Option<&str>,
        auth: Option<RawJson>,
    ) -> Self {
        Self { namespace: namespace.into(), version, handshake, query: query.map(Arc::from), auth }
    }

    /// The namespace, with its slash.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Which protocol of Engine.IO the client speaks: 3 for versions 1 and 2, 4 for versions 3 and 4.
    pub fn protocol(&self) -> u8 {
        self.version.number()
    }

    /// What the client says of itself under this name: in `auth`, in the query behind the namespace's name, or in
    /// the query of the connection's first request, whichever is first to have it.
    ///
    /// A value in `auth` that is no text is given as JSON.
    pub fn query(&self, name: &str) -> Option<String> {
        self.in_auth(name)
            .or_else(|| parameter(self.query.as_deref()?, name))
            .or_else(|| parameter(&self.handshake.query, name))
    }

    /// The client's `auth` object, of versions 3 and 4.
    pub fn auth(&self) -> Option<&RawJson> {
        self.auth.as_ref()
    }

    /// The query of the connection's first request as it came, still percent-encoded.
    pub fn raw_query(&self) -> &str {
        &self.handshake.query
    }

    /// The headers of the connection's first request.
    pub fn headers(&self) -> &HeaderMap {
        &self.handshake.headers
    }

    /// Where it came from, when the HTTP server knows. Behind a proxy this is the proxy.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.handshake.remote_address
    }

    /// The client's name for its device: its `deviceId`. All clients of a user that name none, or none that a device
    /// can have, are one device, `~`.
    pub fn device(&self) -> String {
        let named = self.query("deviceId").filter(|device| (1..=MAX_DEVICE_BYTES).contains(&device.len()));
        named.unwrap_or_else(|| UNNAMED.to_owned())
    }

    /// The identity of the token that the client brought, if it is one of this node's: good for one connection, whichever
    /// of its namespaces ask, until the server takes it out of one. Those of versions 1 and 2 are in the root first, whatever they mean.
    pub(crate) async fn redeem(&self, node: &Node) -> Result<Option<Identity>, TokenStoreError> {
        let Some(token) = self.query("token").and_then(|token| Token::parse(&token).ok()) else {
            return Ok(None);
        };
        // Held until the store has answered: who asks meanwhile wants to know what came of it.
        let mut redeemed = self.handshake.redeemed.lock().await;
        let known = redeemed.as_ref().filter(|known| known.is(node, &token));
        if let Some(known) = known {
            return Ok(Some(known.identity.clone()));
        }
        let identity = node.redeem(token.clone()).await?;
        if let Some(identity) = &identity {
            *redeemed = Some(Redeemed { node: node.id, token, identity: identity.clone() });
        }
        Ok(identity)
    }

    /// Whether it brought the same token for this namespace as in the connection's first request.
    pub(super) fn brings_the_first_token(&self) -> bool {
        let first = self.handshake.parameter("token").filter(|token| !token.is_empty());
        first.is_some() && first == self.query("token")
    }

    fn in_auth(&self, name: &str) -> Option<String> {
        let auth: serde_json::Map<String, serde_json::Value> = self.auth.as_ref()?.parse().ok()?;
        match auth.get(name)? {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// The first parameter of this name in a query, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    serde_urlencoded::from_str::<Vec<(Cow<'_, str>, String)>>(query)
        .ok()?
        .into_iter()
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Why a client may not join a namespace. It is told the text: as `error` in versions 1 and 2, as `connect_error` with
/// a `message` in versions 3 and 4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub(crate) message: Cow<'static, str>,
    pub(crate) data: Option<RawJson>,
    pub(crate) ends: bool,
    /// The connection is to end without a word.
    pub(crate) comes_back: bool,
}

impl Refusal {
    /// Refuses with a text. The connection goes on, for other namespaces or another try.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), data: None, ends: false, comes_back: false }
    }

    /// Tells more: it is the error's `data` in versions 3 and 4, and stands for the text in versions 1 and 2. What
    /// cannot be JSON is left out.
    #[must_use]
    pub fn data(mut self, data: impl Serialize) -> Self {
        self.data = RawJson::new(&data).ok();
        self
    }

    /// Ends the connection some 20 ms later, unless the client is in another namespace by then.
    #[must_use]
    pub fn ending(mut self) -> Self {
        self.ends = true;
        self
    }

    /// Nothing can be said yet, such as while a server is replaced by another: the connection ends without a word, and
    /// the client comes back by itself, which one that is refused does not. A client that is in another namespace
    /// of the same connection is refused with the text.
    pub fn try_again(message: impl Into<Cow<'static, str>>) -> Self {
        Self { comes_back: true, ..Self::new(message) }
    }

    /// The token is missing, unknown, used or expired: `INVALID_TOKEN`, and the connection ends.
    pub fn invalid_token() -> Self {
        Self::new("INVALID_TOKEN").ending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(handshake: &str, query: Option<&str>, auth: Option<&str>) -> ConnectRequest {
        let handshake = Handshake {
            headers: Arc::default(),
            query: handshake.into(),
            remote_address: None,
            redeemed: Arc::default(),
        };
        let auth = auth.and_then(|auth| RawJson::from_text(auth.to_owned()).ok());
        ConnectRequest::new("/newsite", Version::V4, handshake, query, auth)
    }

    #[test]
    fn looks_in_auth_then_in_the_namespace_then_in_the_handshake() {
        let all = request("token=h&meta=a%20b", Some("token=q&deviceId=d"), Some(r#"{"token":"a","n":1}"#));
        assert_eq!(all.query("token").as_deref(), Some("a"));
        assert_eq!(all.query("n").as_deref(), Some("1"));
        assert_eq!(all.query("meta").as_deref(), Some("a b"));
        assert_eq!(all.device(), "d");
        let some = request("token=h", Some("token=q"), Some(r#"{"token":null}"#));
        assert_eq!(some.query("token").as_deref(), Some("q"));
        assert_eq!(request("token=h", None, Some("[]")).query("token").as_deref(), Some("h"));
        assert_eq!(request("deviceId=", None, None).device(), "~");
    }
}
