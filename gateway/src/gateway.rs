//! The gateway as a library: the same sites, for a program with routes and namespaces of its own beside them.
//!
//! In: a configuration, a listener. Out: its sites, served until a signal.

use std::io;
use std::path::PathBuf;

use tokensocket_server::Server;
use tokensocket_server::socketio::SocketIo;
use tokio::net::TcpListener;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::config::{self, Loaded, Mistaken};
use crate::engine::Engine;
use crate::serving::{Hurried, NotServed, Serving};
use crate::signals::Signals;
use crate::site::Place;

/// Sites, ready to be served.
pub struct Gateway {
    serving: Serving,
}

/// The gateway cannot begin, or did not end well.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GatewayError(String);

impl Gateway {
    /// Reads a configuration, as `tokensocket serve --config` does, and begins its sites. The environment does not
    /// count. `data`: where sites keep histories and deliveries; in memory without it, and with a `broker` there. Needs a
    /// tokio runtime.
    ///
    /// An error says every mistake with its line, or which site cannot begin.
    pub async fn open(files: &[PathBuf], data: Option<PathBuf>) -> Result<Self, GatewayError> {
        Self::begin(config::load(files, |_| None), data).await
    }

    /// The same from a text: `name` is that of a file, whose ending says what it is written in.
    pub async fn configured(name: &str, text: &str, data: Option<PathBuf>) -> Result<Self, GatewayError> {
        Self::begin(config::load_text(name, text), data).await
    }

    async fn begin(loaded: Loaded, data: Option<PathBuf>) -> Result<Self, GatewayError> {
        let Loaded { settings, mistakes, .. } = loaded;
        let Some(settings) = settings else { return Err(GatewayError(Mistaken(mistakes).to_string())) };
        for note in &mistakes {
            tracing::info!("{note}");
        }
        let place = match (&settings.broker, data) {
            (Some(broker), _) => {
                let engine = Engine::connect(broker).await;
                Place::Engine(engine.map_err(|error| GatewayError(error.to_string()))?)
            }
            (None, Some(folder)) => Place::Folder(folder),
            (None, None) => Place::Memory,
        };
        let serving = Serving::configured(&settings, place).await;
        Ok(Self { serving: serving.map_err(|error: NotServed| GatewayError(error.to_string()))? })
    }

    /// The server of a site.
    pub fn site(&self, name: &str) -> Option<Server> {
        self.serving.keeper.sites().get(name).map(|site| site.server().clone())
    }

    /// Where the sites' Socket.IO clients connect: a program may have more namespaces there. Whatever it has beside the
    /// sites it has to end by itself.
    pub fn socket_io(&self) -> &SocketIo {
        &self.serving.io
    }

    /// Serves until SIGTERM or Ctrl-C, then closes every connection in order; a second signal ends it at once, with an
    /// error. `first` is asked before the API and the pages, about all that is no site's.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        first: BoxedFilter<(Response,)>,
    ) -> Result<(), GatewayError> {
        let signals = Signals::new();
        let signals =
            signals.map_err(|error: io::Error| GatewayError(format!("cannot wait for signals: {error}")))?;
        self.serving.first = Some(first);
        let served = self.serving.until(signals, listener, std::future::pending()).await;
        served.map_err(|hurried: Hurried| GatewayError(hurried.to_string()))
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}
