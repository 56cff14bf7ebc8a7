//! How device queues and presence are shared by NATS.

use std::time::Duration;

/// How [`NatsDeviceStore`](crate::NatsDeviceStore) and [`NatsPresenceStore`](crate::NatsPresenceStore) hold what they
/// share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsReplicaOptions {
    pub(super) lease: Duration,
    pub(super) image_every: u64,
    pub(super) image_bytes: u64,
    pub(in crate::nats) max_bytes: usize,
}

impl NatsReplicaOptions {
    /// As it is wise for most.
    pub fn new() -> Self {
        Self {
            lease: Duration::from_secs(30),
            image_every: 20_000,
            image_bytes: 64 << 20,
            max_bytes: 256 << 20,
        }
    }

    /// For how long a node may be silent before others take it for dead. It says something three times as often.
    /// Default 30 s; what it held is let go at most 10 s later.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(50));
        self
    }

    /// After how many messages in the log, or bytes of them, one node writes down the whole state and has the log
    /// forget what is before it. A node that starts reads that state, and the log behind it. Default 20,000 and 64 MiB.
    #[must_use]
    pub fn image_every(mut self, messages: u64, bytes: u64) -> Self {
        self.image_every = messages.max(1);
        self.image_bytes = bytes.max(1);
        self
    }

    /// How many bytes the state may have, in the memory of each node; what would make it larger is refused. Counted
    /// roughly. Of nodes that say different things the last to start is right. Default 256 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}

impl Default for NatsReplicaOptions {
    fn default() -> Self {
        Self::new()
    }
}
