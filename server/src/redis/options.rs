//! How an engine is used.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::Outage;

/// Options of [`Redis::connect`](super::Redis::connect).
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) prefix: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) sentinel_user: Option<String>,
    pub(super) sentinel_password: Option<String>,
    pub(super) ca: Option<PathBuf>,
    pub(super) connect_limit: Duration,
    pub(super) response_limit: Duration,
    pub(super) outage: Outage,
    pub(super) max_pending: usize,
    pub(super) max_pending_bytes: usize,
    pub(super) max_tokens: usize,
    pub(super) lease: Duration,
}

/// Without secrets.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        f.debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("user", &self.user)
            .field("password", &hidden(&self.password))
            .field("sentinel_user", &self.sentinel_user)
            .field("sentinel_password", &hidden(&self.sentinel_password))
            .field("ca", &self.ca)
            .field("connect_limit", &self.connect_limit)
            .field("response_limit", &self.response_limit)
            .field("outage", &self.outage)
            .field("max_pending", &self.max_pending)
            .field("max_pending_bytes", &self.max_pending_bytes)
            .field("max_tokens", &self.max_tokens)
            .field("lease", &self.lease)
            .finish()
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: "ts".to_owned(),
            user: None,
            password: None,
            sentinel_user: None,
            sentinel_password: None,
            ca: None,
            connect_limit: Duration::from_secs(5),
            response_limit: Duration::from_secs(5),
            outage: Outage::Refuse,
            max_pending: 65_536,
            max_pending_bytes: 64 << 20,
            max_tokens: 100_000,
            lease: Duration::from_secs(30),
        }
    }
}

impl RedisOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the names of all keys and topics begin with, so that others can use the same Redis. Default `ts`. All
    /// nodes must have the same. In a database other than 0 its number follows (`ts/3:`).
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The user, in place of the one in the address.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The password, in place of the one in the address.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The user at the Sentinels, which know their own. Default: none.
    #[must_use]
    pub fn sentinel_user(mut self, user: impl Into<String>) -> Self {
        self.sentinel_user = Some(user.into());
        self
    }

    /// The password at the Sentinels. Default: none.
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// A PEM file of the authorities that are trusted with `rediss://`, in place of the system's.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// How long a connection may take until it can be used. Default 5 s.
    #[must_use]
    pub fn connect_limit(mut self, limit: Duration) -> Self {
        self.connect_limit = limit;
        self
    }

    /// How long Redis may take to answer. Then its connection is given up, and made anew; so it is found within this
    /// time, too, that a server has stopped. Default 5 s.
    #[must_use]
    pub fn response_limit(mut self, limit: Duration) -> Self {
        self.response_limit = limit.max(Duration::from_millis(10));
        self
    }

    /// What becomes of publications while Redis cannot be reached. Default [`Outage::Refuse`].
    #[must_use]
    pub fn outage(mut self, outage: Outage) -> Self {
        self.outage = outage;
        self
    }

    /// How many operations may wait for a Redis that can be reached, those on their way included. One more is refused. What
    /// [`Outage::Buffer`] has wait for one that cannot counts for its bounds, and not here, but for what was asked before it
    /// could not. Default 65,536.
    #[must_use]
    pub fn max_pending(mut self, operations: usize) -> Self {
        self.max_pending = operations;
        self
    }

    /// The same in bytes, and as many again in each device store behind a delivery to very many. What is beyond is refused.
    /// Default 64 MiB.
    #[must_use]
    pub fn max_pending_bytes(mut self, bytes: usize) -> Self {
        self.max_pending_bytes = bytes;
        self
    }

    /// How many tokens of one namespace may wait to be redeemed, about. Default 100,000.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = tokens;
        self
    }

    /// After how long a node that says nothing counts as dead: its presence ends then, and its devices are away. It
    /// says something each third of that. Default 30 s, at least 100 ms.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_millis(100));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shown_without_secrets() {
        let options = RedisOptions::new().user("ann").password("secret").sentinel_password("secret");
        let shown = format!("{options:?}");
        assert!(shown.contains("ann") && !shown.contains("secret"), "{shown}");
    }
}
