//! What an endpoint says of itself: the greeting, `/info`, and the page for transports in a frame (SockJS
//! protocol 0.3.3, "Base URL greeting", "the iframe page" and "info").

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use sha1::{Digest, Sha1};
use tokensocket_protocol::sockjs::iframe;

use super::headers;
use crate::http::body::ResponseBody;
use crate::http::cors::AllowedOrigins;
use crate::http::{Head, NEVER_CACHED, empty, json_text};
use crate::transport::sockjs::options::SockJsOptions;

/// The greeting at the base URL.
pub(super) fn greeting() -> Response<ResponseBody> {
    let mut response = Response::new(Bytes::from_static(b"Welcome to SockJS!\n").into());
    headers::content_type(&mut response, "text/plain; charset=UTF-8");
    response
}

/// The answer of `/info`.
pub(super) fn info(options: &SockJsOptions, origins: &AllowedOrigins, head: &Head) -> Response<ResponseBody> {
    if head.method == Method::OPTIONS {
        return headers::preflight(options, origins, head, "OPTIONS, GET");
    }
    let text = json!({
        "websocket": options.websocket,
        "origins": ["*:*"],
        "cookie_needed": options.cookies,
        "entropy": rand::random::<u32>(),
        // Not of SockJS: all requests of one session must reach the server that began it.
        "sticky_needed": true,
    });
    let mut response = json_text(StatusCode::OK, text.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, NEVER_CACHED);
    origins.apply_to_sockjs(head, response.headers_mut());
    response
}

/// The page that runs a client within the server's own origin.
pub(super) struct Iframe {
    page: Bytes,
    etag: HeaderValue,
}

impl Iframe {
    pub(super) fn new(client_url: &str) -> Self {
        let page = iframe::page(client_url);
        let digest = Sha1::digest(&page);
        let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let etag = HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { page: page.into(), etag }
    }

    /// The page; only its tag for who has it.
    pub(super) fn respond(&self, head: &Head) -> Response<ResponseBody> {
        let mut response = if self.is_known(head) {
            empty(StatusCode::NOT_MODIFIED)
        } else {
            let mut response = Response::new(self.page.clone().into());
            headers::content_type(&mut response, "text/html; charset=UTF-8");
            response
        };
        headers::cached_for_long(response.headers_mut());
        response.headers_mut().insert(header::ETAG, self.etag.clone());
        response
    }

    /// Whether the client names the page's tag (RFC 9110, section 13.1.2).
    fn is_known(&self, head: &Head) -> bool {
        let named = head.headers.get_all(header::IF_NONE_MATCH).iter();
        named.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.etag.as_bytes()
        })
    }
}

/// Whether a path's last part names the page: `iframe.html`, `iframe-1.6.1.html`.
pub(super) fn is_iframe(segment: &str) -> bool {
    segment
        .strip_prefix("iframe")
        .and_then(|rest| rest.strip_suffix(".html"))
        .is_some_and(|version| version.bytes().all(is_version))
}

fn is_version(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.')
}
