//! WebSocket bytes over a plain TCP connection: for what no well-behaved library would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::limit::within;

/// The opcode of a text frame (RFC 6455, section 5.2).
pub const TEXT: u8 = 1;

/// A request for the raw WebSocket, whole and correct.
pub fn upgrade_request(address: SocketAddr) -> String {
    format!(
        "GET /sockets/websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Connects and upgrades; what the server sends from then on is unread.
pub async fn upgraded(address: SocketAddr) -> TcpStream {
    within("an upgrade", async {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.write_all(upgrade_request(address).as_bytes()).await.expect("a request is taken");
        read_head(&mut stream).await;
        stream
    })
    .await
}

/// Reads the head of a 101 answer.
pub async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer's head"));
    }
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // The example of RFC 6455, section 1.3.
    assert!(head.to_lowercase().contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
}

/// A whole, masked frame. The mask is zero, so that the payload stands in it as it is.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, 0x80, payload)
}

/// A frame with these first bits and this mask bit.
pub fn frame(first: u8, mask: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(mask | u8::try_from(length).expect("fits")),
        length @ 126..65_536 => {
            frame.push(mask | 0x7e);
            frame.extend(u16::try_from(length).expect("fits").to_be_bytes());
        }
        length => {
            frame.push(mask | 0x7f);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    if mask != 0 {
        frame.extend([0; 4]);
    }
    frame.extend(payload);
    frame
}

/// Reads frames to the close, and returns its code; `None` when the connection ended without one.
pub async fn close_code(stream: &mut TcpStream) -> Option<u16> {
    within("a close", async {
        loop {
            let first = stream.read_u8().await.ok()?;
            let length = match stream.read_u8().await.ok()? {
                126 => u64::from(stream.read_u16().await.ok()?),
                127 => stream.read_u64().await.ok()?,
                length => u64::from(length),
            };
            let mut payload = vec![0; usize::try_from(length).expect("fits")];
            stream.read_exact(&mut payload).await.ok()?;
            if first & 0x0f == 8 {
                return Some(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)));
            }
        }
    })
    .await
}

/// Reads until the peer has closed the TCP connection too.
pub async fn ended(stream: &mut TcpStream) {
    within("the end of the connection", async {
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
    })
    .await;
}
