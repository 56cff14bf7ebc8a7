//! How a connection to a server is made.
//!
//! In: a host, who we are, whom to trust. Out: a connection that speaks RESP3, and what its server says of itself. Knows
//! neither what it is used for nor when to make another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError as Failure, Value, cmd,
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::address::{Address, Host, Shape};
use super::facts::{Facts, SECTIONS, Unfit};
use super::task::Task;
use crate::redis::error::RedisError;
use crate::redis::options::RedisOptions;
use crate::redis::script::Script;

/// Messages that are on their way to one connection's task: batches, each of many operations.
const BUFFER: usize = 64;

/// What makes connections.
pub(super) struct Dialer {
    tls: Option<TlsConnector>,
    login: RedisConnectionInfo,
    sentinel_login: RedisConnectionInfo,
    connect_limit: Duration,
    response_limit: Duration,
    is_cluster: bool,
    scripts: &'static [&'static [&'static Script]],
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(super) enum NotConnected {
    /// Not before somebody changes something.
    Ever(String),
    /// Perhaps later.
    Yet(String),
}

impl NotConnected {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Ever(reason) | Self::Yet(reason) => reason,
        }
    }
}

/// A connection; it ends when this is dropped.
pub(super) struct Dialed {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Task,
}

/// Is told what a server says unasked.
pub(super) type Pushes = Arc<dyn Fn(PushInfo) + Send + Sync>;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Dialer {
    pub(super) fn new(
        address: &Address,
        options: &RedisOptions,
        scripts: &'static [&'static [&'static Script]],
    ) -> Result<Self, RedisError> {
        let login = |user: Option<&String>, password: Option<&String>| {
            let mut login =
                RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
            if let Some(user) = user {
                login = login.set_username(user);
            }
            if let Some(password) = password {
                login = login.set_password(password);
            }
            login
        };
        let user = options.user.as_ref().or(address.user.as_ref());
        let password = options.password.as_ref().or(address.password.as_ref());
        let tls = if address.tls { Some(TlsConnector::from(Arc::new(tls(options)?))) } else { None };
        Ok(Self {
            tls,
            login: login(user, password).set_db(address.db),
            sentinel_login: login(options.sentinel_user.as_ref(), options.sentinel_password.as_ref()),
            connect_limit: options.connect_limit,
            response_limit: options.response_limit,
            is_cluster: matches!(address.shape, Shape::Cluster(_)),
            scripts,
        })
    }

    /// A connection for what one server is asked: its scripts are loaded, and it can be used.
    pub(super) async fn dial(&self, host: &Host, place: &str) -> Result<(Dialed, Facts), NotConnected> {
        let dialing = async {
            let mut dialed = self.open(host, &self.login, None).await?;
            let facts = self.facts(&mut dialed.connection, place).await?;
            self.load_scripts(&mut dialed.connection).await?;
            Ok((dialed, facts))
        };
        self.in_time(dialing).await
    }

    /// A connection for what a server says unasked, and which run of it that is.
    pub(super) async fn dial_for_pushes(
        &self,
        host: &Host,
        pushes: Pushes,
    ) -> Result<(Dialed, String), NotConnected> {
        let dialing = async {
            let mut dialed = self.open(host, &self.login, Some(pushes)).await?;
            let facts = self.facts(&mut dialed.connection, "").await?;
            Ok((dialed, facts.run))
        };
        self.in_time(dialing).await
    }

    pub(super) async fn load_scripts(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), NotConnected> {
        let mut pipeline = ::redis::pipe();
        for script in self.scripts.iter().copied().flatten() {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script.code()).ignore();
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        pipeline.query_async(connection).await.map_err(|error| yet(&error))
    }

    /// Asks a Sentinel where the primary of a service is.
    pub(super) async fn ask_sentinel(&self, sentinel: &Host, service: &str) -> Result<Host, NotConnected> {
        let asking = async {
            let mut dialed = self.open(sentinel, &self.sentinel_login, None).await?;
            let place: Option<(String, u16)> = cmd("SENTINEL")
                .arg("GET-MASTER-ADDR-BY-NAME")
                .arg(service)
                .query_async(&mut dialed.connection)
                .await
                .map_err(|error| yet(&error))?;
            let Some((name, port)) = place else {
                return Err(NotConnected::Yet(format!(
                    "the Sentinel at {sentinel} knows no service {service:?}"
                )));
            };
            Ok(Host { name, port })
        };
        self.in_time(asking).await
    }

    /// Asks a server of a cluster who has which slots.
    pub(super) async fn ask_slots(&self, host: &Host) -> Result<Value, NotConnected> {
        let asking = async {
            let mut dialed = self.open(host, &self.login, None).await?;
            cmd("CLUSTER").arg("SLOTS").query_async(&mut dialed.connection).await.map_err(|error| yet(&error))
        };
        self.in_time(asking).await
    }

    /// What the server says of itself now.
    pub(super) async fn facts(
        &self,
        connection: &mut MultiplexedConnection,
        place: &str,
    ) -> Result<Facts, NotConnected> {
        let info: String =
            cmd("INFO").arg(&SECTIONS).query_async(connection).await.map_err(|error| yet(&error))?;
        // Who may not ask how it is configured does not know it.
        let config: Result<HashMap<String, String>, _> =
            cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await;
        let syncs = config.is_ok_and(|config| config.values().any(|value| value == "always"));
        let id: String = if self.is_cluster {
            cmd("CLUSTER").arg("MYID").query_async(connection).await.map_err(|error| yet(&error))?
        } else {
            place.to_owned()
        };
        Facts::read(&info, syncs, &id, self.is_cluster).map_err(|unfit| match unfit {
            Unfit::Ever(reason) => NotConnected::Ever(reason),
            Unfit::Yet(reason) => NotConnected::Yet(reason),
        })
    }

    async fn in_time<T>(
        &self,
        dialing: impl Future<Output = Result<T, NotConnected>>,
    ) -> Result<T, NotConnected> {
        let late = || NotConnected::Yet(format!("it does not answer within {:?}", self.connect_limit));
        tokio::time::timeout(self.connect_limit, dialing).await.unwrap_or_else(|_| Err(late()))
    }

    async fn open(
        &self,
        host: &Host,
        login: &RedisConnectionInfo,
        pushes: Option<Pushes>,
    ) -> Result<Dialed, NotConnected> {
        let failed = |error: &std::io::Error| NotConnected::Yet(error.to_string());
        let stream =
            TcpStream::connect((host.name.as_str(), host.port)).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(connector) => {
                let name = ServerName::try_from(host.name.clone())
                    .map_err(|_| NotConnected::Ever(format!("{} is no name in a certificate", host.name)))?;
                Box::new(connector.connect(name, stream).await.map_err(|error| failed(&error))?)
            }
        };
        let mut config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(self.response_limit))
            .set_pipeline_buffer_size(BUFFER);
        if let Some(pushes) = pushes {
            config = config.set_push_sender(move |push| -> Result<(), std::convert::Infallible> {
                pushes(push);
                Ok(())
            });
        }
        let (connection, driver) =
            MultiplexedConnection::new_with_config(login, stream, config).await.map_err(|error| {
                let is_refused = error.kind() == ::redis::ErrorKind::AuthenticationFailed
                    || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"));
                if is_refused {
                    NotConnected::Ever(format!("it does not let us in: {error}"))
                } else {
                    yet(&error)
                }
            })?;
        Ok(Dialed { connection, driver: Task::spawn(driver) })
    }
}

fn yet(error: &Failure) -> NotConnected {
    NotConnected::Yet(error.to_string())
}

fn tls(options: &RedisOptions) -> Result<ClientConfig, RedisError> {
    let unusable = |error: &dyn std::fmt::Display| RedisError::Certificates {
        path: options.ca.clone().unwrap_or_default(),
        reason: error.to_string(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let Some(path) = &options.ca else {
        return Ok(builder.with_platform_verifier().map_err(|error| unusable(&error))?.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there is no certificate in it"));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
