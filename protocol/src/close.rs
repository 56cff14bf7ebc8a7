//! Why a connection ends: the WebSocket close code and its reason (RFC 6455, section 7.4).
//!
//! One table for server and clients. A code says whether coming back makes sense: [`Close::reconnect`].

use std::borrow::Cow;

/// A close code and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The code: 1000 to 1015 of RFC 6455, 3000 of SockJS, 4000 to 4999 ours.
    pub code: u16,
    /// The reason, at most 123 bytes of UTF-8 (RFC 6455, section 5.5).
    pub reason: Cow<'static, str>,
}

/// What a client does after a [`Close`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// Ask for a new token and come back after the usual delay.
    Yes,
    /// Stay away: the same request would meet the same answer.
    No,
}

impl Close {
    /// The connection has done its work. The original servers close with this code in every case.
    pub const NORMAL: Self = Self::fixed(1000, "Normal closure");
    /// A peer that goes away, such as a page that is left.
    pub const GOING_AWAY: Self = Self::fixed(1001, "Going away");
    /// The peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self::fixed(1002, "Protocol error");
    /// A binary frame, where only text is spoken.
    pub const UNSUPPORTED: Self = Self::fixed(1003, "Only text messages are understood");
    /// A text frame that is not UTF-8.
    pub const INVALID_TEXT: Self = Self::fixed(1007, "Text messages are UTF-8");
    /// A message over the limit.
    pub const TOO_LARGE: Self = Self::fixed(1009, "Message too large");
    /// Something broke on the server's side.
    pub const INTERNAL: Self = Self::fixed(1011, "Internal error");
    /// The server restarts or goes away; come back, to another node if there is one.
    pub const RESTART: Self = Self::fixed(1012, "Service restart");
    /// A SockJS frame that is not a JSON array of strings.
    pub const BROKEN_FRAMING: Self = Self::fixed(3000, "Broken framing.");
    /// The token is missing, malformed, unknown, used or expired. Ask for a new one.
    pub const UNAUTHENTICATED: Self = Self::fixed(4401, "Token refused");
    /// A hook refused the authenticated identity. A new token would meet the same answer.
    pub const FORBIDDEN: Self = Self::fixed(4403, "Forbidden");
    /// The peer was silent for too long and did not answer a ping.
    pub const PEER_SILENT: Self = Self::fixed(4408, "Peer silent");
    /// The peer did not read its messages fast enough.
    pub const SLOW_CONSUMER: Self = Self::fixed(4409, "Slow consumer");

    /// A close with a code and reason of the application's own; codes 4500 to 4999 are free for it.
    ///
    /// A reason longer than 123 bytes is cut at a character boundary.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > 123 {
            let end = (0..=123).rev().find(|&end| reason.is_char_boundary(end)).unwrap_or(0);
            reason = Cow::Owned(reason[..end].to_owned());
        }
        Self { code, reason }
    }

    /// Whether a client should come back after this close.
    pub fn reconnect(&self) -> Reconnect {
        match self.code {
            4403 => Reconnect::No,
            _ => Reconnect::Yes,
        }
    }

    const fn fixed(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }
}

impl std::fmt::Display for Close {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_a_long_reason_at_a_character() {
        let close = Close::new(4500, "é".repeat(100));
        assert_eq!(close.reason.len(), 122);
    }
}
