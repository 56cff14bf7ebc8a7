//! The console: a page at `/` to try the server with, and the files it is made of below `/console`.
//!
//! ```text
//! GET / ── a browser ──▶ dist/index.html ──▶ /console/console.js, console.css, tokensocket.mjs, …
//!       └─ else ───────▶ the welcome of `pages`
//! ```
//!
//! In: a request's headers. Out: a file that is part of this program, compressed where the client takes it,
//! or "not modified". The files are built from `gateway/console` and know nothing of the server but what
//! every page knows.

mod file;
mod negotiation;

use warp::http::{HeaderMap, HeaderValue, header};
use warp::reject::{self, Rejection};
use warp::reply::Response;

use file::File;

/// What the page may do: nothing but run, style and show its own files, and speak to this server. A
/// browser that knows `wasm-unsafe-eval` also takes this server's WebSockets for `'self'` (Content
/// Security Policy Level 3, "Does url match expression in origin").
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
     style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

static PAGE: File = file::file!("index.html", "text/html; charset=utf-8");

static FILES: [File; 6] = [
    file::file!("console.js", "text/javascript; charset=utf-8"),
    file::file!("console.css", "text/css; charset=utf-8"),
    file::file!("icon.svg", "image/svg+xml"),
    file::file!("tokensocket.mjs", "text/javascript; charset=utf-8"),
    file::file!("tokensocket_bg.wasm", "application/wasm"),
    file::file!("fallback.mjs", "text/javascript; charset=utf-8"),
];

/// Whether the client asks for a page, as browsers do, rather than for whatever there is.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    negotiation::names(headers, header::ACCEPT, "text/html")
}

/// The console's page.
pub(crate) fn page(headers: &HeaderMap) -> Response {
    secure(PAGE.answer(headers))
}

/// One of the files below `/console`.
pub(crate) fn file(name: &str, headers: &HeaderMap) -> Result<Response, Rejection> {
    let found = FILES.iter().find(|file| file.name == name).ok_or_else(reject::not_found)?;
    Ok(secure(found.answer(headers)))
}

fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
