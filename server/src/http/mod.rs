//! The HTTP face: which path is whose, and what a request without an answer is told.
//!
//! In: a request. Out: a response, or a connection that goes on as something else. Only those who bring
//! messages have their bodies read. `warp` and plain hyper both come through here.

pub(crate) mod body;
pub(crate) mod cors;
#[cfg(feature = "socketio")]
pub(crate) mod engineio;
#[cfg(feature = "events")]
mod events;
pub(crate) mod hixie;
pub(crate) mod listener;
pub(crate) mod service;
#[cfg(feature = "socketio")]
pub(crate) mod socketio;
pub(crate) mod sockjs;
pub(crate) mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use serde_json::json;

use crate::node::Admission;
use crate::session::driver::Shared;
use crate::token::endpoint;
use crate::transport::sockjs::service::{Handler, Service};
use body::{RequestBody, ResponseBody};
use cors::AllowedOrigins;
use upgrade::{Refusal, TokenSocket};

/// What is never cached: tokens, and whatever depends on the moment.
pub(crate) const NEVER_CACHED: HeaderValue =
    HeaderValue::from_static("no-store, no-cache, no-transform, must-revalidate, max-age=0");

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) remote_address: Option<SocketAddr>,
    pub(crate) on_upgrade: Option<OnUpgrade>,
}

/// Everything a server answers over HTTP.
pub(crate) struct Http {
    pub(crate) shared: Arc<Shared>,
    pub(crate) origins: AllowedOrigins,
    /// The endpoint where sockets are accepted.
    pub(crate) sockets: sockjs::Endpoint,
    /// SockJS endpoints by themselves, by their prefix.
    pub(crate) services: Vec<(String, sockjs::Endpoint, Handler)>,
    /// Where Socket.IO clients connect.
    #[cfg(feature = "socketio")]
    pub(crate) socketio: Option<crate::socketio::SocketIo>,
    /// Endpoints of event clients, by their path.
    #[cfg(feature = "events")]
    pub(crate) events: Vec<(String, arc_swap::ArcSwap<crate::events::Endpoint>)>,
}

enum Endpoint<'a> {
    Token,
    Sockets(&'a str),
    Service(&'a sockjs::Endpoint, &'a Handler, &'a str),
    #[cfg(feature = "socketio")]
    SocketIo(&'a crate::socketio::SocketIo, &'a str),
    #[cfg(feature = "events")]
    Events(Arc<crate::events::Endpoint>),
}

impl Http {
    /// Whether a path belongs to this server.
    pub(crate) fn owns(&self, path: &str) -> bool {
        self.endpoint(path).is_some()
    }

    /// Answers a request; 404 for paths that are not this server's.
    pub(crate) async fn respond(&self, head: &mut Head, body: impl RequestBody) -> Response<ResponseBody> {
        let path = head.path.clone();
        match self.endpoint(&path) {
            // Boxed, so that all other requests take less memory.
            Some(Endpoint::Token) => {
                Box::pin(endpoint::respond(&self.shared.node, &self.origins, head)).await
            }
            Some(Endpoint::Sockets(rest)) => {
                sockjs::respond(self, &self.sockets, rest, head, body, Self::accept).await
            }
            Some(Endpoint::Service(endpoint, handler, rest)) => {
                let accept = |http: &Self, _: &Head| {
                    let node = &http.shared.node;
                    Ok(Service {
                        handler: Arc::clone(handler),
                        heartbeat: endpoint.options.heartbeat.unwrap_or(node.config.heartbeat),
                        close_timeout: node.config.close_timeout,
                        outbox_bytes: node.config.outbox_bytes,
                        guest: node.guest(),
                    })
                };
                sockjs::respond(self, endpoint, rest, head, body, accept).await
            }
            #[cfg(feature = "socketio")]
            Some(Endpoint::SocketIo(io, rest)) => Box::pin(socketio::respond(io, rest, head, body)).await,
            #[cfg(feature = "events")]
            Some(Endpoint::Events(endpoint)) => Box::pin(events::respond(self, &endpoint, head)).await,
            None => refuse(StatusCode::NOT_FOUND, "there is nothing at this path"),
        }
    }

    /// Takes one more connection, or says why not.
    fn accept(&self, head: &Head) -> Result<TokenSocket, Refusal> {
        let admission = self.admit(head)?;
        Ok(TokenSocket { shared: Arc::clone(&self.shared), remote_address: head.remote_address, admission })
    }

    /// Counts one more connection, or says why not.
    fn admit(&self, head: &Head) -> Result<Admission, Refusal> {
        let node = &self.shared.node;
        if node.is_draining() {
            return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
        }
        node.admit(head.remote_address.map(|address| address.ip()))
            .ok_or(Refusal(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"))
    }

    fn endpoint<'a>(&'a self, path: &'a str) -> Option<Endpoint<'a>> {
        let config = &self.shared.node.config;
        if self.shared.node.access.authenticator.is_some() {
            if path == config.token_path {
                return Some(Endpoint::Token);
            }
            if let Some(rest) = below(path, &config.socket_prefix) {
                return Some(Endpoint::Sockets(rest));
            }
        }
        #[cfg(feature = "socketio")]
        if let Some(io) = &self.socketio
            && let Some(rest) = io.0.below(path)
        {
            return Some(Endpoint::SocketIo(io, rest));
        }
        #[cfg(feature = "events")]
        if let Some((_, endpoint)) =
            self.events.iter().find(|(known, _)| below(path, known).is_some_and(is_itself))
        {
            return Some(Endpoint::Events(endpoint.load_full()));
        }
        self.services.iter().find_map(|(prefix, endpoint, handler)| {
            below(path, prefix).map(|rest| Endpoint::Service(endpoint, handler, rest))
        })
    }
}

/// What stands behind `prefix` in `path`: empty, or beginning with a slash.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether what stands behind a path means the path itself.
#[cfg(feature = "events")]
fn is_itself(rest: &str) -> bool {
    matches!(rest, "" | "/")
}

pub(crate) fn allow(mut response: Response<ResponseBody>, methods: &'static str) -> Response<ResponseBody> {
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// A refusal whose body says why.
pub(crate) fn refuse(status: StatusCode, why: &str) -> Response<ResponseBody> {
    json_text(status, json!({ "error": why }).to_string())
}

pub(crate) fn json_text(status: StatusCode, text: String) -> Response<ResponseBody> {
    let mut response = empty(status);
    *response.body_mut() = Bytes::from(text).into();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = status;
    response
}
