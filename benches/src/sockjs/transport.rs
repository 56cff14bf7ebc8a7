//! The ways to carry a SockJS session.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::frame::Wrapping;

/// A way to carry a SockJS session.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// One WebSocket.
    Websocket,
    /// A long answer to a `POST`, and `xhr_send`.
    XhrStreaming,
    /// A stream of server-sent events, and `xhr_send`.
    Eventsource,
    /// A page that never ends, and `xhr_send`.
    Htmlfile,
    /// A `POST` for each frame, and `xhr_send`.
    XhrPolling,
    /// A script for each frame, and `jsonp_send`.
    JsonpPolling,
}

/// How HTTP requests carry a session: what is asked for to receive, and what to
/// send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    /// The method that receives.
    pub(super) receive_by: &'static str,
    /// What follows the session's path to receive. The callback is as long as
    /// those of `sockjs-client`.
    pub(super) receive_at: &'static str,
    /// What the frames of the answer are wrapped in.
    pub(super) wrapping: Wrapping,
    /// What follows the session's path to send.
    pub(super) send_at: &'static str,
    /// Whether messages are sent as a form.
    pub(super) is_form: bool,
}

impl Transport {
    /// Its requests; none where a WebSocket does it all.
    pub(super) fn requests(self) -> Option<Requests> {
        let with = |receive_by, receive_at, wrapping| {
            let (send_at, is_form) = match self {
                Self::JsonpPolling => ("jsonp_send?i=abench000", true),
                _ => ("xhr_send", false),
            };
            Some(Requests { receive_by, receive_at, wrapping, send_at, is_form })
        };
        match self {
            Self::Websocket => None,
            Self::XhrStreaming => with("POST", "xhr_streaming", Wrapping::Line),
            Self::Eventsource => with("GET", "eventsource", Wrapping::Event),
            Self::Htmlfile => with("GET", "htmlfile?c=_jp.abench0", Wrapping::Script),
            Self::XhrPolling => with("POST", "xhr", Wrapping::Line),
            Self::JsonpPolling => with("GET", "jsonp?c=_jp.abench0", Wrapping::Call),
        }
    }
}
