//! A file that is part of this program, and its answer to a request.
//!
//! In: a request's headers. Out: the file, plain or as gzip, or 304 to whoever has it already. It must not
//! know which files there are.

use std::sync::OnceLock;

use headers::{ETag, HeaderMapExt, IfNoneMatch};
use sha1::{Digest, Sha1};
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::{Reply, Response};

use super::negotiation;

/// A file below `console/dist`, built and compressed there.
pub(super) struct File {
    pub(super) name: &'static str,
    media_type: &'static str,
    plain: Form,
    gzip: Form,
}

/// One form of a file's content. Each has an `ETag` of its own.
struct Form {
    content: &'static [u8],
    tag: OnceLock<Option<ETag>>,
}

/// The file of this name, of this media type.
macro_rules! file {
    ($name:literal, $media_type:literal) => {
        $crate::console::file::File::new(
            $name,
            $media_type,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/console/dist/", $name)),
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/console/dist/", $name, ".gz")),
        )
    };
}
pub(super) use file;

impl File {
    pub(super) const fn new(
        name: &'static str,
        media_type: &'static str,
        plain: &'static [u8],
        gzip: &'static [u8],
    ) -> Self {
        Self { name, media_type, plain: Form::new(plain), gzip: Form::new(gzip) }
    }

    /// The answer to a GET or HEAD with these headers.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let compressed = negotiation::names(asked, header::ACCEPT_ENCODING, "gzip");
        let form = if compressed { &self.gzip } else { &self.plain };
        let known = match (asked.typed_get::<IfNoneMatch>(), form.tag()) {
            (Some(condition), Some(tag)) => !condition.precondition_passes(tag),
            _ => false,
        };
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = form.content.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
            if compressed {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        };
        let headers = response.headers_mut();
        if let Some(tag) = form.tag() {
            headers.typed_insert(tag.clone());
        }
        // A newer program has newer files at the same paths: ask each time, and mostly be told "not modified".
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        response
    }
}

impl Form {
    const fn new(content: &'static [u8]) -> Self {
        Self { content, tag: OnceLock::new() }
    }

    fn tag(&self) -> Option<&ETag> {
        let hash = || {
            let hash: [u8; 20] = Sha1::digest(self.content).into();
            let mut text = String::from('"');
            text.extend(hash.iter().map(|byte| format!("{byte:02x}")));
            text.push('"');
            text.parse().ok()
        };
        self.tag.get_or_init(hash).as_ref()
    }
}
