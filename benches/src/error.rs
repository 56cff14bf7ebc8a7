//! Why a run could not finish.

use std::io;

use crate::socket::frame::FrameError;

/// Why a run could not finish. Each says what to look at next.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The target is no `http://host:port`.
    #[error("`{0}` is no target; give it as http://HOST:PORT, or https://HOST:PORT for TLS")]
    Url(String),
    /// TLS cannot be spoken to the host.
    #[error("TLS cannot be spoken to this host: {0}")]
    Tls(String),
    /// The host's name has no address.
    #[error("no address found for `{host}`: {source}")]
    Resolve {
        /// The host that was looked up.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The network or this machine failed.
    #[error("{0}; is the server running, and may this process open enough files?")]
    Io(#[from] io::Error),
    /// What answered does not speak HTTP.
    #[error("the server's answer is not HTTP; is this the right port?")]
    NotHttp,
    /// No token was issued.
    #[error(
        "GET {path} was answered with status {status} and no token; check the token path and that anybody may have a token"
    )]
    Token {
        /// The token path.
        path: String,
        /// The answer's status.
        status: u16,
    },
    /// The upgrade was refused.
    #[error(
        "the WebSocket upgrade at {path} was answered with status {status}; check the socket prefix and the dialect"
    )]
    Upgrade {
        /// The upgrade's path.
        path: String,
        /// The answer's status.
        status: u16,
    },
    /// The server sent what no frame is.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The server answered with an error.
    #[error("the server refused: {0}")]
    Refused(String),
    /// The server closed the connection.
    #[error("the server closed the connection while {while_}")]
    Closed {
        /// What was going on.
        while_: &'static str,
    },
    /// The server closed the WebSocket.
    #[error("the server closed the WebSocket with code {0:?}; its log may say why")]
    ClosedWith(Option<u16>),
    /// The server did not answer in time.
    #[error("the server said nothing for 30 s while {while_}")]
    Silent {
        /// What was going on.
        while_: &'static str,
    },
    /// A request of a SockJS session was refused.
    #[error(
        "the SockJS request `{request}` was answered with status {status}; check the path of the echo service and that it offers the transport"
    )]
    Status {
        /// What follows the session's path.
        request: &'static str,
        /// The answer's status.
        status: u16,
    },
    /// A SockJS session began anew.
    #[error("the server began a SockJS session again that was open; it may have lost the first")]
    Lost,
    /// A message that is none of ours.
    #[error("what the server sent back is not what was sent to it: {0}")]
    Foreign(String),
    /// A message out of its turn.
    #[error(
        "message {found} came back where {wanted} was due; the server may lose, repeat or reorder messages"
    )]
    Disorder {
        /// The message that came.
        found: u64,
        /// The message that was due.
        wanted: u64,
    },
    /// A `/send` was refused.
    #[error("POST /send was answered with status {0}; check the site and its key")]
    Send(u16),
    /// Nothing was counted while measuring.
    #[error("nothing came back from the server while measuring; it may have dropped messages")]
    Stalled,
    /// An answer that no call waits for, or a message that nobody sent.
    #[error("the server answered a call that was not under way; it may answer calls twice")]
    Unasked,
    /// A delivery of what nobody published.
    #[error("a subscriber got more publications than were sent; the server may deliver twice")]
    Unsent,
    /// Deliveries that never came.
    #[error("{0} deliveries of what was published never came; the server may drop messages")]
    Undelivered(usize),
    /// The process to be watched cannot be read.
    #[error("process {pid} cannot be measured: {reason}")]
    Process {
        /// Its id.
        pid: u32,
        /// Why.
        reason: String,
    },
    /// Memory needs the server's process.
    #[error("memory can be measured only with the server's process id")]
    NoProcess,
    /// A number of zero where nothing would happen.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
}
