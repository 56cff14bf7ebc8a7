//! Origins of pages, as browsers name them (RFC 6454, section 6.2).
//!
//! In: what is written in `allowOrigins`. Out: what to write instead, if no browser ever says that.

use url::Url;

/// The origin of pages that have none.
const NONE: &str = "null";

/// What to write instead of what is no origin.
pub(super) fn check(origin: &str) -> Result<(), String> {
    if origin == NONE {
        return Ok(());
    }
    if origin == "*" {
        return Err("leave `allowOrigins` out to let pages of all origins in".to_owned());
    }
    if origin.contains('*') {
        return Err("name each origin by itself: one name does not stand for several".to_owned());
    }
    let whole = if origin.contains("://") { origin.to_owned() } else { format!("https://{origin}") };
    let meant = Url::parse(&whole).ok().and_then(|url| named(&url));
    match meant {
        Some(meant) if meant == origin => Ok(()),
        Some(meant) => Err(format!("write `{meant}`")),
        None => Err("write a scheme, a host and perhaps a port, as in `https://www.example.com`".to_owned()),
    }
}

/// What a browser calls the origin of this page. Programs have schemes of their own, such as `capacitor`.
fn named(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{}://{host}{port}", url.scheme()))
}
