//! `tokensocket serve`: the server.
//!
//! In: where to listen, and where to keep things. Out: a server that runs until a signal ends it, and on standard
//! output where it is and what to try next.

use std::env;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokensocket_server::Drain;
use tokensocket_server::socketio::SocketIoOptions;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::manual;
use crate::config::{self, BrokerConfig, BrokerUrl, Loaded, Mistaken, Settings};
use crate::engine::Engine;
use crate::reloading::{self, Hangup, Source};
use crate::serving::Serving;
use crate::signals::Signals;
use crate::site::{DEFAULT, Place};
use crate::storage::Storage;
use crate::{activation, open, open_files};

const DEFAULT_LISTEN: &str = "127.0.0.1:1337";
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1337);
const DEFAULT_DATA: &str = "tokensocket-data";
const DATA_VARIABLE: &str = "TOKENSOCKET_DATA";

/// Runs a server
///
/// Starts a server with sensible limits that needs nothing beside it. It prints its address, then what to
/// try in a second terminal, and runs until SIGTERM or Ctrl-C: then clients are told to come back later,
/// calls in flight may finish, and every connection is closed in order. A second signal ends it at once.
///
/// Without configuration it issues a token to anybody who asks, under the name that the query `user`
/// gives, for a member of the rooms that `rooms` lists with commas between them. Whoever has a token may
/// call every action, follow and publish on every channel, and deliver to everybody. Therefore it listens
/// on this machine only, and refuses any other address unless --open-to-anybody says that this is meant.
///
/// Every channel keeps its last 100 publications for a day, and says who is there. Deliveries are kept for
/// each device that was connected within the last hour, until it acknowledges them. Histories and
/// deliveries lie in a directory, and survive the server, however it ends: see --data.
///
/// Opened in a browser, its address shows a console: calls with their answers and times, channels, and the
/// actions that the server may call on the page. Two tabs see each other and call each other.
///
/// It has some actions to begin with: `echo` answers with its argument, `time` with the server's time,
/// `whoami` with the caller's name, socket and channels, `actions` with the names of all; `deliver` keeps an
/// event for devices. `sockets.call`
/// calls an action of the client: the caller's own, or one of another socket that offers it to others by
/// `sockets.offer`; `sockets.list` says who offers what. A client that offers nothing is called by nobody
/// but itself.
///
/// Over HTTP it answers `GET /` with the console for a browser and with a text that says what this is for
/// everybody else, `GET /healthcheck` with `ok`, and `GET /readiness` with `ready`, or with status 503 and why it is not.
#[derive(Args)]
#[command(after_long_help = manual::sections(&[
    ("Examples", "  \
  tokensocket serve
  tokensocket serve --data /var/lib/tokensocket
  tokensocket serve --listen 127.0.0.1:0 --in-memory --log debug
  tokensocket serve --config tokensocket.yml
  tokensocket serve --config tokensocket.yml --broker redis://127.0.0.1:6379
  tokensocket serve --allow-origin http://localhost:3000"),
    manual::SERVE_EXIT_STATUS,
    manual::ENVIRONMENT,
]))]
pub(super) struct Serve {
    /// Where to listen; port 0 takes a free one [default: what is configured, or 127.0.0.1:1337]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "TOKENSOCKET_LISTEN",
        hide_env = true,
        value_parser = address
    )]
    listen: Option<SocketAddr>,
    /// Where to keep histories and deliveries: a directory, which is made if it is not there [default:
    /// tokensocket-data]
    ///
    /// What is published or delivered is on the disk before that is answered. One server has a directory open
    /// at a time. What is damaged in it is put aside, and said, and whoever may miss something is told.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "in_memory")]
    data: Option<PathBuf>,
    /// Keep histories and deliveries in memory, only as long as the server runs
    #[arg(long)]
    in_memory: bool,
    /// Share everything with other gateways by an engine: `redis://HOST:PORT` or `nats://HOST:PORT` [env: `BROKER_URL`]
    ///
    /// Tokens, channels with their histories, presence and what is kept for devices are in the engine then, and all
    /// gateways that have the same one are one to clients and applications. Also `rediss://` and `tls://`,
    /// `redis+cluster://` and `redis+sentinel://HOST:PORT,HOST:PORT/NAME`, and several addresses with commas between
    /// them.
    #[arg(long, value_name = "URL", conflicts_with_all = ["data", "in_memory"])]
    broker: Option<String>,
    /// Allow an address that other machines can reach, although everybody gets a token
    ///
    /// For a container or a network of one's own, where everybody who can reach the server may use it.
    #[arg(long)]
    open_to_anybody: bool,
    /// A configuration: a file in YAML or TOML, or a folder with `tokensocket.yml`, or `config.yml` and `sites.yml`;
    /// give it again for more
    ///
    /// Serves the sites that are named there, each with its own rules for who may connect and send. Without it, the
    /// variables `SITE_NAME`, `AUTH_URL`, `API_KEY` and so on may configure a site. `tokensocket init` writes such a file,
    /// `tokensocket check` looks for mistakes.
    #[arg(
        long,
        value_name = "PATH",
        env = "TOKENSOCKET_CONFIG",
        hide_env = true,
        value_delimiter = ',',
        conflicts_with_all = ["allow_origin", "open_to_anybody"]
    )]
    config: Vec<PathBuf>,
    /// Print one JSON object with `listening` and `sites` in place of the greeting
    #[arg(long)]
    json: bool,
    /// An origin whose pages may ask for tokens, such as `http://localhost:3000`; give it again for more
    ///
    /// Without it, a page of any origin that is open in a browser on this machine may ask.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
}

