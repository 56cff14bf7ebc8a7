//! A request that goes on as a WebSocket: for a new session, or for one that polls and may change over.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use tokensocket_protocol::engineio::Refusal;

use super::query::Query;
use super::{Endpoint, Opens, Refused};
use crate::http::body::ResponseBody;
use crate::http::upgrade::{self, Accept, Framing, Upgrade};
use crate::http::{Head, refuse};
use crate::transport::Transport;
use crate::transport::engineio::exchange::Exchange;

/// Hands a WebSocket to a session that there is.
struct Offer(Arc<Exchange>);

impl Accept for Offer {
    async fn run<T: Transport>(self, transport: T) {
        self.0.offer(Box::new(transport));
    }
}

pub(super) fn respond(
    endpoint: &Endpoint,
    head: &mut Head,
    query: &Query,
    opener: &impl Opens,
) -> Result<Response<ResponseBody>, Refused> {
    let exchange = match &query.sid {
        Some(sid) => Some(endpoint.table.find(sid).ok_or(Refusal::SessionUnknown)?),
        None if head.method != Method::GET => return Err(Refusal::BadHandshakeMethod.into()),
        None => None,
    };
    if head.method != Method::GET || !head.headers.contains_key(header::UPGRADE) {
        return Err(Refusal::BadRequest.into());
    }
    let version = query.version()?;
    let upgrade = Upgrade::check(head, Framing::EngineIo).map_err(not_upgraded)?;
    if let Some(exchange) = exchange {
        return Ok(upgrade.accept(&endpoint.tasks, endpoint.max_payload, Offer(exchange)));
    }
    let accept = opener.accept(head, version)?;
    Ok(upgrade.accept(&endpoint.tasks, endpoint.max_payload, accept))
}

fn not_upgraded(upgrade::Refusal(status, why): upgrade::Refusal) -> Refused {
    let mut response = refuse(status, why);
    if status == StatusCode::UPGRADE_REQUIRED {
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    Refused::Said(Box::new(response))
}
