//! A site's namespace, as Socket.IO clients find it.
//!
//! In: a site. Out: whoever comes to its namespace is asked from which page, by which token, and as whom.

use std::sync::Arc;

use http::HeaderMap;
use tokensocket_server::socketio::{ConnectRequest, NamespaceOptions, Refusal, SocketIo};

use super::Site;
use super::credentials::Credentials;

/// Offers a site's namespace to Socket.IO clients. A token that the site's server issued is good once; any other is for
/// the door.
pub(super) fn offer(io: &SocketIo, site: &Arc<Site>, namespace: &str) {
    let (door, server) = (Arc::clone(&site.door), site.server.clone());
    io.namespace(namespace, NamespaceOptions::new(), &site.server, move |request: ConnectRequest| {
        let (door, server) = (Arc::clone(&door), server.clone());
        async move {
            if !is_from_allowed_page(&door.config().allow_origins, request.headers()) {
                return Err(Refusal::new("Pages of this origin may not connect"));
            }
            // It comes back by itself, which one that is refused does not.
            door.check_room().map_err(|full| Refusal::try_again(full.to_string()))?;
            let unknown = match server.redeem_token_of(&request).await {
                Ok(Some(identity)) => return Ok(identity),
                Ok(None) => None,
                // It may be one of the site's own, which only looks like ours.
                Err(error) => Some(error),
            };
            let admitted = if door.asks_somebody() {
                let credentials = Credentials::of(|name| request.query(name), request.headers());
                door.admit(&credentials).await.map_err(|refused| Refusal::new(refused.to_string()))
            } else {
                Err(Refusal::invalid_token())
            };
            admitted.map_err(|refusal| match unknown {
                None => refusal,
                Some(error) => {
                    tracing::warn!(%error, "a token could not be redeemed");
                    Refusal::try_again(error.to_string())
                }
            })
        }
    });
}

/// Whether a request comes from no page, or from one of these origins, or from one that was loaded from here; an empty
/// list is any. A script's request names no origin, so that its referrer stands for it.
fn is_from_allowed_page(allowed: &[String], headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let referrer = || url::Url::parse(text("referer")?).ok().map(|page| page.origin().ascii_serialization());
    let origin = match (text("origin"), text("sec-fetch-site")) {
        (Some(origin), _) => origin.to_owned(),
        (None, Some("same-origin" | "none")) => return true,
        // A browser's, from elsewhere.
        (None, Some(_)) => referrer().unwrap_or_default(),
        (None, None) => match referrer() {
            Some(page) => page,
            None => return true,
        },
    };
    let is_own = || {
        let (_, page) = origin.split_once("://").unwrap_or_default();
        !page.is_empty() && text("host") == Some(page)
    };
    allowed.is_empty() || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(&origin)) || is_own()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn asks(more: &[(&'static str, &'static str)]) -> HeaderMap {
        let headers = [("host", "push.test:1337")].into_iter().chain(more.iter().copied());
        let header = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        headers.map(header).collect()
    }

    #[test]
    fn pages_of_other_origins_are_kept_out_where_some_are_named() {
        let from = |origin| asks(&[("origin", origin)]);
        let named = ["https://www.test".to_owned()];
        assert!(is_from_allowed_page(&named, &from("https://www.test")));
        assert!(is_from_allowed_page(&named, &from("http://push.test:1337")));
        assert!(is_from_allowed_page(&named, &asks(&[])));
        assert!(is_from_allowed_page(&[], &from("https://evil.test")));
        for origin in ["https://evil.test", "null", "", "https://www.test.evil.test"] {
            assert!(!is_from_allowed_page(&named, &from(origin)), "{origin}");
        }
    }

    #[test]
    fn scripts_of_other_origins_are_kept_out_too() {
        let named = ["https://www.test".to_owned()];
        for allowed in [
            &[("referer", "https://www.test/page")][..],
            &[("referer", "http://push.test:1337/")],
            &[("referer", "https://www.test/page"), ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-origin")],
        ] {
            assert!(is_from_allowed_page(&named, &asks(allowed)), "{allowed:?}");
        }
        for foreign in [
            &[("referer", "https://evil.test/https://www.test")][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("referer", "https://evil.test/")],
        ] {
            assert!(!is_from_allowed_page(&named, &asks(foreign)), "{foreign:?}");
        }
    }
}
