//! What can be chosen for a Socket.IO endpoint.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::http::cors::AllowedOrigins;

/// Choices for a Socket.IO endpoint. The defaults are those of npm `socket.io` 4.
#[derive(Debug, Clone)]
#[must_use = "they are for an endpoint"]
pub struct SocketIoOptions {
    pub(crate) path: Cow<'static, str>,
    pub(crate) client_files: Option<Arc<Path>>,
    pub(crate) websocket: bool,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) upgrade_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) max_payload: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_namespaces: usize,
    pub(crate) origins: AllowedOrigins,
}

impl SocketIoOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            path: Cow::Borrowed("/socket.io"),
            client_files: None,
            websocket: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            close_timeout: Duration::from_secs(5),
            max_payload: 1 << 20,
            max_connections: 65_536,
            max_namespaces: 32,
            origins: AllowedOrigins::any(),
        }
    }

    /// Where clients connect. Default `/socket.io`.
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        let path = path.into();
        self.path = match path.strip_suffix('/') {
            Some(trimmed) => Cow::Owned(trimmed.to_owned()),
            None => path,
        };
        self
    }

    /// The folder with the files of the client for browsers, `socket.io.js` and so on: the `dist` of npm
    /// `socket.io-client` in the version that your pages speak. Without one they are answered 404.
    pub fn client_files(mut self, folder: impl Into<PathBuf>) -> Self {
        self.client_files = Some(Arc::from(folder.into()));
        self
    }

    /// Whether clients may use WebSocket. Yes by default. If not, they go on polling.
    pub fn websocket(mut self, offered: bool) -> Self {
        self.websocket = offered;
        self
    }

    /// Between two heartbeats. Default 25 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// How long a client may take to answer a heartbeat before its connection is ended. Default 20 s.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.ping_timeout = timeout;
        self
    }

    /// How long a WebSocket may take to take over from polling. Default 10 s.
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.upgrade_timeout = timeout;
        self
    }

    /// How long a connection may be in no namespace, and how long a namespace's `connect` may take. Default 45 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a close may take: what is queued, the close itself, and the client's answer. Default 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// The most bytes of one request's body, one frame, and one event with its attachments. Default 1 MiB.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// How many connections there may be. One more is refused with status 503. Default 65,536.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How many namespaces one connection may be in. One more is refused. Default 32.
    pub fn max_namespaces(mut self, namespaces: usize) -> Self {
        self.max_namespaces = namespaces;
        self
    }

    /// Which origins' pages may connect, by polling or WebSocket. Any by default.
    pub fn allowed_origins(mut self, origins: AllowedOrigins) -> Self {
        self.origins = origins;
        self
    }
}

impl Default for SocketIoOptions {
    fn default() -> Self {
        Self::new()
    }
}
