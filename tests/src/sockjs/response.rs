//! A response, read chunk by chunk.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

use crate::limit::within;

/// A connection, with what was read of it and not yet understood.
pub(super) type Connection = BufReader<TcpStream>;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Chunked,
    Length(usize),
    /// With the connection.
    Close,
    /// There is none, or none is left.
    Empty,
}

/// What a server answers, as it comes.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The first line.
    pub line: String,
    headers: Vec<(String, String)>,
    framing: Framing,
    connection: Connection,
}

impl Response {
    /// Reads the head.
    pub(super) async fn read(mut connection: Connection) -> Self {
        let mut line = text_line(&mut connection).await;
        // `100 Continue` and the like come before the answer.
        while line.starts_with("HTTP/1.1 1") && !line.starts_with("HTTP/1.1 101") {
            while !text_line(&mut connection).await.is_empty() {}
            line = text_line(&mut connection).await;
        }
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut headers = Vec::new();
        loop {
            let line = text_line(&mut connection).await;
            let Some((name, value)) = line.split_once(':') else {
                assert_eq!(line, "", "a header");
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Self { status, line, headers, framing: Framing::Empty, connection };
        response.framing = response.body();
        response
    }

    /// How the body ends, which every answer has to say (SockJS protocol 0.3.3, `utils`).
    fn body(&self) -> Framing {
        if matches!(self.status, 101 | 204 | 304) {
            return Framing::Empty;
        }
        if self.header("Transfer-Encoding").is_some_and(|coding| coding == "chunked") {
            return Framing::Chunked;
        }
        match self.header("Content-Length") {
            Some(length) => Framing::Length(length.parse().expect("a length")),
            None if self.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) => {
                Framing::Close
            }
            None if self.line.starts_with("HTTP/1.0") => Framing::Close,
            None => panic!("nobody knows where this answer ends: {self:?}"),
        }
    }

    /// A header; all of that name, where there are several.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The next chunk; `None` behind the last. A body that is not chunked is one chunk.
    pub async fn chunk(&mut self) -> Option<String> {
        let chunk = within("a chunk", self.read_chunk()).await;
        chunk.map(|chunk| String::from_utf8(chunk).expect("bodies are text"))
    }

    async fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let length = match self.framing {
            Framing::Empty | Framing::Length(0) => return None,
            Framing::Chunked => {
                let line = text_line(&mut self.connection).await;
                usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("the length of a chunk: {line:?}"))
            }
            Framing::Length(length) => length,
            Framing::Close => {
                let mut rest = Vec::new();
                self.connection.read_to_end(&mut rest).await.expect("the end of a body");
                self.framing = Framing::Empty;
                return (!rest.is_empty()).then_some(rest);
            }
        };
        let mut chunk = vec![0; length];
        self.connection.read_exact(&mut chunk).await.expect("a whole chunk");
        if self.framing != Framing::Chunked {
            self.framing = Framing::Empty;
            return Some(chunk);
        }
        assert_eq!(text_line(&mut self.connection).await, "", "the end of a chunk");
        if length == 0 {
            self.framing = Framing::Empty;
        }
        (length > 0).then_some(chunk)
    }

    /// The rest of the body, to its end.
    pub async fn text(&mut self) -> String {
        let mut text = String::new();
        while let Some(chunk) = self.chunk().await {
            text.push_str(&chunk);
        }
        text
    }

    /// The next chunk is this one.
    pub async fn expect(&mut self, chunk: &str) {
        assert_eq!(self.chunk().await.as_deref(), Some(chunk));
    }

    /// The response is at its end, and says so.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.chunk().await, None);
    }

    /// Nothing comes for a while.
    pub async fn expect_quiet(&mut self) {
        let came = tokio::time::timeout(crate::limit::QUIET, self.connection.fill_buf()).await;
        assert!(came.is_err(), "unexpected: {came:?}");
    }

    /// The connection, for another request or for what follows an upgrade.
    pub fn into_connection(self) -> BufReader<TcpStream> {
        assert_eq!(self.framing, Framing::Empty, "the answer was not read to its end");
        self.connection
    }

    /// The connection, wherever the answer is.
    pub fn abandon(self) -> TcpStream {
        self.connection.into_inner()
    }
}

async fn text_line(connection: &mut Connection) -> String {
    let mut line = Vec::new();
    connection.read_until(b'\n', &mut line).await.expect("a line");
    let line = line.strip_suffix(b"\r\n").expect("the end of a line, not of the connection");
    String::from_utf8(line.to_vec()).expect("heads are text")
}
