//! The accept loop of a server that has a listener of its own.
//!
//! In: a listener, and a service for the paths that are not the server's. Out: HTTP/1.1 connections with small buffers and `TCP_NODELAY`, each in a task of the
//! node, until the server shuts down.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tower_service::Service;

use super::body::ResponseBody;
use super::service::RemoteAddress;
use super::{Head, Http};

/// How long a client may take to send a request's head, and a connection may idle between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// How long to wait when the system has no more file descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers a request.
type Respond<B> = Pin<Box<dyn Future<Output = Result<Response<Either<ResponseBody, B>>, Infallible>> + Send>>;

/// A service for the paths that are not the server's own.
pub(crate) trait Others<B>:
    Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<B, S> Others<B> for S where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Where a server listens: a TCP listener, with TLS if it was given a configuration.
///
/// A plain [`TcpListener`] can be given wherever a `Listener` is asked for.
pub struct Listener {
    tcp: TcpListener,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsAcceptor>,
}

impl Listener {
    /// Speaks TLS on `tcp`. Needs the feature `tls`.
    ///
    /// A client that has not finished its handshake after 15 s is dropped. Sockets over TLS are written by
    /// their own tasks only, and cost more memory: `docs/performance.md` says how much.
    #[cfg(feature = "tls")]
    pub fn tls(tcp: TcpListener, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        Self { tcp, tls: Some(config.into()) }
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self {
            tcp,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// Accepts until the node has told every connection to go: until then requests may be parts of a session.
pub(crate) async fn accept<B, S>(http: Arc<Http>, listener: Listener, others: Option<S>)
where
    S: Others<B>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let stop = http.shared.node.last.clone();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.tcp.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY is not set");
                }
                let (http, others) = (Arc::clone(&http), others.clone());
                let tasks = http.shared.node.tasks.clone();
                #[cfg(feature = "tls")]
                if let Some(tls) = listener.tls.clone() {
                    tasks.spawn(async move {
                        let stop = http.shared.node.stop.clone();
                        let handshake = tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream));
                        if let Some(Ok(Ok(stream))) = stop.run_until_cancelled(handshake).await {
                            serve(http, stream, address, others).await;
                        } else {
                            tracing::trace!(%address, "a TLS handshake was not completed");
                        }
                    });
                    continue;
                }
                tasks.spawn(serve(http, stream, address, others));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn respond<B, S: Others<B>>(http: &Arc<Http>, request: Request<Incoming>, others: Option<&S>) -> Respond<B> {
    match others {
        Some(others) if !http.owns(request.uri().path()) => {
            let answered = others.clone().call(request);
            Box::pin(async move { Ok(answered.await?.map(Either::Right)) })
        }
        _ => {
            let http = Arc::clone(http);
            let (mut head, body) = Head::of(request);
            Box::pin(async move { Ok(http.respond(&mut head, body).await.map(Either::Left)) })
        }
    }
}

async fn serve<B, S, I>(http: Arc<Http>, stream: I, address: SocketAddr, others: Option<S>)
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Others<B>,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let stop = http.shared.node.last.clone();
    let limit = http.shared.node.config.shutdown_timeout;
    let asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&asked);
    let service = service_fn(move |mut request: Request<Incoming>| {
        asks.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(RemoteAddress(address));
        respond(&http, request, others.as_ref())
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        // Answers are small: copied behind their heads, they go out in one plain write.
        .writev(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // An answer may take as long as a call in flight. Who has not even asked gets none.
            let limit = if asked.load(Ordering::Relaxed) { limit } else { Duration::ZERO };
            let Ok(ended) = tokio::time::timeout(limit, connection).await else { return };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "an HTTP connection ended early");
    }
}
