//! Whose request it is: which site, and whether it has one of the site's keys.
//!
//! In: a request's query and headers. Out: the site, or why not. The key stands in `Authorization: Bearer`, which no
//! log of addresses keeps, or in the query, as `apiKey`.

use std::sync::Arc;

use http::header::{self, HeaderMap};

use super::problem::{Kind, Problem};
use super::query::Query;
use crate::site::{Site, Sites};

/// The key that a request shows: the query's before the header's, which a proxy may have put there.
pub(super) fn key(query: &Query, headers: &HeaderMap) -> Option<String> {
    let of_query = query.get("apiKey").filter(|key| !key.is_empty());
    of_query.map(str::to_owned).or_else(|| bearer(headers).map(str::to_owned))
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The site that a request names, or the only one, if the request may speak for it.
pub(super) fn site(sites: &Sites, query: &Query, headers: &HeaderMap) -> Result<Arc<Site>, Problem> {
    let name = query.get("site").filter(|name| !name.is_empty());
    let site = name.map_or_else(|| sites.plain(), |name| sites.get(name));
    if site.is_none() && name.is_none() {
        return Err(Problem::bad_request("there are several sites here: add `?site=` and the name of one"));
    }
    if let Some(site) = site.as_ref().filter(|site| site.is_open()) {
        return if is_foreign(headers) { Err(foreign()) } else { Ok(Arc::clone(site)) };
    }
    let Some(key) = key(query, headers) else {
        let say = "show one of the site's keys: `Authorization: Bearer KEY`";
        return Err(Problem::new(Kind::Unauthenticated, say));
    };
    // Whether the site or the key is wrong is nobody's business who has no key.
    site.filter(|site| site.accepts_key(&key)).ok_or_else(|| {
        Problem::new(Kind::Unauthenticated, "there is no such site, or this is none of its keys")
    })
}

/// Whether a page of another origin asks. Where no key is needed, any page in a browser on the machine could.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_none_or(|(_, authority)| host != Some(authority))
}

pub(super) fn foreign() -> Problem {
    Problem::new(Kind::Forbidden, "this server is open, but not to pages of other origins")
}
