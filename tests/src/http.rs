//! HTTP requests, exactly as a test spells them.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::limit::within;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }
}

/// GETs `path`.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, Method::GET, path, &[]).await
}

/// Sends a request without a body on a connection of its own.
pub async fn request(address: SocketAddr, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    request_with(address, method, path, headers, Bytes::new()).await
}

/// Sends a request with a body on a connection of its own.
pub async fn request_with(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    within(&format!("an answer to {method} {path}"), async {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("HTTP/1.1");
        let connection = tokio::spawn(connection);
        let mut request = Request::builder().method(&method).uri(path).header(HOST, address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("the whole body").to_bytes();
        connection.abort();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).expect("bodies are text"),
        }
    })
    .await
}
