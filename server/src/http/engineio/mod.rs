//! The HTTP face of an Engine.IO endpoint, protocols 3 and 4: one path, whose queries say everything.
//!
//! ```text
//! poll ──▶ transport/engineio/exchange ◀── send
//!                     ▲
//!                  upgrade
//! ```
//!
//! In: a request for the endpoint's path. Out: packets, `ok`, a WebSocket, or a refusal as the npm server has it.
//! Must not know: what packets say.

mod headers;
mod poll;
mod query;
mod send;
#[cfg(test)]
mod tests;
mod upgrade;

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use tokensocket_protocol::engineio::{Refusal, Version};
use tokio_util::task::TaskTracker;

use super::body::{RequestBody, ResponseBody};
use super::cors::AllowedOrigins;
use super::upgrade::Accept;
use super::{Head, json_text, refuse};
use crate::transport::engineio::exchange::Exchange;
use crate::transport::engineio::table::Table;
use query::{Query, Transport};

/// What an endpoint's requests need of it.
pub(crate) struct Endpoint {
    pub(crate) table: Arc<Table>,
    /// The most bytes of a body or a frame.
    pub(crate) max_payload: usize,
    pub(crate) origins: AllowedOrigins,
    /// Where WebSockets run.
    pub(crate) tasks: TaskTracker,
}

/// What begins sessions: a status and what to say where it does not.
pub(crate) trait Opens {
    /// Begins a session that polls. Its first poll gets the open packet.
    fn open(&self, head: &Head, version: Version) -> Result<Arc<Exchange>, (StatusCode, &'static str)>;

    /// Begins a session on a WebSocket.
    fn accept(&self, head: &Head, version: Version) -> Result<impl Accept, (StatusCode, &'static str)>;
}

/// Answers a request for the endpoint.
pub(crate) async fn respond(
    endpoint: &Endpoint,
    head: &mut Head,
    body: impl RequestBody,
    opener: &impl Opens,
) -> Response<ResponseBody> {
    if head.method == Method::OPTIONS {
        return headers::preflight(endpoint, head);
    }
    let query = Query::parse(&head.query);
    // Browsers keep the answers of polling from other pages, but neither scripts nor WebSockets.
    let is_script = query.jsonp.is_some() && head.method == Method::GET;
    let is_foreign = (is_script && !endpoint.origins.allows_script(head))
        || (query.transport == Some(Transport::WebSocket) && !endpoint.origins.allows_page(head));
    if is_foreign {
        return refused(endpoint, head, Refused::Known(Refusal::Forbidden));
    }
    let outcome = match query.transport {
        None => Err(Refused::Known(Refusal::TransportUnknown)),
        Some(Transport::WebSocket) => upgrade::respond(endpoint, head, &query, opener),
        Some(Transport::Polling) if head.method == Method::POST => {
            send::respond(endpoint, head, &query, body).await
        }
        Some(Transport::Polling) => poll::respond(endpoint, head, &query, opener).await,
    };
    outcome.unwrap_or_else(|why| refused(endpoint, head, why))
}

/// Why a request got nothing.
enum Refused {
    /// As the npm server says it.
    Known(Refusal),
    /// As others here say it.
    Other(StatusCode, &'static str),
    /// It is said already.
    Said(Box<Response<ResponseBody>>),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Known(refusal)
    }
}

impl From<(StatusCode, &'static str)> for Refused {
    fn from((status, why): (StatusCode, &'static str)) -> Self {
        Self::Other(status, why)
    }
}

fn refused(endpoint: &Endpoint, head: &Head, why: Refused) -> Response<ResponseBody> {
    let mut response = match why {
        Refused::Known(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            json_text(status, refusal.to_json())
        }
        Refused::Other(status, why) => refuse(status, why),
        Refused::Said(response) => *response,
    };
    headers::of_session(endpoint, head, &mut response);
    response
}
