//! A request that brings messages to its session.
//!
//! In: a body. Out: 204 or `ok` when the session has taken all of its messages, and nothing of them
//! otherwise. The body is bounded in bytes and in time.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use tokensocket_protocol::sockjs::sending;

use super::path::Transport;
use super::{Endpoint, failure, headers, not_found};
use crate::http::body::{self, PATIENCE, RequestBody, ResponseBody};
use crate::http::{Head, Http, empty, refuse};
use crate::transport::sockjs::exchange::Unsent;
use crate::transport::sockjs::inbox::max_frame_bytes;

/// Hands the body's messages to the session called `name`.
pub(super) async fn respond(
    http: &Http,
    endpoint: &Endpoint,
    name: &str,
    transport: Transport,
    head: &Head,
    body: impl RequestBody,
) -> Response<ResponseBody> {
    let mut response = match send(http, endpoint, name, transport, head, body).await {
        Err(refused) => refused,
        Ok(()) if transport == Transport::XhrSend => sent(StatusCode::NO_CONTENT, b""),
        Ok(()) => sent(StatusCode::OK, b"ok"),
    };
    let headers = response.headers_mut();
    headers::of_session(&endpoint.options, head, headers);
    if transport == Transport::XhrSend {
        http.origins.apply_to_sockjs(head, headers);
    }
    response
}

fn sent(status: StatusCode, text: &'static [u8]) -> Response<ResponseBody> {
    let mut response = empty(status);
    *response.body_mut() = Bytes::from_static(text).into();
    headers::content_type(&mut response, "text/plain; charset=UTF-8");
    response
}

async fn send(
    http: &Http,
    endpoint: &Endpoint,
    name: &str,
    transport: Transport,
    head: &Head,
    body: impl RequestBody,
) -> Result<(), Response<ResponseBody>> {
    let exchange = endpoint.table.find(name).ok_or_else(not_found)?;
    let content_type = head.headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or("?"));
    let is_form = transport == Transport::JsonpSend && sending::is_form(content_type);
    // Quotes and line ends take two bytes, and three times as many in a form.
    let most = http.shared.node.config.max_message_bytes;
    let most = max_frame_bytes(most).saturating_mul(if is_form { 3 } else { 1 });
    let body = body::whole(body, most).await?;
    let messages = if is_form {
        sending::form(&body)
    } else if sending::is_text(content_type) {
        sending::messages(&body)
    } else {
        Err(sending::BadBody::NoPayload)
    };
    let bad = |bad: sending::BadBody| failure(StatusCode::INTERNAL_SERVER_ERROR, &bad.to_string());
    exchange.send(messages.map_err(bad)?, PATIENCE).await.map_err(|unsent| match unsent {
        Unsent::Gone => not_found(),
        Unsent::TooLarge => refuse(StatusCode::PAYLOAD_TOO_LARGE, "a message is too large"),
        Unsent::Full => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the session takes no more: send it again later")
        }
    })
}
