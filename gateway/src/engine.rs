//! The engine that several gateways share, so that they are one to clients and applications: Redis or NATS.
//!
//! In: what is configured. Out: a connection, a namespace for each site, and how it stands with the engine. It must not
//! know what is kept there.

#![cfg_attr(
    not(any(feature = "nats", feature = "redis")),
    allow(
        dead_code,
        unused_imports,
        unused_variables,
        clippy::needless_pass_by_value,
        clippy::unused_async,
        reason = "without any engine nothing of this can be"
    )
)]

use std::fmt;

use tokensocket_server::{Engine as _, EngineStatus, Outage, PresenceStore, ServerBuilder};

use crate::config::{BrokerConfig, BrokerKind};

#[cfg(feature = "nats")]
use tokensocket_server::{Nats, NatsOptions};
#[cfg(feature = "redis")]
use tokensocket_server::{Redis, RedisOptions};

/// A connection to an engine, or one of its namespaces. Cloning gives another handle to the same.
#[derive(Clone)]
pub(crate) enum Engine {
    #[cfg(feature = "redis")]
    Redis(Redis),
    #[cfg(feature = "nats")]
    Nats(Nats),
}

/// An engine cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}\n`tokensocket check --connect` tries it; without --broker, BROKER_URL or `broker:` a gateway is alone"
)]
pub(crate) struct EngineError(String);

impl EngineError {
    fn of(error: &dyn fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Engine {
    /// Connects, within some seconds.
    pub(crate) async fn connect(config: &BrokerConfig) -> Result<Self, EngineError> {
        match config.kind() {
            #[cfg(feature = "redis")]
            BrokerKind::Redis => {
                let connected = Redis::connect(config.url.expose(), redis_options(config)).await;
                connected.map(Self::Redis).map_err(|error| EngineError::of(&error))
            }
            #[cfg(feature = "nats")]
            BrokerKind::Nats => {
                let connected = Nats::connect(config.url.expose(), nats_options(config)).await;
                connected.map(Self::Nats).map_err(|error| EngineError::of(&error))
            }
            #[allow(unreachable_patterns, reason = "what is left depends on the features")]
            other => Err(EngineError(format!("this program was built without {other}"))),
        }
    }

    /// The same connection, with everything under names of its own: those of a site.
    pub(crate) fn namespace(&self, site: &str) -> Result<Self, EngineError> {
        match *self {
            #[cfg(feature = "redis")]
            Self::Redis(ref redis) => {
                redis.namespace(site).map(Self::Redis).map_err(|error| EngineError::of(&error))
            }
            #[cfg(feature = "nats")]
            Self::Nats(ref nats) => Ok(Self::Nats(nats.namespace(site))),
        }
    }

    /// Where a site's users are noted, node by node: apart from all that its clients can ask about. No site's name begins
    /// with a dot.
    pub(crate) fn users(&self, site: &str) -> Result<Box<dyn PresenceStore>, EngineError> {
        match self.namespace(&format!(".{site}"))? {
            #[cfg(feature = "redis")]
            Self::Redis(redis) => Ok(redis.presence()),
            #[cfg(feature = "nats")]
            Self::Nats(nats) => Ok(nats.presence()),
        }
    }

    /// Has a server share everything by it.
    pub(crate) fn serve(&self, builder: ServerBuilder) -> ServerBuilder {
        match *self {
            #[cfg(feature = "redis")]
            Self::Redis(ref redis) => builder.engine(redis),
            #[cfg(feature = "nats")]
            Self::Nats(ref nats) => builder.engine(nats),
        }
    }

    /// How it stands with it.
    pub(crate) fn status(&self) -> EngineStatus {
        match *self {
            #[cfg(feature = "redis")]
            Self::Redis(ref redis) => redis.status(),
            #[cfg(feature = "nats")]
            Self::Nats(ref nats) => nats.status(),
        }
    }
}

/// How many operations may wait for an engine, and how many bytes of them, beside those that are kept while it is away.
#[cfg(any(feature = "nats", feature = "redis"))]
const UNDER_WAY: (usize, usize) = (65_536, 64 << 20);

/// How many operations may wait, and how many bytes: all that is to be kept while the engine is away, and no less than
/// is usual.
#[cfg(any(feature = "nats", feature = "redis"))]
fn most_pending(outage: Outage) -> (usize, usize) {
    let (messages, bytes) = match outage {
        Outage::Buffer { messages, bytes } => (messages, bytes),
        Outage::Refuse => (0, 0),
    };
    (UNDER_WAY.0.saturating_add(messages), UNDER_WAY.1.saturating_add(bytes))
}

#[cfg(feature = "redis")]
fn redis_options(config: &BrokerConfig) -> RedisOptions {
    let (operations, bytes) = most_pending(config.outage);
    let options = RedisOptions::new().prefix(&config.prefix).outage(config.outage).lease(config.lease);
    let options = options.max_pending(operations).max_pending_bytes(bytes);
    let options = config.ca_file.iter().fold(options, RedisOptions::ca_file);
    let (user, password) = &config.sentinel;
    let options = user.iter().fold(options, RedisOptions::sentinel_user);
    password.iter().fold(options, |options, password| options.sentinel_password(password.expose()))
}

#[cfg(feature = "nats")]
fn nats_options(config: &BrokerConfig) -> NatsOptions {
    /// What NATS is given more than Redis: deliveries and presence wait there, too.
    const MORE: usize = 192 << 20;
    let (operations, bytes) = most_pending(config.outage);
    let options = NatsOptions::new().prefix(&config.prefix).outage(config.outage).lease(config.lease);
    let options = options.max_pending(operations, bytes.saturating_add(MORE));
    let options = options.replicas(config.replicas).history_streams(config.history_streams);
    let options = config.max_history_bytes.into_iter().fold(options, NatsOptions::max_history_bytes);
    let options = config.ca_file.iter().fold(options, NatsOptions::certificate_authority);
    let options = config.credentials_file.iter().fold(options, NatsOptions::credentials_file);
    let certificate = config.client_certificate.iter();
    certificate.fold(options, |options, (certificate, key)| options.client_certificate(certificate, key))
}

/// Where everything is kept, and what is to be known of that: one line, and one more for each thing that it lacks.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EngineStatus { name, address, version, lacks, .. } = self.status();
        write!(f, "Everything is shared with other nodes by {name} at {address}")?;
        if let Some(version) = version {
            write!(f, " ({version})")?;
        }
        lacks.iter().try_for_each(|lack| write!(f, "\n  {lack}"))
    }
}

