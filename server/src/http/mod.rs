//! The HTTP face: which path is whose, and what a request without an answer is told.
//!
//! In: a request's head. Out: a response, or a connection that goes on as something else. Bodies are read
//! by transports that need them; none of today's does. `warp` and plain hyper both come through here.

pub(crate) mod cors;
pub(crate) mod listener;
pub(crate) mod service;
pub(crate) mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use serde_json::json;

use crate::format::Format;
use crate::session::driver::Shared;
use crate::token::endpoint;
use crate::transport::sockjs::info::{GREETING, info};
use crate::transport::sockjs::service::{Handler, Service};
use cors::AllowedOrigins;
use upgrade::{Accept, Refusal, TokenSocket, Upgrade};

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
    /// SockJS endpoints by themselves, by their prefix.
    pub(crate) services: Vec<(String, Handler)>,
}

enum Endpoint<'a> {
    Token,
    Sockets(&'a str),
    Service(&'a Handler, &'a str),
}

impl Http {
    /// Whether a path belongs to this server.
    pub(crate) fn owns(&self, path: &str) -> bool {
        self.endpoint(path).is_some()
    }

    /// Answers a request; 404 for paths that are not this server's.
    pub(crate) async fn respond(&self, head: Head) -> Response<Bytes> {
        let path = head.path.clone();
        match self.endpoint(&path) {
            Some(Endpoint::Token) => endpoint::respond(&self.shared.node, &self.origins, head).await,
            Some(Endpoint::Sockets(rest)) => self.sockjs(rest, &head, |http, head| {
                let node = &http.shared.node;
                if node.is_draining() {
                    return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
                }
                let admission = node.admit(head.remote_address.map(|address| address.ip())).ok_or(
                    Refusal(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"),
                )?;
                let shared = Arc::clone(&http.shared);
                Ok(TokenSocket { shared, remote_address: head.remote_address, admission })
            }),
            Some(Endpoint::Service(handler, rest)) => self.sockjs(rest, &head, |http, _| {
                let node = &http.shared.node;
                Ok(Service {
                    handler: Arc::clone(handler),
                    heartbeat: node.config.heartbeat,
                    close_timeout: node.config.close_timeout,
                    stop: node.stop.clone(),
                })
            }),
            None => refuse(StatusCode::NOT_FOUND, "there is nothing at this path"),
        }
    }

    fn endpoint<'a>(&'a self, path: &'a str) -> Option<Endpoint<'a>> {
        let config = &self.shared.node.config;
        if path == config.token_path {
            return Some(Endpoint::Token);
        }
        if let Some(rest) = below(path, &config.socket_prefix) {
            return Some(Endpoint::Sockets(rest));
        }
        self.services
            .iter()
            .find_map(|(prefix, handler)| below(path, prefix).map(|rest| Endpoint::Service(handler, rest)))
    }

    /// The paths of one SockJS endpoint (SockJS protocol 0.3.3).
    fn sockjs<A: Accept>(
        &self,
        rest: &str,
        head: &Head,
        accept: impl FnOnce(&Self, &Head) -> Result<A, Refusal>,
    ) -> Response<Bytes> {
        let segments: Vec<&str> = rest.split('/').skip(1).collect();
        let format = match segments.as_slice() {
            [] | [""] => return get(head, || plain(GREETING)),
            ["info"] => return self.info(head),
            ["websocket"] => Format::Raw,
            [server, session, "websocket"] if is_segment(server) && is_segment(session) => Format::SockJs,
            [
                _,
                _,
                "xhr" | "xhr_send" | "xhr_streaming" | "eventsource" | "htmlfile" | "jsonp" | "jsonp_send",
            ] => {
                return refuse(StatusCode::NOT_FOUND, "this transport is not offered: use websocket");
            }
            _ => return refuse(StatusCode::NOT_FOUND, "there is nothing at this path"),
        };
        let upgrade = match Upgrade::check(&head.method, &head.headers, head.on_upgrade.clone()) {
            Ok(upgrade) => upgrade,
            Err(Refusal(status, why)) => {
                let mut response = refuse(status, why);
                if status == StatusCode::UPGRADE_REQUIRED {
                    let headers = response.headers_mut();
                    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                }
                return if status == StatusCode::METHOD_NOT_ALLOWED {
                    allow(response, "GET")
                } else {
                    response
                };
            }
        };
        match accept(self, head) {
            Ok(accept) => upgrade.accept(&self.shared, format, accept),
            Err(Refusal(status, why)) => refuse(status, why),
        }
    }

    fn info(&self, head: &Head) -> Response<Bytes> {
        let mut response = match head.method {
            Method::OPTIONS => empty(StatusCode::NO_CONTENT),
            _ => get(head, || json_text(StatusCode::OK, info(rand::random()))),
        };
        response.headers_mut().insert(header::CACHE_CONTROL, NEVER_CACHED);
        self.origins.apply_to_info(head, response.headers_mut());
        response
    }
}

/// What stands behind `prefix` in `path`: empty, or beginning with a slash.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a text can be a SockJS server or session name: not empty, and without dots.
fn is_segment(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains('.')
}

fn get(head: &Head, respond: impl FnOnce() -> Response<Bytes>) -> Response<Bytes> {
    if matches!(head.method, Method::GET | Method::HEAD) {
        respond()
    } else {
        allow(refuse(StatusCode::METHOD_NOT_ALLOWED, "use GET"), "GET, HEAD, OPTIONS")
    }
}

pub(crate) fn allow(mut response: Response<Bytes>, methods: &'static str) -> Response<Bytes> {
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// A refusal whose body says why.
pub(crate) fn refuse(status: StatusCode, why: &str) -> Response<Bytes> {
    json_text(status, json!({ "error": why }).to_string())
}

pub(crate) fn json_text(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = empty(status);
    *response.body_mut() = Bytes::from(text);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

pub(crate) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn plain(text: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}
