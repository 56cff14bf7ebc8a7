//! The HTTP face of SockJS endpoints (SockJS protocol 0.3.3): which path does what.
//!
//! ```text
//! receive ──▶ transport/sockjs/exchange ◀── send
//! ```
//!
//! In: a request below an endpoint's prefix. Out: its response, which may be a session's frames or go on as a
//! WebSocket.

mod headers;
mod info;
mod path;
mod receive;
mod send;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::body::{RequestBody, ResponseBody};
use super::upgrade::{Accept, Framing, Refusal, Upgrade};
use super::{Head, Http, allow, empty, hixie, refuse};
use crate::node::Node;
use crate::transport::sockjs::exchange::Limits;
use crate::transport::sockjs::exchange::table::Table;
use crate::transport::sockjs::options::SockJsOptions;
use info::Iframe;
use path::{Path, Transport};

/// One endpoint: its choices, and those of its sessions that requests carry.
pub(crate) struct Endpoint {
    pub(crate) options: SockJsOptions,
    table: Arc<Table>,
    iframe: Iframe,
}

impl Endpoint {
    /// An endpoint of `node`.
    pub(crate) fn new(options: SockJsOptions, node: &Node) -> Self {
        let limits = Limits {
            response: options.response_limit,
            timeout: options.session_timeout,
            message: node.config.max_message_bytes,
        };
        let table = Table::new(limits, options.max_sessions, node.tasks.clone(), node.last.clone());
        Self { iframe: Iframe::new(&options.client_url), table, options }
    }
}

/// Answers a request for what stands at `rest` below the endpoint's prefix. `accept` takes new sessions.
pub(super) async fn respond<A: Accept>(
    http: &Http,
    endpoint: &Endpoint,
    rest: &str,
    head: &mut Head,
    body: impl RequestBody,
    accept: impl Fn(&Http, &Head) -> Result<A, Refusal>,
) -> Response<ResponseBody> {
    let options = &endpoint.options;
    let Some(path) = Path::parse(rest) else { return not_found() };
    let is_websocket = matches!(path, Path::RawWebSocket | Path::Session(_, Transport::WebSocket));
    if !path.methods().split(", ").any(|method| method == head.method.as_str()) {
        return allow(empty(StatusCode::METHOD_NOT_ALLOWED), path.methods());
    }
    if is_websocket && !options.websocket {
        return not_found();
    }
    match path {
        Path::Greeting => info::greeting(),
        Path::Info => info::info(options, &http.origins, head),
        Path::Iframe => endpoint.iframe.respond(head),
        Path::RawWebSocket => websocket(http, head, Framing::Raw, accept),
        Path::Session(_, Transport::WebSocket) => websocket(http, head, Framing::SockJs, accept),
        Path::Session(..) if head.method == Method::OPTIONS => {
            headers::preflight(options, &http.origins, head, "OPTIONS, POST")
        }
        Path::Session(name, transport @ (Transport::XhrSend | Transport::JsonpSend)) => {
            send::respond(http, endpoint, name, transport, head, body).await
        }
        Path::Session(name, transport) => {
            receive::respond(http, endpoint, name, transport, head, accept).await
        }
    }
}

/// Goes on as a WebSocket.
fn websocket<A: Accept>(
    http: &Http,
    head: &mut Head,
    framing: Framing,
    accept: impl Fn(&Http, &Head) -> Result<A, Refusal>,
) -> Response<ResponseBody> {
    if framing == Framing::SockJs && hixie::is_asked_for(&head.headers) {
        return match hixie::Upgrade::check(head) {
            Ok(upgrade) => match accept(http, head) {
                Ok(accept) => upgrade.accept(&http.shared, accept),
                Err(Refusal(status, why)) => refuse(status, why),
            },
            Err(Refusal(status, why)) => failure(status, why),
        };
    }
    match Upgrade::check(head, framing) {
        Ok(upgrade) => match accept(http, head) {
            Ok(accept) => {
                let node = &http.shared.node;
                upgrade.accept(&node.tasks, node.config.max_message_bytes, accept)
            }
            Err(Refusal(status, why)) => refuse(status, why),
        },
        Err(Refusal(status, why)) => {
            let mut response = failure(status, why);
            if status == StatusCode::UPGRADE_REQUIRED {
                let headers = response.headers_mut();
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            response
        }
    }
}

/// A failure that a SockJS client reads as plain text.
fn failure(status: StatusCode, why: &str) -> Response<ResponseBody> {
    let mut response = empty(status);
    *response.body_mut() = Bytes::from(why.to_owned()).into();
    headers::content_type(&mut response, "text/plain; charset=UTF-8");
    response
}

fn not_found() -> Response<ResponseBody> {
    refuse(StatusCode::NOT_FOUND, "there is nothing at this path")
}
