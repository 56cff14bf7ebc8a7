//! The headers that answers have in common.

use super::response::Response;

/// `Cache-Control` of what depends on the moment.
pub const NEVER_CACHED: &str = "no-store, no-cache, no-transform, must-revalidate, max-age=0";
/// `Cache-Control` of what never changes.
pub const CACHE_FOR_LONG: &str = "public, max-age=31536000";

/// The answer of this moment only.
pub fn check_never_cached(response: &Response) {
    assert_eq!(response.header("Cache-Control").as_deref(), Some(NEVER_CACHED), "{response:?}");
    assert_eq!(response.header("Expires"), None);
    assert_eq!(response.header("Last-Modified"), None);
}

/// An answer that may be kept for a year.
pub fn check_cached(response: &Response) {
    assert_eq!(response.header("Cache-Control").as_deref(), Some(CACHE_FOR_LONG), "{response:?}");
    let expires = response.header("Expires").expect("when it expires");
    // An HTTP date (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    assert!(expires.len() == 29 && expires.ends_with(" GMT"), "{expires}");
    assert_eq!(response.header("Last-Modified"), None);
}

/// Pages of any origin may read it: `origin` is what the request said, if anything.
pub fn check_cors(response: &Response, origin: Option<&str>) {
    assert_eq!(
        response.header("Access-Control-Allow-Origin").as_deref(),
        Some(origin.unwrap_or("*")),
        "{response:?}"
    );
    assert_eq!(response.header("Access-Control-Allow-Credentials").as_deref(), Some("true"), "{response:?}");
    let vary = response.header("Vary").unwrap_or_default();
    assert!(vary.split(',').any(|name| name.trim().eq_ignore_ascii_case("origin")), "Vary: {vary}");
}

/// The answer to OPTIONS, for these methods.
pub async fn check_preflight(response: &mut Response, methods: &str, origin: Option<&str>) {
    assert_eq!(response.status, 204, "{response:?}");
    assert_eq!(response.text().await, "");
    assert_eq!(response.header("Access-Control-Allow-Methods").as_deref(), Some(methods));
    assert_eq!(response.header("Access-Control-Max-Age").as_deref(), Some("31536000"));
    check_cached(response);
    check_cors(response, origin);
}

/// There is no cookie.
pub fn check_no_cookie(response: &Response) {
    assert_eq!(response.header("Set-Cookie"), None);
}

/// There is this cookie, for all paths.
pub fn check_cookie(response: &Response, value: &str) {
    let cookie = response.header("Set-Cookie").expect("a cookie");
    let mut parts = cookie.split(';').map(str::trim);
    assert_eq!(parts.next(), Some(format!("JSESSIONID={value}").as_str()));
    assert!(parts.next().is_some_and(|path| path.eq_ignore_ascii_case("path=/")), "{cookie}");
}

/// There is nothing at this path.
pub async fn check_not_found(response: &mut Response, what: &str) {
    assert_eq!(response.status, 404, "{what}");
    // Clients read what comes line by line, whatever its status.
    let text = response.text().await;
    assert!(!text.starts_with(['o', 'h', 'a', 'm', 'c']), "{what}: {text:?}");
}
