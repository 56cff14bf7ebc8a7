//! A request, written as it is.

use std::net::SocketAddr;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::response::{Connection, Response};
use crate::limit::within;

/// A request of HTTP/1.1, unless told otherwise.
#[must_use = "a request does nothing until it is sent"]
#[derive(Debug, Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    version: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without a body, which says so.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        let body = (method == "POST").then(Vec::new);
        Self { method, path: path.into(), version: "HTTP/1.1", headers: Vec::new(), body }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// A POST with an empty body.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new("POST", path)
    }

    /// Adds a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Leaves out how long the body is, which is empty.
    pub fn without_length(mut self) -> Self {
        self.body = None;
        self
    }

    /// Speaks HTTP/1.0, and wants to keep the connection.
    pub fn http_1_0(mut self) -> Self {
        self.version = "HTTP/1.0";
        self.header("Connection", "Keep-Alive")
    }

    /// All of it.
    pub fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let Self { method, path, version, headers, body } = self;
        let mut lines = vec![format!("{method} {path} {version}"), format!("Host: {address}")];
        lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.extend(body.as_ref().map(|body| format!("Content-Length: {}", body.len())));
        let text = lines.join("\r\n") + "\r\n\r\n";
        [text.as_bytes(), body.as_deref().unwrap_or_default()].concat()
    }

    /// Sends it on a connection of its own, and reads the head of the answer.
    pub async fn send(&self, address: SocketAddr) -> Response {
        self.send_on(connect(address).await, address).await
    }

    /// Sends it on a connection of its own, and reads nothing.
    pub async fn begin(&self, address: SocketAddr) -> Connection {
        let mut connection = connect(address).await;
        let sent = within("a request to be taken", connection.write_all(&self.bytes(address))).await;
        sent.expect("the connection takes a request");
        connection
    }

    /// Sends it on a connection that is open.
    pub async fn send_on(&self, mut connection: Connection, address: SocketAddr) -> Response {
        let what = format!("an answer to {} {}", self.method, self.path);
        within(&what, async {
            // The server may refuse it, and the connection, before it has read all.
            let _ = connection.write_all(&self.bytes(address)).await;
            Response::read(connection).await
        })
        .await
    }
}

async fn connect(address: SocketAddr) -> Connection {
    let connection = within("a connection", TcpStream::connect(address)).await.expect("the server accepts");
    connection.set_nodelay(true).expect("TCP_NODELAY");
    BufReader::new(connection)
}
