//! The WebSocket upgrade (RFC 6455, section 4.1) over a fresh connection.
//!
//! In: a stream and a path. Out: the bytes that came after the answer.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::Stream;
use crate::error::BenchError;

const LONGEST_ANSWER: usize = 16 * 1024;

/// Upgrades `stream` and returns what the server sent right behind its answer.
///
/// The answer's accept key is not checked: the generator measures servers, it
/// does not test them.
pub(crate) async fn upgrade(stream: &mut Stream, host: &str, path: &str) -> Result<Vec<u8>, BenchError> {
    let request = format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {host}\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(BenchError::Closed { while_: "upgrading" });
        }
        if let Some((status, length)) = read_head(&answer)? {
            return match status {
                101 => Ok(answer.split_off(length)),
                status => Err(BenchError::Upgrade { path: path.to_owned(), status }),
            };
        }
        if answer.len() > LONGEST_ANSWER {
            return Err(BenchError::NotHttp);
        }
    }
}

/// Status and length of an answer's head, when it is all there.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Option<(u16, usize)>, BenchError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Ok(response.code.map(|status| (status, length))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(BenchError::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn finds_where_the_head_ends() {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nrest";
        assert_eq!(read_head(&answer[..20]).unwrap(), None);
        assert_eq!(read_head(answer).unwrap(), Some((101, answer.len() - 4)));
        assert!(read_head(b"\0\0 not http at all\r\n").is_err());
    }
}
