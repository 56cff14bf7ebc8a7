//! Asking for a token over HTTP, on a connection of its own as a client would.
//!
//! In: a path. Out: the token of the answer `{"token":"…"}`.

use std::io;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{address::Address, handshake};
use crate::error::BenchError;

const LONGEST_ANSWER: u64 = 64 * 1024;

/// Fetches one token.
pub(crate) async fn fetch(address: &Address, path: &str) -> Result<String, BenchError> {
    let mut stream = address.connect().await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address.host());
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(1024);
    match stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await {
        // A stream through TLS that ends without a word may still have brought all.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
        _ => {}
    }
    let (status, body) = handshake::read_head(&answer)?.ok_or(BenchError::NotHttp)?;
    match token_in(&answer[body..]) {
        Some(token) if status == 200 => Ok(token),
        _ => Err(BenchError::Token { path: path.to_owned(), status }),
    }
}

/// The token of a body, whether or not the body is chunked.
fn token_in(body: &[u8]) -> Option<String> {
    let after = &body[memmem::find(body, br#""token""#)? + 7..];
    let start = memchr::memchr(b'"', after)? + 1;
    let length = memchr::memchr(b'"', &after[start..])?;
    str::from_utf8(&after[start..start + length]).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_token_in_plain_and_chunked_bodies() {
        let plain = br#"{"token":"abc"}"#;
        let chunked = b"f\r\n{\"token\": \"abc\"}\r\n0\r\n\r\n";
        assert_eq!(token_in(plain).as_deref(), Some("abc"));
        assert_eq!(token_in(chunked).as_deref(), Some("abc"));
        assert_eq!(token_in(br#"{"error":"Forbidden"}"#), None);
    }
}
