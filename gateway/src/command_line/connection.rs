//! The options of every command that speaks to a server, and the connection they describe.
//!
//! In: options. Out: a client that is ready, or an error that says what to look at.

use std::future::Future;
use std::time::Duration;

use clap::Args;
use humantime::{format_duration, parse_duration};
use serde_json::{Map, Value};
use tokensocket_client::{BuildError, ConnectionError, TokenSocket};

/// Where a server is.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Address {
    /// The server: http, https, ws or wss
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:1337",
        env = "TOKENSOCKET_URL",
        hide_env = true
    )]
    url: String,
    /// How long to wait for the server, as 500ms, 5s or 2m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,
    /// The site, of a gateway that has several
    #[arg(long, value_name = "NAME", env = "TOKENSOCKET_SITE", hide_env = true)]
    site: Option<String>,
    /// More of the token request's query, by which the server knows who asks, such as `token=12345`; give it again
    /// for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    with: Vec<(String, String)>,
    /// Where the server issues tokens [default: /socket/token, below /NAME with --site NAME]
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    token_path: Option<String>,
    /// Where the server's sockets are [default: /sockets, below /NAME with --site NAME]
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    socket_prefix: Option<String>,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, like token=12345")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// How to reach a server, and as whom.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connection {
    #[command(flatten)]
    address: Address,
    /// Who to be: sent with the token request as the query `user`
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Who somebody is to a server.
#[derive(Default)]
pub(super) struct Who<'a> {
    /// The query `user` of the token request.
    pub(super) user: Option<&'a str>,
    /// The query `rooms`, with commas between them.
    pub(super) rooms: &'a [String],
    /// The device's name.
    pub(super) device: Option<&'a str>,
}

/// Why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The options describe no connection.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The server is there and does not let us in.
    #[error("{url} does not let us in: {why}\n--user and --with say who to be")]
    Refused {
        /// The server.
        url: String,
        /// What it said.
        why: ConnectionError,
    },
    /// No server was found, or it broke off.
    #[error("cannot connect to {url}: {why}\n`tokensocket serve` starts a server; --url says where it is")]
    Unreachable {
        /// The server.
        url: String,
        /// What happened.
        why: ConnectionError,
    },
    /// The time is up.
    #[error("no answer from {url} within {}; --timeout gives it longer", format_duration(*timeout))]
    Timeout {
        /// The server.
        url: String,
        /// How long it had.
        timeout: Duration,
    },
}

impl Connection {
    /// Connects: see [`Address::open`].
    pub(super) async fn open(&self, reconnect: bool) -> Result<TokenSocket, ConnectError> {
        self.address.open(&Who { user: self.user.as_deref(), ..Who::default() }, reconnect).await
    }

    /// Gives `work` the time that `--timeout` allows.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        self.address.in_time(work).await
    }
}

impl Address {
    /// Connects. With `reconnect` a lost connection is opened anew for as long as it takes; the first
    /// attempt must succeed all the same.
    pub(super) async fn open(&self, who: &Who<'_>, reconnect: bool) -> Result<TokenSocket, ConnectError> {
        let socket = self.connect(who, reconnect)?;
        self.ready(&socket).await?;
        Ok(socket)
    }

    /// Begins to connect, as [`open`](Self::open) does.
    pub(super) fn connect(&self, who: &Who<'_>, reconnect: bool) -> Result<TokenSocket, ConnectError> {
        let field = |(name, value): &(String, String)| (name.clone(), Value::from(value.as_str()));
        let mut authentication: Map<_, _> = self.with.iter().map(field).collect();
        if let Some(user) = who.user {
            authentication.insert("user".to_owned(), Value::from(user));
        }
        if !who.rooms.is_empty() {
            authentication.insert("rooms".to_owned(), Value::from(who.rooms.join(",")));
        }
        let builder = TokenSocket::builder(&self.url)
            .token_path(self.path(self.token_path.as_deref(), "/socket/token"))
            .socket_prefix(self.path(self.socket_prefix.as_deref(), "/sockets"))
            .authentication(&authentication)
            .connect_timeout(self.timeout)
            .call_timeout(self.timeout)
            .reconnect(reconnect);
        Ok(who.device.iter().fold(builder, |builder, device| builder.device(*device)).connect()?)
    }

    /// The path that was given, or the site's own.
    fn path(&self, given: Option<&str>, own: &str) -> String {
        let site = || self.site.as_ref().map(|site| format!("/{site}{own}"));
        given.map(str::to_owned).or_else(site).unwrap_or_else(|| own.to_owned())
    }

    /// Waits until it is connected.
    pub(super) async fn ready(&self, socket: &TokenSocket) -> Result<(), ConnectError> {
        match socket.ready().await {
            Ok(()) => Ok(()),
            Err(why @ (ConnectionError::Refused(_) | ConnectionError::Auth { .. })) => {
                Err(ConnectError::Refused { url: self.url.clone(), why })
            }
            Err(why) => Err(ConnectError::Unreachable { url: self.url.clone(), why }),
        }
    }

    /// Gives `work` the time that `--timeout` allows.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let timeout = || ConnectError::Timeout { url: self.url.clone(), timeout: self.timeout };
        tokio::time::timeout(self.timeout, work).await.map_err(|_| timeout())?
    }
}