/// The address can be reached from other machines, and nobody said that this is meant.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} can be reached from other machines, and without configuration everybody gets a token: they could \
     call every action, read and publish on every channel, and deliver to every device.\nListen on this machine only, as with \
     --listen 127.0.0.1:{port}, or add --open-to-anybody if this is meant.",
    port = .0.port()
)]
pub(super) struct PublicAddress(SocketAddr);

/// No engine can be there. The address is not repeated, since a password may be in it.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {words}")]
pub(super) struct WrongBroker {
    name: &'static str,
    words: String,
}

impl WrongBroker {
    fn read(name: &'static str, text: &str) -> Result<BrokerUrl, Self> {
        BrokerUrl::parse(text.trim()).map_err(|words| Self { name, words })
    }
}

impl Serve {
    /// Serves where a service manager listens for us, or else where the options say.
    pub(super) async fn run(self, inherited: Option<std::net::TcpListener>) -> anyhow::Result<()> {
        if let Some(broker) = &self.broker {
            WrongBroker::read("--broker", broker)?;
        }
        if self.config.is_empty() && !config::is_in_environment(|name| env::var(name).ok()) {
            self.serve_open(inherited).await
        } else {
            self.serve_sites(inherited).await
        }
    }

    /// Serves one site that lets everybody in.
    async fn serve_open(self, inherited: Option<std::net::TcpListener>) -> anyhow::Result<()> {
        let wanted = self.listen.unwrap_or(USUAL_ADDRESS);
        let address = inherited.as_ref().map_or(Ok(wanted), std::net::TcpListener::local_addr)?;
        let public = !address.ip().to_canonical().is_loopback();
        if public && !self.open_to_anybody {
            return Err(PublicAddress(address).into());
        }
        let engine = match self.broker_of_nothing()? {
            Some(config) => Some(Engine::connect(&config).await?),
            None => None,
        };
        let folder = self.folder(None);
        let origins = self.allow_origin.clone();
        let listener = listen(inherited, wanted).await?;
        let signals = Signals::new().context("cannot wait for signals")?;
        let storage = match (&engine, folder) {
            (Some(engine), _) => Storage::InEngine(engine.namespace(DEFAULT)?),
            (None, Some(folder)) => spawn_blocking(|| Storage::open(folder)).await??,
            (None, None) => Storage::InMemory,
        };
        let site = open::site(origins, &storage)?;
        let address = listener.local_addr()?;
        let greeting = if self.json {
            greeting_as_json(address, &[site.name()], engine.as_ref())
        } else {
            greeting(address, public, &storage)
        };
        let serving = Serving::empty(
            SocketIoOptions::new(),
            engine.map_or(Place::Memory, Place::Engine),
            Drain::at_once(),
        );
        serving.keeper.adopt(site, storage).await;
        say(&greeting)?;
        activation::ready();
        Ok(serving.until(signals, listener, std::future::pending()).await?)
    }

    /// Serves what is configured, and follows changes of it.
    async fn serve_sites(self, inherited: Option<std::net::TcpListener>) -> anyhow::Result<()> {
        // Before anybody can know that it runs: it must not end of being asked to read again.
        let hangup = Hangup::new();
        let source = Source::new(self.config.clone(), self.broker.clone());
        let Loaded { settings, mistakes, files } = source.load().await?;
        let Some(settings) = settings else { return Err(Mistaken(mistakes).into()) };
        reloading::log(&mistakes);
        let place = self.place(&settings).await?;
        let wanted = self.listen.or(settings.listen).unwrap_or(USUAL_ADDRESS);
        let listener = listen(inherited, wanted).await?;
        let signals = Signals::new().context("cannot wait for signals")?;
        let kept = match &place {
            Place::Folder(folder) => format!("Histories and deliveries are kept in {}", folder.display()),
            Place::Engine(engine) => engine.to_string(),
            Place::Memory => Storage::InMemory.to_string(),
        };
        let serving = Serving::configured(&settings, place).await?;
        let address = listener.local_addr()?;
        let names: Vec<&str> = settings.sites.iter().map(|site| &*site.name).collect();
        let greeting = if self.json {
            greeting_as_json(address, &names, serving.keeper.engine())
        } else {
            greeting_of_sites(address, &names, &kept)
        };
        say(&greeting)?;
        activation::ready();
        let following = reloading::follow(hangup, source, Arc::clone(&serving.keeper), settings, files);
        Ok(serving.until(signals, listener, following).await?)
    }

