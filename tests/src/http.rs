//! HTTP requests, exactly as a test spells them.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

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
    let asking = try_request(address, method.clone(), path, headers, body);
    within(&format!("an answer to {method} {path}"), asking).await.expect("an answer")
}

/// The same for a server that may not be there. Waits for as long as it takes.
pub async fn try_request(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with this future, too.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let mut request = Request::builder().method(&method).uri(path).header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(body.into()))?).await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    let (status, headers) = (parts.status.as_u16(), parts.headers);
    Ok(Answer { status, headers, body: String::from_utf8(body.to_vec())? })
}
