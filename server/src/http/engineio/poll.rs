//! A request that waits for packets.
//!
//! In: a session's name, or none for a new session. Out: packets, as soon as there are some.

use http::{Method, Response};
use tokensocket_protocol::engineio::{Refusal, push_jsonp};

use super::query::Query;
use super::{Endpoint, Opens, Refused, headers};
use crate::http::Head;
use crate::http::body::ResponseBody;
use crate::transport::engineio::exchange::Unpolled;

pub(super) async fn respond(
    endpoint: &Endpoint,
    head: &Head,
    query: &Query,
    opener: &impl Opens,
) -> Result<Response<ResponseBody>, Refused> {
    let exchange = match &query.sid {
        Some(sid) => endpoint.table.find(sid).ok_or(Refusal::SessionUnknown)?,
        None if head.method != Method::GET => return Err(Refusal::BadHandshakeMethod.into()),
        None => opener.open(head, query.version()?)?,
    };
    if head.method != Method::GET {
        return Err(Refusal::BadRequest.into());
    }
    let payload = exchange.poll(query.base64).await.map_err(|why| match why {
        Unpolled::Busy | Unpolled::Elsewhere => Refusal::BadRequest,
        Unpolled::Gone => Refusal::SessionUnknown,
    })?;
    if let Some(j) = &query.jsonp {
        let mut script = Vec::with_capacity(payload.body.len() + 32);
        push_jsonp(&mut script, j, &payload.body);
        return Ok(headers::ok(endpoint, head, script, "text/javascript; charset=UTF-8"));
    }
    let content_type =
        if payload.is_binary { "application/octet-stream" } else { "text/plain; charset=UTF-8" };
    Ok(headers::ok(endpoint, head, payload.body, content_type))
}
