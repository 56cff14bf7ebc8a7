//! What a request's `Accept` and `Accept-Encoding` name (RFC 9110, 12.5).
//!
//! In: headers. Out: whether something is asked for by its own name. A wildcard does not count: who takes
//! anything gets what is simplest.

use warp::http::HeaderMap;
use warp::http::header::HeaderName;

/// Whether the header lists `wanted`, and not with the weight 0.
pub(super) fn names(headers: &HeaderMap, header: HeaderName, wanted: &str) -> bool {
    headers
        .get_all(header)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|member| is_wanted(member, wanted))
}

fn is_wanted(member: &str, wanted: &str) -> bool {
    let mut parts = member.split(';').map(str::trim);
    let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
    let refused = parts.any(|parameter| {
        let weight = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        weight.is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0_f32))
    });
    named && !refused
}

#[cfg(test)]
mod tests {
    use warp::http::header::{ACCEPT, HeaderValue};

    use super::*;

    fn html(accept: &'static str) -> bool {
        names(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]), ACCEPT, "text/html")
    }

    #[test]
    fn browsers_ask_for_a_page_by_its_name() {
        assert!(html("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(html("application/json, Text/HTML ; q=0.5"));
    }

    #[test]
    fn wildcards_and_refusals_are_no_wish() {
        for accept in
            ["*/*", "text/*", "", "text/html;q=0", "text/html; q=0.000", "text/htmlx", "a;b=text/html"]
        {
            assert!(!html(accept), "{accept}");
        }
        assert!(!names(&HeaderMap::new(), ACCEPT, "text/html"));
    }
}
