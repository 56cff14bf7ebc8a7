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

use tokensocket_server::{Engine as _, EngineStatus, PresenceStore, ServerBuilder};

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
                let options =
                    RedisOptions::new().prefix(&config.prefix).outage(config.outage).lease(config.lease);
                let options = config.ca_file.iter().fold(options, RedisOptions::ca_file);
                let connected = Redis::connect(config.url.expose(), options).await;
                connected.map(Self::Redis).map_err(|error| EngineError::of(&error))
            }
            #[cfg(feature = "nats")]
            BrokerKind::Nats => {
                let options = NatsOptions::new().prefix(&config.prefix).outage(config.outage);
                let options = options.replicas(config.replicas).lease(config.lease);
                let options = config.ca_file.iter().fold(options, NatsOptions::certificate_authority);
                let options = config.credentials_file.iter().fold(options, NatsOptions::credentials_file);
                let connected = Nats::connect(config.url.expose(), options).await;
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
