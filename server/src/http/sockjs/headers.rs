//! The headers of SockJS's answers: who may read them, how long they are good, and the cookie by which load
//! balancers keep a session at its server.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::http::body::ResponseBody;
use crate::http::cors::AllowedOrigins;
use crate::http::{Head, NEVER_CACHED, empty};
use crate::transport::sockjs::options::SockJsOptions;

/// One year, the longest that HTTP lets something be good.
const YEAR: Duration = Duration::from_hours(365 * 24);

pub(super) fn content_type(response: &mut Response<ResponseBody>, kind: &'static str) {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
}

/// What never changes.
pub(super) fn cached_for_long(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000"));
    let expires = httpdate::fmt_http_date(SystemTime::now() + YEAR);
    if let Ok(expires) = HeaderValue::from_str(&expires) {
        headers.insert(header::EXPIRES, expires);
    }
}

/// What every answer of a session's URL carries.
pub(super) fn of_session(options: &SockJsOptions, head: &Head, headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, NEVER_CACHED);
    cookie(options, head, headers);
}

/// The answer to a browser that asks whether its page may ask (the Fetch standard, "CORS-preflight fetch").
pub(super) fn preflight(
    options: &SockJsOptions,
    origins: &AllowedOrigins,
    head: &Head,
    methods: &'static str,
) -> Response<ResponseBody> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    cached_for_long(headers);
    cookie(options, head, headers);
    origins.apply_to_sockjs(head, headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(YEAR.as_secs()));
    response
}

/// Keeps the cookie that the client has, or gives it one.
fn cookie(options: &SockJsOptions, head: &Head, headers: &mut HeaderMap) {
    if !options.cookies {
        return;
    }
    let sent = head.headers.get_all(header::COOKIE).iter();
    let known = sent
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name.trim() == "JSESSIONID").then(|| value.trim()))
        .filter(|value| !value.is_empty())
        .unwrap_or("dummy");
    if let Ok(cookie) = HeaderValue::from_str(&format!("JSESSIONID={known}; path=/")) {
        headers.insert(header::SET_COOKIE, cookie);
    }
}
