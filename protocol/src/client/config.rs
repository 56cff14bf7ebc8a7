//! What a session may be told beforehand. Every default is named where it stands.

use std::time::Duration;

use crate::message::{Hello, features};

/// How a session behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Whether to come back after the connection is lost. Default: true.
    pub reconnect: bool,
    /// How long one attempt may take from the token request to the answer to `auth`. Default: 20 s.
    pub connect_timeout: Duration,
    /// How long a call may take, counted from when it is made and so with the time it waits in the
    /// queue, when the call itself does not say. Default: 30 s. `None`: for ever.
    pub call_timeout: Option<Duration>,
    /// How often to send `_ping`. Default: `None`, which is as often as the server's answer to our
    /// hello asks for, and never with a server that does not ask.
    pub ping: Option<Duration>,
    /// How long to wait for any message after a ping before the connection counts as dead.
    /// Default: 10 s.
    pub pong_timeout: Duration,
    /// How many calls may wait for an answer at once; more of them wait in the queue. Default: 1024.
    pub max_in_flight: usize,
    /// How many calls may wait to be sent. Default: 1024.
    pub queue_calls: usize,
    /// How many bytes the calls that wait to be sent may have together. Default: 8 MiB.
    pub queue_bytes: usize,
    /// What happens to a call when the queue is full. Default: [`WhenFull::RefuseNew`].
    pub when_full: WhenFull,
    /// How many of the server's calls may run at once; more of them are answered with `overloaded`.
    /// Default: 64.
    pub max_invocations: usize,
    /// What to tell the server about ourselves. `None` tells nothing, as the original clients do.
    /// Default: the name and version of this crate.
    pub hello: Option<Hello>,
}

/// What happens to a call when the queue is full. Either way exactly one call fails, with
/// [`CallError::Overloaded`](super::CallError::Overloaded), and nothing is lost in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The new call fails.
    #[default]
    RefuseNew,
    /// The oldest calls fail until the new one fits. One that is larger than the whole queue fails
    /// itself.
    DropOldest,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reconnect: true,
            connect_timeout: Duration::from_secs(20),
            call_timeout: Some(Duration::from_secs(30)),
            ping: None,
            pong_timeout: Duration::from_secs(10),
            max_in_flight: 1024,
            queue_calls: 1024,
            queue_bytes: 8 * 1024 * 1024,
            when_full: WhenFull::RefuseNew,
            max_invocations: 64,
            hello: Some(Hello {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                features: features::ALL.iter().map(|feature| (*feature).to_owned()).collect(),
                device: None,
            }),
        }
    }
}
