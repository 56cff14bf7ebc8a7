//! What can be chosen for one SockJS endpoint.

use std::borrow::Cow;
use std::time::Duration;

/// Choices for a SockJS endpoint: the server's own ([`crate::ServerBuilder::sockjs_options`]), or one by
/// itself ([`crate::ServerBuilder::sockjs_with`]).
#[derive(Debug, Clone)]
#[must_use = "they are for the builder"]
pub struct SockJsOptions {
    pub(crate) websocket: bool,
    pub(crate) cookies: bool,
    pub(crate) response_limit: usize,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) client_url: Cow<'static, str>,
    pub(crate) max_sessions: usize,
}

impl SockJsOptions {
    /// The defaults, which are those of npm `sockjs`.
    pub fn new() -> Self {
        Self {
            websocket: true,
            cookies: false,
            response_limit: 128 * 1024,
            session_timeout: Duration::from_secs(5),
            heartbeat: None,
            client_url: Cow::Borrowed("https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js"),
            max_sessions: 65_536,
        }
    }

    /// Whether WebSocket is offered. Yes by default. If not, `/info` says so, and its paths answer 404.
    pub fn websocket(mut self, offered: bool) -> Self {
        self.websocket = offered;
        self
    }

    /// Whether responses carry a `JSESSIONID` cookie, by which some load balancers bring all requests of a
    /// session to the same server. No by default. A cookie that a client has is kept.
    pub fn cookies(mut self, sent: bool) -> Self {
        self.cookies = sent;
        self
    }

    /// After how many bytes a streaming response is ended, so that browsers can free it; the client comes
    /// again at once and nothing is lost. Default 128 KiB.
    pub fn response_limit(mut self, bytes: usize) -> Self {
        self.response_limit = bytes;
        self
    }

    /// How long a session lives between two of the requests that receive for it. Default 5 s. What is
    /// sent meanwhile waits within the limits of [`crate::ServerBuilder::outbox`].
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How often an endpoint by itself sends a heartbeat: a ping frame by WebSocket, `h` otherwise. Default:
    /// [`crate::ServerBuilder::heartbeat`], which the server's own sockets always obey.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval);
        self
    }

    /// Where the page for transports in a frame loads its SockJS client from: a path of this host, or a whole
    /// URL. It must be the version that the outer page uses. Default: the newest 1.x by jsDelivr.
    pub fn client_url(mut self, url: impl Into<Cow<'static, str>>) -> Self {
        self.client_url = url.into();
        self
    }

    /// How many sessions may live by requests at once. One more is refused with status 503. Default 65,536.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }
}

impl Default for SockJsOptions {
    fn default() -> Self {
        Self::new()
    }
}
