//! A Socket.IO client that polls, request by request.
//!
//! In: what a test says. Out: the bodies that come, or their packets, taken apart by rules of its own. It answers
//! nothing by itself.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::limit::within;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("text")
    }

    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// The status and the body as text.
    pub fn said(&self) -> (u16, &str) {
        (self.status, self.text())
    }
}

/// Sends a request on a connection of its own, to the endpoint and with this query.
pub async fn ask(
    address: SocketAddr,
    method: Method,
    query: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    within(&format!("an answer to {method} {query}"), async {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("HTTP/1.1");
        // Cut when this future is dropped.
        let mut connections = tokio::task::JoinSet::new();
        connections.spawn(connection);
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("/socket.io/?{query}"))
            .header(HOST, address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
        let bytes = body.collect().await.expect("the whole body").to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, bytes }
    })
    .await
}

/// A client's session.
#[derive(Debug, Clone)]
pub struct Polling {
    /// Where the server is.
    pub address: SocketAddr,
    /// Of Engine.IO: 3 or 4.
    pub protocol: u8,
    /// The session's name.
    pub sid: String,
    /// Added to each request's query.
    pub query: String,
}

impl Polling {
    /// Begins a session of Engine.IO protocol 3 or 4, and takes what it is greeted with. `query` begins with an
    /// ampersand, or is empty.
    pub async fn open(address: SocketAddr, protocol: u8, query: &str) -> Self {
        let mut polling = Self { address, protocol, sid: String::new(), query: query.to_owned() };
        let answer = polling.get().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut packets = polling.packets(answer.text());
        let open = packets.remove(0);
        let open = open.strip_prefix('0').unwrap_or_else(|| panic!("{open}"));
        let open: serde_json::Value = serde_json::from_str(open).expect("JSON");
        open["sid"].as_str().expect("a name").clone_into(&mut polling.sid);
        if protocol == 3 {
            assert_eq!(packets, ["40"]);
        } else {
            assert!(packets.is_empty(), "{packets:?}");
        }
        polling
    }

    /// The same, in a namespace.
    pub async fn join(address: SocketAddr, protocol: u8, namespace: &str, query: &str) -> Self {
        let polling = Self::open(address, protocol, &format!("&{query}")).await;
        polling.say(&[&format!("40{namespace},")]).await;
        let mut packets = polling.poll().await;
        if packets.len() == 1 {
            packets.extend(polling.poll().await);
        }
        assert_eq!(packets.len(), 2, "{packets:?}");
        assert!(packets[0].starts_with(&format!("40{namespace},")), "{packets:?}");
        assert_eq!(packets[1], format!("42{namespace},[\"_settings\",{{\"device_ttl\":3600}}]"));
        polling
    }

    /// Its requests' query.
    pub fn url_query(&self) -> String {
        let Self { protocol, sid, query, .. } = self;
        let sid = if sid.is_empty() { String::new() } else { format!("&sid={sid}") };
        format!("EIO={protocol}&transport=polling{query}{sid}")
    }

    /// Polls once.
    pub async fn get(&self) -> Answer {
        ask(self.address, Method::GET, &self.url_query(), &[], Bytes::new()).await
    }

    /// Polls once, for packets that are texts.
    pub async fn poll(&self) -> Vec<String> {
        let answer = self.get().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.packets(answer.text())
    }

    /// Polls until so many packets have come.
    pub async fn poll_for(&self, count: usize) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.len() < count {
            packets.extend(self.poll().await);
        }
        assert_eq!(packets.len(), count, "{packets:?}");
        packets
    }

    /// Sends packets that are texts.
    pub async fn say(&self, packets: &[&str]) {
        let answer = self.post(self.body(packets), "text/plain;charset=UTF-8").await;
        assert_eq!(answer.said(), (200, "ok"));
    }

    /// Sends a body.
    pub async fn post(&self, body: impl Into<Bytes>, content_type: &str) -> Answer {
        ask(self.address, Method::POST, &self.url_query(), &[("content-type", content_type)], body).await
    }

    /// Packets as a body.
    pub fn body(&self, packets: &[&str]) -> String {
        if self.protocol == 4 {
            return packets.join("\u{1e}");
        }
        packets
            .iter()
            .map(|packet| format!("{}:{packet}", packet.encode_utf16().count()))
            .collect::<Vec<_>>()
            .concat()
    }

    /// A body's packets.
    pub fn packets(&self, body: &str) -> Vec<String> {
        if self.protocol == 4 {
            return body.split('\u{1e}').map(str::to_owned).collect();
        }
        let units: Vec<u16> = body.encode_utf16().collect();
        let (mut at, mut packets) = (0, Vec::new());
        while at < units.len() {
            let colon = at + units[at..].iter().position(|unit| *unit == u16::from(b':')).expect("a length");
            let length: usize = String::from_utf16_lossy(&units[at..colon]).parse().expect("a length");
            at = colon + 1 + length;
            packets.push(String::from_utf16(&units[colon + 1..at]).expect("whole characters"));
        }
        packets
    }
}
