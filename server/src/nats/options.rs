//! How to reach NATS, and how much may wait for it.
//!
//! In: what whoever sets up a node says. Out: the same, for the link and what stands on it.

use std::path::PathBuf;
use std::time::Duration;

use crate::engine::Outage;

/// How a client says who it is.
#[derive(Clone, Default)]
pub(super) enum Credentials {
    /// By what stands in the address, if anything does.
    #[default]
    Address,
    UserAndPassword(String, String),
    Token(String),
    File(PathBuf),
    Nkey(String),
}

/// How to reach NATS, and how much may wait for it.
#[derive(Clone)]
pub struct NatsOptions {
    pub(super) prefix: String,
    pub(super) credentials: Credentials,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) outage: Outage,
    pub(super) timeout: Duration,
    pub(super) ping: Duration,
    pub(super) max_pending: usize,
    pub(super) max_pending_bytes: usize,
    pub(super) replicas: usize,
    pub(super) history_streams: usize,
    pub(super) max_history_bytes: Option<u64>,
    pub(super) cache: usize,
    pub(super) max_keys: u64,
    pub(super) lease: Duration,
}

impl NatsOptions {
    /// A server without TLS or credentials but those in the address; publications are refused while it is away.
    pub fn new() -> Self {
        Self {
            prefix: "ts".to_owned(),
            credentials: Credentials::Address,
            certificates: Vec::new(),
            client_certificate: None,
            outage: Outage::Refuse,
            timeout: Duration::from_secs(5),
            ping: Duration::from_secs(2),
            max_pending: 65_536,
            max_pending_bytes: 256 << 20,
            replicas: 1,
            history_streams: 1,
            max_history_bytes: None,
            cache: 64 << 20,
            max_keys: 1_000_000,
            lease: Duration::from_secs(30),
        }
    }

    /// With what all subjects and streams begin, so that others can use the same server. Default `ts`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Says who this client is by user and password, in place of what stands in the address.
    #[must_use]
    pub fn user_and_password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Credentials::UserAndPassword(user.into(), password.into());
        self
    }

    /// Says who this client is by a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self
    }

    /// Says who this client is by a file with a JWT and a seed, as `nsc` makes them (`.creds`).
    #[must_use]
    pub fn credentials_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.credentials = Credentials::File(file.into());
        self
    }

    /// Says who this client is by an nkey, whose seed this is (`SU…`).
    #[must_use]
    pub fn nkey(mut self, seed: impl Into<String>) -> Self {
        self.credentials = Credentials::Nkey(seed.into());
        self
    }

    /// Trusts the certificate authorities in this PEM file, and no others. Default: those of the system.
    #[must_use]
    pub fn certificate_authority(mut self, file: impl Into<PathBuf>) -> Self {
        self.certificates.push(file.into());
        self
    }

    /// Shows this certificate to the server, by this key (both PEM files).
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// What becomes of publications, deliveries and presence while NATS is away. Default: they are refused.
    #[must_use]
    pub fn outage(mut self, outage: Outage) -> Self {
        self.outage = outage;
        self
    }

    /// How long to wait for an answer, after which the outcome is not known. Default 5 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often the server is asked whether it is there; after two questions without an answer the connection is
    /// given up. Default 2 s.
    #[must_use]
    pub fn ping(mut self, interval: Duration) -> Self {
        self.ping = interval;
        self
    }

    /// How many operations, and bytes of them, may be under way to NATS, of each broker, device store and presence store for
    /// itself; what is beyond is refused. While NATS is away, what [`Outage::Buffer`] says counts in place of this.
    /// Default 65,536 and 256 MiB.
    #[must_use]
    pub fn max_pending(mut self, operations: usize, bytes: usize) -> Self {
        self.max_pending = operations;
        self.max_pending_bytes = bytes;
        self
    }

    /// On how many servers of a cluster each stream is kept: 1, 3 or 5. Counts where a stream is made; one that is
    /// there stays as it is. Where there are fewer servers no new stream can be made, and
    /// [`Nats::status`](crate::Nats::status) says so from the start. Default 1: what is kept is gone with that server's disk.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas.max(1);
        self
    }

    /// Among how many streams the histories of a namespace are divided, by channel: a cluster keeps each stream on
    /// other servers. All nodes have to say the same; whoever changes it begins all histories anew. Default 1.
    #[must_use]
    pub fn history_streams(mut self, streams: usize) -> Self {
        self.history_streams = streams.clamp(1, 64);
        self
    }

    /// How many bytes each stream of histories keeps. When that is reached, the oldest publications of all channels
    /// go first. Default: what the server allows.
    #[must_use]
    pub fn max_history_bytes(mut self, bytes: u64) -> Self {
        self.max_history_bytes = Some(bytes);
        self
    }

    /// How many bytes of histories this node holds in memory, so that many who come back at once make one request.
    /// Default 64 MiB.
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// For how long a node may be silent before others take it for dead, and let go its devices and members within
    /// another 10 s. Default 30 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How many idempotency keys of publications are remembered; more are refused. Default 1,000,000.
    #[must_use]
    pub fn max_keys(mut self, keys: u64) -> Self {
        self.max_keys = keys;
        self
    }
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Without secrets.
impl std::fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsOptions")
            .field("prefix", &self.prefix)
            .field("outage", &self.outage)
            .field("timeout", &self.timeout)
            .field("max_pending", &self.max_pending)
            .field("max_pending_bytes", &self.max_pending_bytes)
            .field(
                "client_certificate",
                &self.client_certificate.as_ref().map(|(certificate, _)| certificate),
            )
            .field("replicas", &self.replicas)
            .field("history_streams", &self.history_streams)
            .field("max_history_bytes", &self.max_history_bytes)
            .finish_non_exhaustive()
    }
}
