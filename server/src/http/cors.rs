//! Which pages of other origins may ask (the Fetch standard, "CORS protocol").
//!
//! In: a request's `Origin`. Out: the headers that let its page read the answer, or none.

use http::{HeaderMap, HeaderValue, Method, header};

use super::Head;

const ANYBODY: HeaderValue = HeaderValue::from_static("*");

/// Which origins may ask for tokens from a page.
///
/// Credentials, such as cookies, are allowed for named origins only. An authenticator that trusts cookies
/// must name its origins: with [`AllowedOrigins::any`], any page can have its visitor's token by JSONP. SockJS's
/// requests, which clients send with credentials, may carry them from every allowed origin: nothing there goes by
/// a cookie.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins(Allowed);

#[derive(Debug, Clone, Default)]
enum Allowed {
    #[default]
    Any,
    Named(Vec<String>),
}

impl AllowedOrigins {
    /// Every origin, without credentials. The default.
    pub fn any() -> Self {
        Self(Allowed::Any)
    }

    /// These origins, such as `https://example.org`, with credentials. None at all: only pages of the
    /// server's own origin.
    pub fn named(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let trimmed = |origin: String| origin.trim_end_matches('/').to_owned();
        Self(Allowed::Named(origins.into_iter().map(Into::into).map(trimmed).collect()))
    }

    fn allows(&self, origin: &str) -> bool {
        match &self.0 {
            Allowed::Any => true,
            Allowed::Named(origins) => origins.iter().any(|known| known == origin),
        }
    }

    /// Adds what the page's browser wants to see.
    pub(crate) fn apply(&self, head: &Head, headers: &mut HeaderMap) {
        let origin = head.headers.get(header::ORIGIN);
        match (&self.0, origin) {
            (Allowed::Any, _) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
            }
            (Allowed::Named(_), Some(origin)) if origin.to_str().is_ok_and(|origin| self.allows(origin)) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                headers.insert(header::VARY, HeaderValue::from_static("Origin"));
            }
            (Allowed::Named(_), _) => {
                headers.insert(header::VARY, HeaderValue::from_static("Origin"));
                return;
            }
        }
        if head.method == Method::OPTIONS {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, OPTIONS"));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
            if let Some(asked) = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
    }

    /// The same for SockJS's requests, none of which is good for anything without a session's name. SockJS
    /// clients send them with credentials, and browsers do not show them an answer for `*` (SockJS protocol
    /// 0.3.3, "CORS").
    pub(crate) fn apply_to_sockjs(&self, head: &Head, headers: &mut HeaderMap) {
        let origin = head.headers.get(header::ORIGIN);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        match (&self.0, origin) {
            (Allowed::Any, None) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
            }
            // A page without an origin asks before it asks; who does not, only wants to know.
            (Allowed::Any, Some(origin))
                if origin == "null"
                    && head.method == Method::OPTIONS
                    && !head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) =>
            {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
            }
            (Allowed::Any, Some(origin)) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
            (Allowed::Named(_), Some(origin)) if origin.to_str().is_ok_and(|origin| self.allows(origin)) => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
            (Allowed::Named(_), _) => return,
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        let asked = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }

    /// The same for streams of events, which pages without an origin receive without credentials.
    pub(crate) fn apply_to_events(&self, head: &Head, headers: &mut HeaderMap) {
        self.apply_to_sockjs(head, headers);
        if headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|origin| origin == "null") {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYBODY);
            headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        }
    }

    /// Whether a page may open a connection that may go by its visitor's cookies or address. Browsers name the page's
    /// origin (RFC 6455, section 10.2); who names none is no page.
    #[cfg(any(feature = "events", feature = "socketio"))]
    pub(crate) fn allows_page(&self, head: &Head) -> bool {
        let text =
            |name| head.headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
        match (&self.0, text(header::ORIGIN)) {
            (Allowed::Any, _) | (_, None) => true,
            (Allowed::Named(_), Some(origin)) => {
                let host = origin.split_once("://").map(|(_, host)| host);
                self.allows(origin) || (host.is_some() && host == text(header::HOST))
            }
        }
    }

    /// Whether a page may load the answer as a script. A script's request names no origin, so its
    /// referrer stands for it; a browser that names none is believed only if it says "same origin".
    pub(crate) fn allows_script(&self, head: &Head) -> bool {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        if matches!(self.0, Allowed::Any) {
            return true;
        }
        // A browser that says where its page stands needs no guess by the referrer's host.
        let own_page = text("sec-fetch-site").map(|site| matches!(site, "same-origin" | "none"));
        own_page == Some(true)
            || text("referer").and_then(origin_of).is_some_and(|origin| {
                let same_host = || text("host").is_some_and(|host| origin.ends_with(&format!("://{host}")));
                self.allows(origin) || (own_page.is_none() && same_host())
            })
    }
}

/// The origin of a URL: all before its path.
fn origin_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    Some(&url[..scheme.len() + 3 + host.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_origin_of_a_url() {
        assert_eq!(origin_of("https://a.example:8080/x?y"), Some("https://a.example:8080"));
        assert_eq!(origin_of("nonsense"), None);
    }
}
