//! What is measured and for how long.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// What the server speaks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DialectName {
    /// The `TokenSocket` wire on the raw WebSocket.
    #[default]
    Tokensocket,
    /// The `TokenSocket` wire in `SockJS` frames.
    Sockjs,
    /// Both: every second follower of a channel in `SockJS` frames, all others raw.
    Mixed,
    /// Socket.IO 4, with events `echo`, `subscribe`, `publish`.
    Socketio,
    /// JSON-RPC 2.0, with methods `echo`, `subscribe`, `publish`.
    Jsonrpc,
    /// Plain messages without any protocol.
    Raw,
    /// The NATS client protocol in binary frames; fan-out and memory only.
    Nats,
}

/// A process whose CPU time and memory are watched.
#[derive(Clone, Debug)]
pub struct Process {
    /// What it is called in a report.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

/// A running server and how to talk to it.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) dialect: DialectName,
    pub(crate) token_path: String,
    pub(crate) socket_prefix: String,
    pub(crate) action: String,
    pub(crate) echo_path: String,
    pub(crate) server: Option<u32>,
    pub(crate) beside: Vec<Process>,
    pub(crate) nodes: Vec<u16>,
}

impl Target {
    /// The server at `url`, as `http://HOST:PORT` (`ws://` means the same), or as
    /// `https://HOST:PORT` (`wss://`) through TLS. No certificate is verified.
    /// Fails on any other scheme and on a path.
    pub fn new(url: &str) -> Result<Self, BenchError> {
        let wrong = || BenchError::Url(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(wrong()),
        };
        if uri.path() != "/" {
            return Err(wrong());
        }
        Ok(Self {
            host: uri.host().ok_or_else(wrong)?.to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            dialect: DialectName::default(),
            token_path: "/socket/token".to_owned(),
            socket_prefix: "/sockets".to_owned(),
            action: "echo".to_owned(),
            echo_path: "/echo".to_owned(),
            server: None,
            beside: Vec::new(),
            nodes: Vec::new(),
        })
    }

    /// What it speaks; default [`DialectName::Tokensocket`].
    #[must_use]
    pub fn dialect(mut self, dialect: DialectName) -> Self {
        self.dialect = dialect;
        self
    }

    /// Where tokens are issued; default `/socket/token`.
    #[must_use]
    pub fn token_path(mut self, path: impl Into<String>) -> Self {
        self.token_path = path.into();
        self
    }

    /// Where the sockets are; default `/sockets`.
    #[must_use]
    pub fn socket_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.socket_prefix = prefix.into();
        self
    }

    /// The action that answers with its argument; default `echo`.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    /// Where the SockJS service is that sends every message back and wants no
    /// token; default `/echo`.
    #[must_use]
    pub fn echo_path(mut self, path: impl Into<String>) -> Self {
        self.echo_path = path.into();
        self
    }

    /// The server's process, for CPU time and memory; without it a report has
    /// neither. Only on Linux.
    #[must_use]
    pub fn server(mut self, pid: u32) -> Self {
        self.server = Some(pid);
        self
    }

    /// Another node of the same service, on the same host. The workloads `relay`, `deliver` and `send` spread their connections
    /// over all of them in turn, the first being the server's own.
    #[must_use]
    pub fn node(mut self, port: u16) -> Self {
        self.nodes.push(port);
        self
    }

    /// Another process that works for the server. Its CPU time is reported by
    /// itself and never added to the server's.
    #[must_use]
    pub fn beside(mut self, process: Process) -> Self {
        self.beside.push(process);
        self
    }
}

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long is counted; default 5 s.
    pub measure: Duration,
    /// How long the load runs before that; default 1 s.
    pub warm_up: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { measure: Duration::from_secs(5), warm_up: Duration::from_secs(1) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use super::*;

    #[test]
    fn takes_the_address_from_the_url() {
        let target = Target::new("http://127.0.0.1:1337").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("127.0.0.1", 1337));
        assert_eq!(Target::new("ws://example.test").unwrap().port, 80);
        let secure = Target::new("https://example.test").unwrap();
        assert_eq!((secure.port, secure.tls), (443, true));
        for url in ["ftp://x:1", "127.0.0.1:1337", "http://x:1/path", ""] {
            assert!(matches!(Target::new(url), Err(BenchError::Url(_))), "{url}");
        }
    }
}
