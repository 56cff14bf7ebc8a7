//! A client of the WebSocket that came before RFC 6455: draft-ietf-hybi-thewebsocketprotocol-00, "hixie-76".

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::request::Request;
use super::response::{Connection, Response};
use crate::limit::within;

/// What a client adds to its handshake, behind the request's head.
pub const NONCE: &[u8; 8] = b"aaaaaaaa";
/// What a server must make of the keys and the nonce.
const PROOF: [u8; 16] =
    [0xca, 0x34, 0x00, 0xd8, 0xa5, 0x08, 0x47, 0x97, 0x2c, 0xd5, 0x71, 0x5a, 0xba, 0xbf, 0x43, 0x7b];

/// A connection.
#[derive(Debug)]
pub struct Hixie {
    connection: Connection,
}

impl Hixie {
    /// The request's head.
    pub fn request(path: &str) -> Request {
        Request::get(path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "WebSocket")
            .header("Origin", "localhost:8081")
            .header("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5")
            .header("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00")
    }

    /// Connects as the clients of that time do: the nonce comes in one piece with the head.
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        let connection = within("a connection", tokio::net::TcpStream::connect(address)).await;
        let mut connection = tokio::io::BufReader::new(connection.expect("the server accepts"));
        let request = [&Self::request(path).bytes(address)[..], NONCE].concat();
        connection.write_all(&request).await.expect("a request is taken");
        let response = within("an upgrade", Response::read(connection)).await;
        Self::check_head(&response, address, path);
        let mut hixie = Self { connection: response.into_connection() };
        hixie.expect_proof().await;
        hixie
    }

    /// Connects as some proxies make it be: the head goes first and is answered, the nonce follows.
    pub async fn connect_through_haproxy(address: SocketAddr, path: &str) -> Self {
        let response = Self::request(path).send(address).await;
        Self::check_head(&response, address, path);
        let mut hixie = Self { connection: response.into_connection() };
        hixie.write(NONCE).await;
        hixie.expect_proof().await;
        hixie
    }

    fn check_head(response: &Response, address: SocketAddr, path: &str) {
        assert_eq!(response.status, 101, "{response:?}");
        let is = |name: &str, value: &str| {
            let header = response.header(name).unwrap_or_default();
            assert!(header.eq_ignore_ascii_case(value), "{name}: {header}");
        };
        is("Upgrade", "WebSocket");
        is("Connection", "Upgrade");
        is("Sec-WebSocket-Origin", "localhost:8081");
        is("Sec-WebSocket-Location", &format!("ws://{address}{path}"));
        assert_eq!(response.header("Content-Length"), None);
    }

    async fn expect_proof(&mut self) {
        let mut proof = [0; 16];
        within("the server's proof", self.connection.read_exact(&mut proof)).await.expect("16 bytes");
        assert_eq!(proof, PROOF);
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.connection.write_all(bytes).await.expect("the connection takes bytes");
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) {
        self.write(&[b"\0", text.as_bytes(), b"\xff"].concat()).await;
    }

    /// The next text; `None` for a closing frame.
    pub async fn next(&mut self) -> Option<String> {
        within("a frame", async {
            match self.connection.read_u8().await {
                Ok(0) => {}
                Ok(0xff) => {
                    assert_eq!(self.connection.read_u8().await.expect("a closing frame"), 0);
                    return None;
                }
                Ok(other) => panic!("a frame of the type {other}"),
                Err(error) => panic!("{error} instead of a frame"),
            }
            let mut text = Vec::new();
            loop {
                match self.connection.read_u8().await.expect("a whole frame") {
                    0xff => return Some(String::from_utf8(text).expect("frames are text")),
                    byte => text.push(byte),
                }
            }
        })
        .await
    }

    /// The next text is this one.
    pub async fn expect(&mut self, text: &str) {
        assert_eq!(self.next().await.as_deref(), Some(text));
    }

    /// The server closes, with a closing frame, and ends the connection when that is answered.
    pub async fn expect_closed(&mut self) {
        assert_eq!(self.next().await, None);
        // The server may have closed already.
        let _ = self.connection.write_all(b"\xff\0").await;
        let mut rest = Vec::new();
        within("the end", self.connection.read_to_end(&mut rest)).await.expect("an orderly end");
        assert_eq!(rest, b"");
    }
}
