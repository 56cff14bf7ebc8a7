//! A request that brings packets.
//!
//! In: a body, bounded in bytes and in time. Out: `ok` when the session has it.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use tokensocket_protocol::engineio::{Refusal, jsonp_payload};

use super::query::Query;
use super::{Endpoint, Refused, headers};
use crate::http::Head;
use crate::http::body::{self, PATIENCE, RequestBody, ResponseBody};
use crate::transport::engineio::exchange::{Body, Unsent};

pub(super) async fn respond(
    endpoint: &Endpoint,
    head: &Head,
    query: &Query,
    body: impl RequestBody,
) -> Result<Response<ResponseBody>, Refused> {
    let sid = query.sid.as_ref().ok_or(Refusal::BadHandshakeMethod)?;
    let exchange = endpoint.table.find(sid).ok_or(Refusal::SessionUnknown)?;
    // What a form escapes takes three times as many bytes.
    let most = endpoint.max_payload.saturating_mul(if query.jsonp.is_some() { 3 } else { 1 });
    let bytes = body::whole(body, most).await.map_err(|response| Refused::Said(Box::new(response)))?;
    let body = if query.jsonp.is_some() {
        let bytes = form(&bytes).filter(|payload| payload.len() <= endpoint.max_payload);
        Body { bytes: bytes.ok_or(Refusal::BadRequest)?, is_binary: false }
    } else {
        Body { bytes, is_binary: is_binary(&head.headers) }
    };
    exchange.send(body, PATIENCE).await.map_err(|why| match why {
        Unsent::Gone => Refused::Known(Refusal::SessionUnknown),
        Unsent::Elsewhere => Refused::Known(Refusal::BadRequest),
        Unsent::Full => {
            Refused::Other(StatusCode::SERVICE_UNAVAILABLE, "the session takes no more: send it again later")
        }
    })?;
    // What Internet Explorer offers for saving when it is called anything else.
    Ok(headers::ok(endpoint, head, Bytes::from_static(b"ok"), "text/html"))
}

/// The payload of a form: its field `d`.
fn form(bytes: &[u8]) -> Option<Bytes> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes).ok()?;
    let (_, d) = pairs.into_iter().find(|(name, _)| name == "d")?;
    Some(jsonp_payload(&d).into())
}

fn is_binary(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/octet-stream")
}
