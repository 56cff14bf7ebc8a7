//! Every limit and time of a server, with its default. `docs/defaults.md` says why each is what it is.
//!
//! In: what the builder was told. Out: plain values. Knows nothing of who reads them.

use std::sync::Arc;
use std::time::Duration;

use crate::channels::Channels;
use crate::drain::Drain;

/// Limits of one server. Each has a setter of the same name on [`crate::ServerBuilder`].
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) token_path: String,
    pub(crate) socket_prefix: String,
    pub(crate) token_ttl: Duration,
    pub(crate) max_message_bytes: usize,
    pub(crate) max_channels_per_socket: usize,
    pub(crate) max_calls_per_socket: usize,
    pub(crate) max_connections_per_address: Option<usize>,
    pub(crate) outbox_messages: usize,
    pub(crate) outbox_bytes: usize,
    pub(crate) auth_timeout: Option<Duration>,
    pub(crate) rpc_timeout: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) reconnect_spread: Duration,
    pub(crate) drain: Drain,
    pub(crate) device_ttl: Duration,
    pub(crate) ping: bool,
    pub(crate) channels: Arc<Channels>,
    pub(crate) key_window: Duration,
    pub(crate) max_history: usize,
    pub(crate) store_timeout: Duration,
    pub(crate) node_name: Option<Arc<str>>,
    pub(crate) node_heartbeat: Duration,
}

impl Config {
    /// How often times are checked: an eighth of the shortest of them, within sensible bounds.
    pub(crate) fn tick(&self) -> Duration {
        let shortest = self
            .auth_timeout
            .into_iter()
            .chain([self.heartbeat, self.close_timeout, self.shutdown_timeout, self.node_heartbeat])
            .min()
            .unwrap_or(self.heartbeat);
        (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            token_path: "/socket/token".to_owned(),
            socket_prefix: "/sockets".to_owned(),
            token_ttl: Duration::from_secs(30),
            max_message_bytes: 1 << 20,
            max_channels_per_socket: 256,
            max_calls_per_socket: 1024,
            max_connections_per_address: None,
            outbox_messages: 16_384,
            outbox_bytes: 8 << 20,
            auth_timeout: Some(Duration::from_secs(5)),
            rpc_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(25),
            close_timeout: Duration::from_secs(5),
            shutdown_timeout: Duration::from_secs(10),
            reconnect_spread: Duration::from_secs(5),
            drain: Drain::at_once(),
            device_ttl: Duration::from_hours(1),
            ping: true,
            channels: Arc::default(),
            key_window: Duration::from_mins(5),
            max_history: 1000,
            store_timeout: Duration::from_secs(5),
            node_name: None,
            node_heartbeat: Duration::from_secs(3),
        }
    }
}
