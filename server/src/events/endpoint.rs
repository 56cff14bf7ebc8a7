//! An endpoint of event clients, and who may connect to it.
//!
//! In: a request for a WebSocket, a message. Out: an identity or a refusal; what answers the message, if anything
//! does.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_protocol::event::{self, Event};
use tokensocket_protocol::message::MAX_DEVICE_BYTES;
use tokensocket_protocol::{ErrorCode, RpcError, Token};

use super::message::{DataRequest, EventMessage};
use super::options::{EventMode, EventOptions, Source};
use super::socket::EventSocket;
use crate::access::{AuthenticateError, TokenRequest};
use crate::guarded::Guarded;
use crate::identity::Identity;
use crate::node::Node;
use crate::socket::Socket;

/// One endpoint.
pub(crate) struct Endpoint {
    options: EventOptions,
}

/// Somebody who may connect.
pub(crate) struct Visitor {
    pub(crate) identity: Identity,
    /// What it calls its device.
    pub(crate) device: Option<String>,
}

impl From<EventOptions> for Endpoint {
    fn from(options: EventOptions) -> Self {
        Self { options }
    }
}

/// The identity of a token of this server's; `None` for one that is not good.
async fn redeem(node: &Node, token: &str) -> Result<Option<Identity>, AuthenticateError> {
    let Ok(token) = Token::parse(token) else { return Ok(None) };
    node.redeem(token).await.map_err(|error| {
        tracing::warn!(%error, "a token could not be redeemed");
        AuthenticateError::Failed(error.to_string())
    })
}

impl Endpoint {
    /// Whether anybody may connect at all.
    pub(crate) fn is_on(&self) -> bool {
        self.options.mode != EventMode::Off
    }

    /// Who connects, if that is known within the server's `auth_timeout`. A token of the server's is used up by it.
    pub(crate) async fn admit(
        &self,
        node: &Node,
        request: TokenRequest,
    ) -> Result<Visitor, AuthenticateError> {
        let asking = self.identify(node, request);
        match node.auth_timeout() {
            None => asking.await,
            Some(limit) => tokio::time::timeout(limit, asking)
                .await
                .unwrap_or_else(|_| Err(AuthenticateError::Failed("Authentication timeout".to_owned()))),
        }
    }

    async fn identify(&self, node: &Node, request: TokenRequest) -> Result<Visitor, AuthenticateError> {
        let refused = |why: &str| Err(AuthenticateError::Refused(why.to_owned()));
        let device = request.query("deviceId").filter(|device| !device.is_empty());
        if device.as_ref().is_some_and(|device| device.len() > MAX_DEVICE_BYTES) {
            return refused("deviceId has at most 128 bytes");
        }
        let token = request.query("token").filter(|token| !token.is_empty());
        let asks_beside = self.options.takes_tokens && self.options.authenticator.is_some();
        let mut unknown = None;
        if let Some(token) = token.as_ref().filter(|_| asks_beside) {
            match redeem(node, token).await {
                Ok(Some(identity)) => {
                    identity.check().map_err(AuthenticateError::Failed)?;
                    return Ok(Visitor { identity, device });
                }
                Ok(None) => {}
                // It may be one of the authenticator's, which only looks like ours.
                Err(error) => unknown = Some(error),
            }
        }
        let identity = match (&self.options.authenticator, token) {
            (_, None) if self.options.is_open => Identity::anonymous(),
            (Some(authenticator), _) => {
                let asked = Guarded::begin(|| authenticator(request)).await;
                let asked = asked.unwrap_or_else(|_| {
                    tracing::error!("the authenticator of an endpoint for events panicked");
                    Err(AuthenticateError::Failed("Internal error".to_owned()))
                });
                asked.map_err(|refused| unknown.unwrap_or(refused))?
            }
            (None, None) => return refused("bring a token in the query"),
            (None, Some(token)) => match redeem(node, &token).await? {
                Some(identity) => identity,
                None => return refused("Token not found"),
            },
        };
        identity.check().map_err(AuthenticateError::Failed)?;
        Ok(Visitor { identity, device })
    }

    /// What is to be done about a message; nothing for one that is ignored.
    pub(super) fn handle(&self, text: &str, socket: &Socket) -> Option<BoxFuture<'static, ()>> {
        let event = Event::parse(text)?;
        let socket = EventSocket(socket.clone());
        match (self.options.mode, event.answer()) {
            (EventMode::Both | EventMode::Data, Some(answer)) => {
                let source = self.source(&event)?;
                Some(self.answer(answer, &source, DataRequest::new(EventMessage::new(event), socket)))
            }
            (EventMode::Both, None) | (EventMode::Passthrough, _) => {
                let handler = Arc::clone(self.options.handler.as_ref()?);
                let message = EventMessage::new(event);
                let guarded = async move {
                    if Guarded::begin(|| handler(message, socket)).await.is_err() {
                        tracing::error!("the handler of an event panicked");
                    }
                };
                Some(guarded.boxed())
            }
            (EventMode::Off, _) | (EventMode::Data, None) => None,
        }
    }

    fn source(&self, event: &Event<'_>) -> Option<Source> {
        let source = self.options.sources.get(&*event.name).or(self.options.other_source.as_ref());
        if source.is_none() {
            tracing::debug!(event = %event.name, "there is no data source for this event");
        }
        source.map(Arc::clone)
    }

    /// Asks a data source and answers with what it gives.
    fn answer(&self, answer: String, source: &Source, request: DataRequest) -> BoxFuture<'static, ()> {
        let (source, limit) = (Arc::clone(source), self.options.data_timeout);
        async move {
            let socket = request.socket().clone();
            let asked = Guarded::begin(|| source(request));
            let given = match tokio::time::timeout(limit, asked).await {
                Ok(Ok(given)) => given,
                Ok(Err(_)) => Err(RpcError::text("it panicked")),
                Err(_) => Err(RpcError::text("it took too long")),
            };
            match given {
                Ok(data) => socket.0.reply(&event::with_data(&answer, &data)),
                // Clients may ask for nonsense as often as they like.
                Err(error) if error.code() == ErrorCode::BadRequest => {
                    tracing::debug!(event = answer, %error, "a data source was asked for nonsense: not answered");
                }
                Err(error) => tracing::warn!(event = answer, %error, "a data source failed: not answered"),
            }
        }
        .boxed()
    }
}
