//! The HTTP face of Socket.IO: the path of its connections, and the files of its client for browsers beside it.
//!
//! In: a request at or below the endpoint's path. Out: what Engine.IO answers, a file, or a 404 that says why.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sha1::{Digest, Sha1};

use super::body::{RequestBody, ResponseBody};
use super::{Head, allow, empty, engineio, refuse};
use crate::socketio::{Opener, SocketIo};

/// The largest file of a client, in bytes.
const MAX_FILE: u64 = 8 << 20;

/// Answers a request for what stands at `rest` below the endpoint's path.
pub(crate) async fn respond(
    io: &SocketIo,
    rest: &str,
    head: &mut Head,
    body: impl RequestBody,
) -> Response<ResponseBody> {
    match rest {
        "" | "/" => engineio::respond(&io.0.endpoint, head, body, &Opener(&io.0)).await,
        file => client_file(io, file.strip_prefix('/').unwrap_or(file), head).await,
    }
}

/// One of the files that pages load: `socket.io.js` and its like, with their maps.
async fn client_file(io: &SocketIo, name: &str, head: &Head) -> Response<ResponseBody> {
    if !is_client_file(name) {
        return refuse(StatusCode::NOT_FOUND, "there is nothing at this path");
    }
    if head.method != Method::GET && head.method != Method::HEAD {
        return allow(empty(StatusCode::METHOD_NOT_ALLOWED), "GET, HEAD");
    }
    let Some(folder) = &io.0.options.client_files else {
        return refuse(
            StatusCode::NOT_FOUND,
            "this server has no files of the Socket.IO client: name their folder, the `dist` of npm socket.io-client, \
             or load the client from elsewhere",
        );
    };
    let path = folder.join(name);
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(file) => found(name, file.into(), &head.headers),
        Err(error) => {
            tracing::debug!(%error, name, "a file of the Socket.IO client cannot be read");
            refuse(StatusCode::NOT_FOUND, "the folder of the Socket.IO client has no such file")
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_FILE {
        return Err(io::Error::other(format!("{size} bytes are too many")));
    }
    std::fs::read(path)
}

/// A name that stays in the folder and is one of the client's.
fn is_client_file(name: &str) -> bool {
    let rest = name.strip_suffix(".map").unwrap_or(name);
    let stem = rest.strip_suffix(".js").and_then(|stem| stem.strip_prefix("socket.io"));
    stem.is_some_and(|stem| {
        stem.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.' || byte == b'-')
    })
}

fn found(name: &str, file: Bytes, asked: &HeaderMap) -> Response<ResponseBody> {
    let digest = Sha1::digest(&file);
    let tag = digest.iter().fold("\"".to_owned(), |hex, byte| format!("{hex}{byte:02x}")) + "\"";
    let is_known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = empty(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    if !is_known {
        *response.body_mut() = file.into();
    }
    let kind = if Path::new(name).extension().is_some_and(|kind| kind == "map") {
        "application/json; charset=UTF-8"
    } else {
        "text/javascript; charset=UTF-8"
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_the_clients_files_alone() {
        for name in ["socket.io.js", "socket.io.min.js", "socket.io.slim.js.map", "socket.io.esm.min.js"] {
            assert!(is_client_file(name), "{name}");
        }
        for name in
            ["", "socket.io", "../socket.io.js", "socket.io/../x.js", "x.js", "socket.io.ts", "package.json"]
        {
            assert!(!is_client_file(name), "{name}");
        }
    }
}
