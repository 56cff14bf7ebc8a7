//! Requests as they stand on the wire, and their answers.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

pub(super) struct Request {
    address: SocketAddr,
    head: String,
    body: Vec<u8>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Request {
    pub(super) fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        Self { address, head, body: Vec::new() }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(super) fn bearer(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(super) fn body(self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self.header("content-type", media_type) }
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(super) fn form(self, body: &str) -> Self {
        self.body("application/x-www-form-urlencoded", body)
    }

    pub(super) async fn send(mut self) -> Answer {
        if !self.head.contains("content-length") {
            write!(self.head, "content-length: {}\r\n", self.body.len()).unwrap();
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{}\r\n", self.head).as_bytes()).await.unwrap();
        // Who is refused early need not read the rest.
        let _ = stream.write_all(&self.body).await;
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        Answer::read(&answer)
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { whole(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| *known == name).map(|(_, value)| value).next()
    }

    /// The status and the body, as a text.
    pub(super) fn said(&self) -> (u16, &str) {
        (self.status, &self.body)
    }

    /// The body of what was done.
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(self.header("content-type").unwrap().starts_with("application/json"), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }

    /// The kind of the problem.
    pub(super) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.body);
        let details: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(details["status"], self.status);
        assert_eq!(details["request_id"].as_str(), self.header("x-request-id"));
        assert!(
            !details["title"].as_str().unwrap().is_empty() && !details["detail"].as_str().unwrap().is_empty()
        );
        let kind = details["type"].as_str().unwrap().strip_prefix("urn:tokensocket:problem:").unwrap();
        (self.status, kind.to_owned())
    }

    /// The lines of a list.
    pub(super) fn lines(&self) -> Vec<Value> {
        let is_right = (self.status, self.header("content-type")) == (200, Some("application/x-ndjson"));
        assert!(is_right, "{}{}", self.head, self.body);
        assert!(self.body.ends_with('\n'));
        self.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A chunked body without its chunks.
fn whole(mut body: &str) -> String {
    let mut text = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return text;
        }
        text.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
}