    /// Where things are kept: what the command line says before what is configured.
    async fn place(&self, settings: &Settings) -> anyhow::Result<Place> {
        let says_where = self.data.is_some() || self.in_memory;
        if let Some(broker) = &settings.broker {
            if says_where {
                tracing::warn!("--data or --in-memory: the engine that is configured is not used");
            } else {
                let engine = Engine::connect(broker).await?;
                for lack in engine.status().lacks {
                    tracing::warn!(lack, "the engine cannot do all");
                }
                return Ok(Place::Engine(engine));
            }
        }
        let in_memory = settings.in_memory && self.data.is_none();
        let folder = if in_memory { None } else { self.folder(settings.data.clone()) };
        Ok(folder.map_or(Place::Memory, Place::Folder))
    }

    /// The engine, where nothing else is configured.
    fn broker_of_nothing(&self) -> anyhow::Result<Option<BrokerConfig>> {
        let named = || env::var(reloading::BROKER_VARIABLE).ok().filter(|url| !url.is_empty());
        let Some(url) =
            self.broker.clone().or_else(|| named().filter(|_| self.data.is_none() && !self.in_memory))
        else {
            return Ok(None);
        };
        let url = WrongBroker::read(reloading::BROKER_VARIABLE, &url)?;
        Ok(Some(BrokerConfig::at(url)))
    }

    /// Where things are kept; `None`: in memory.
    fn folder(&self, configured: Option<PathBuf>) -> Option<PathBuf> {
        let named = || env::var_os(DATA_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let folder =
            || self.data.clone().or_else(named).or(configured).unwrap_or_else(|| DEFAULT_DATA.into());
        (!self.in_memory).then(folder)
    }
}

/// The listener that is there already, or one at this address.
async fn listen(
    inherited: Option<std::net::TcpListener>,
    address: SocketAddr,
) -> anyhow::Result<TcpListener> {
    tracing::debug!(files = open_files::raise_limit(), "the limit of open files, and so of connections");
    if let Some(listener) = inherited {
        return Ok(TcpListener::from_std(listener)?);
    }
    let bound = match TcpListener::bind(address).await {
        // A machine without IPv6.
        Err(error) if error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(97) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.with_context(|| format!("cannot listen on {address}; --listen takes another address or port"))
}

/// One line for programs.
fn greeting_as_json(address: SocketAddr, sites: &[&str], engine: Option<&Engine>) -> String {
    let mut said = json!({ "listening": format!("http://{address}"), "sites": sites });
    if let Some(status) = engine.map(Engine::status) {
        said["broker"] = json!({
            "engine": status.name,
            "address": status.address,
            "version": status.version,
            "lacks": status.lacks,
        });
    }
    format!("{said}\n")
}

/// Says where the server is, and which sites it has.
fn greeting_of_sites(address: SocketAddr, sites: &[&str], kept: &str) -> String {
    let page = url(address);
    let line = |site: &&str| format!("  {site}: io(\"{page}/{site}?token=…\"), POST /send?site={site}\n");
    let sites: String = sites.iter().map(line).collect();
    format!(
        "listening on http://{address}
{kept}

Sites:
{sites}
SIGHUP, or a changed file, has the configuration read again. Ctrl-C ends the server.
"
    )
}

fn say(greeting: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(greeting.as_bytes())?;
    out.flush()
}

/// Says where the server is and what to try next.
fn greeting(address: SocketAddr, public: bool, storage: &Storage) -> String {
    let reach = if public {
        "Everybody who can reach this address gets a token: nothing is configured, and --open-to-anybody was \
         given."
    } else {
        "Everybody on this machine gets a token, since nothing is configured; other machines cannot reach it."
    };
    let program = program();
    let page = url(address);
    let url = match address.to_string() {
        usual if usual == DEFAULT_LISTEN => String::new(),
        _ => format!(" --url {page}"),
    };
    format!(
        "listening on http://{address}
{reach}
{storage}

Open {page} in a browser for a console, or try in a second terminal:
  {program} call whoami --user ann{url}
  {program} call echo '{{\"hello\":\"world\"}}'{url}
  {program} sub news{url}
and while that runs, in a third:
  {program} pub news '{{\"title\":\"It works\"}}'{url}
What was published is kept:
  {program} history news{url}

Ctrl-C ends the server.
"
    )
}

/// How this program was called, so that it can be called again.
fn program() -> String {
    let name = env::args().next().unwrap_or_else(|| "tokensocket".to_owned());
    if name.contains(char::is_whitespace) { format!("'{name}'") } else { name }
}

/// How to reach `address` from this machine.
pub(super) fn url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("write it as ADDRESS:PORT, like {DEFAULT_LISTEN} or [::1]:1337"))
}
