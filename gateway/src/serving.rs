//! The gateway from its first connection to its last.
//!
//! In: a server, a listener, and the signals that end it. Out: whether all connections were closed in
//! order.

use std::time::Duration;

use tokensocket_server::Server;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::pages;
use crate::signals::Signals;

/// How long a request that is only half sent may hold up the end.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// A second signal came while connections were being closed.
#[derive(Debug, thiserror::Error)]
#[error("ended at once, before every connection was closed")]
pub(crate) struct Hurried;

/// Serves until the first signal, then closes every connection in order. A second signal ends it at once.
pub(crate) async fn serve(
    server: Server,
    listener: TcpListener,
    mut signals: Signals,
) -> Result<(), Hurried> {
    let http = tokio::spawn({
        let server = server.clone();
        async move { server.serve_with(listener, warp::service(pages::routes())).await }
    });

    signals.next().await;
    tracing::info!(sockets = server.sockets().len(), "ending; a second signal ends at once");
    tokio::select! {
        () = server.shutdown() => {}
        () = signals.next() => return Err(Hurried),
    }
    if timeout(LAST_REQUESTS, http).await.is_err() {
        tracing::debug!("a request was still coming in");
    }
    tracing::info!("ended");
    Ok(())
}
