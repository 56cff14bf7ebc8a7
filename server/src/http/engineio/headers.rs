//! The headers of what an endpoint answers.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};

use super::Endpoint;
use crate::http::body::ResponseBody;
use crate::http::{Head, NEVER_CACHED, empty};

/// How long a browser may keep the answer to what it asks before it asks.
const DAY: Duration = Duration::from_hours(24);

/// The answer to a browser that asks whether its page may ask (the Fetch standard, "CORS-preflight fetch"): clients
/// of protocol 3 send bytes, and any may send headers of its own.
pub(super) fn preflight(endpoint: &Endpoint, head: &Head) -> Response<ResponseBody> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    endpoint.origins.apply_to_sockjs(head, headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(DAY.as_secs()));
    response
}

/// Nothing is kept by anybody, read as something else, or hidden from a page that may have it: clients of protocol
/// 3 ask with credentials.
pub(super) fn of_session(endpoint: &Endpoint, head: &Head, response: &mut Response<ResponseBody>) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, NEVER_CACHED);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    endpoint.origins.apply_to_sockjs(head, headers);
}

/// 200 and a body.
pub(super) fn ok(
    endpoint: &Endpoint,
    head: &Head,
    body: impl Into<bytes::Bytes>,
    content_type: &'static str,
) -> Response<ResponseBody> {
    let mut response = empty(StatusCode::OK);
    *response.body_mut() = body.into().into();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    of_session(endpoint, head, &mut response);
    response
}