#[cfg(test)]
#[cfg(all(feature = "nats", feature = "redis"))]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use super::*;
    use crate::config::{BrokerUrl, Secret};

    #[test]
    fn as_many_publications_may_wait_as_are_to_be_kept() {
        let outage = Outage::Buffer { messages: 1_000_000, bytes: 1 << 30 };
        let config = |url| BrokerConfig { outage, ..BrokerConfig::at(BrokerUrl::parse(url).unwrap()) };
        let nats = format!("{:?}", nats_options(&config("nats://h")));
        assert!(
            nats.contains("max_pending: 1065536") && nats.contains("max_pending_bytes: 1342177280"),
            "{nats}"
        );
        let redis = format!("{:?}", redis_options(&config("redis://h")));
        assert!(redis.contains("max_pending: 1065536"), "{redis}");
        assert!(redis.contains("max_pending_bytes: 1140850688"), "{redis}");
    }

    #[test]
    fn an_engine_is_reached_as_it_is_configured() {
        let config = BrokerConfig {
            client_certificate: Some(("/a.crt".into(), "/a.key".into())),
            history_streams: 4,
            max_history_bytes: Some(1 << 30),
            ..BrokerConfig::at(BrokerUrl::parse("tls://h").unwrap())
        };
        let nats = format!("{:?}", nats_options(&config));
        for part in ["/a.crt", "history_streams: 4", "max_history_bytes: Some(1073741824)"] {
            assert!(nats.contains(part), "{nats}");
        }
        let sentinels = BrokerUrl::parse("redis+sentinel://h/main").unwrap();
        let config = BrokerConfig {
            sentinel: (Some("watcher".to_owned()), Some(Secret::new("54321"))),
            ..BrokerConfig::at(sentinels)
        };
        let redis = format!("{:?}", redis_options(&config));
        assert!(redis.contains("watcher"), "{redis}");
    }
}
