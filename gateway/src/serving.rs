//! The gateway from its first connection to its last.
//!
//! In: sites, a listener, and the signals that end it. Out: whether all connections were closed in order.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokensocket_server::Drain;
use tokensocket_server::socketio::{SocketIo, SocketIoOptions};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::config::Settings;
use crate::front::{Front, accept};
use crate::pages::{self, Readiness};
use crate::signals::Signals;
use crate::site::{KeepError, Keeper, Place};
use crate::{activation, api};

/// How long a request that is only half sent may hold up the end.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// How long those may that wait for an engine: servers tell them that the outcome is not known when the `store_timeout`, 5 s
/// where nobody says otherwise, has passed.
const LAST_OUTCOMES: Duration = Duration::from_secs(6);
/// Below where things are kept: a folder for each site.
const SITES: &str = "sites";

/// A second signal came while connections were being closed.
#[derive(Debug, thiserror::Error)]
#[error("ended at once, before every connection was closed")]
pub(crate) struct Hurried;

/// What is served.
pub(crate) struct Serving {
    /// The sites.
    pub(crate) keeper: Arc<Keeper>,
    /// Where Socket.IO clients connect.
    pub(crate) io: SocketIo,
    /// What is asked before the API and the pages.
    pub(crate) first: Option<BoxedFilter<(Response,)>>,
    readiness: Readiness,
    drain: Drain,
    /// The requests that may be worked at for as long as an engine is away.
    waiting: TaskTracker,
}

/// Some sites cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("the site `{site}` cannot be served: {error}")]
pub(crate) struct NotServed {
    site: String,
    error: KeepError,
}

impl Serving {
    /// No site yet. `place`: where sites keep things.
    pub(crate) fn empty(options: SocketIoOptions, place: Place, drain: Drain) -> Self {
        let io = SocketIo::new(options);
        let keeper = Keeper::new(io.clone(), place, drain);
        let readiness = Readiness::new(keeper.engine().cloned());
        Self { keeper: Arc::new(keeper), io, first: None, readiness, drain, waiting: TaskTracker::new() }
    }

    /// The sites that are configured. `place`: where they keep things, a folder for all of them.
    pub(crate) async fn configured(settings: &Settings, place: Place) -> Result<Self, NotServed> {
        let options =
            SocketIoOptions::new().ping_interval(settings.ping_interval).ping_timeout(settings.ping_timeout);
        let options = options.max_connections(settings.max_connections);
        let options = match &settings.client_files {
            Some(folder) => options.client_files(folder),
            None => options,
        };
        let place = match place {
            Place::Folder(folder) => Place::Folder(folder.join(SITES)),
            other => other,
        };
        let serving = Self::empty(options, place, settings.drain);
        let changes = serving.keeper.apply(&settings.sites).await;
        match changes.failed.into_iter().next() {
            None => Ok(serving),
            Some((site, error)) => {
                serving.end().await;
                Err(NotServed { site, error })
            }
        }
    }

    /// Serves until the first signal, then closes every connection in order. A second signal ends it at once.
    pub(crate) async fn until(
        self,
        mut signals: Signals,
        listener: TcpListener,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<(), Hurried> {
        let stop = CancellationToken::new();
        let http = tokio::spawn(self.accept(listener, stop.clone()));
        tokio::select! {
            () = signals.next() => {}
            () = async { tokio::join!(meanwhile, pending::<()>()); } => {}
        }
        activation::stopping();
        self.readiness.end();
        let sites = self.keeper.sites().all();
        let sockets: usize = sites.iter().map(|site| site.server().sockets().len()).sum();
        tracing::info!(sockets, "ending; a second signal ends at once");
        let is_paced = self.drain != Drain::at_once();
        if !is_paced {
            // Who connects from now on waits for the next process, where a service manager listens.
            stop.cancel();
        }
        tokio::select! {
            () = self.end() => {}
            () = signals.next() => return Err(Hurried),
        }
        stop.cancel();
        tokio::select! {
            () = last_answers(&self.waiting, http) => {}
            () = signals.next() => return Err(Hurried),
        }
        tracing::info!("ended");
        Ok(())
    }

    /// Accepts connections until `stop`.
    pub(crate) fn accept(
        &self,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let sites = self.keeper.sites();
        let api = api::routes(sites, self.keeper.engine(), &self.waiting);
        let others = api.or(pages::routes(self.readiness.clone())).unify_replies();
        let others = match self.first.clone() {
            Some(first) => first.or(others).unify().boxed(),
            None => others,
        };
        accept(listener, Front::new(sites.clone(), self.io.clone(), warp::service(others)), stop)
    }

    /// Closes every connection in order, and then what sites keep.
    pub(crate) async fn end(&self) {
        if self.drain == Drain::at_once() {
            tokio::join!(self.keeper.close(), self.io.shutdown());
        } else {
            // Each connection stays until its turn has come, and so do requests of those that poll.
            self.keeper.close().await;
            self.io.shutdown().await;
        }
    }
}

/// Waits until `http` has answered its last requests, but not long for one that is only half sent.
async fn last_answers(waiting: &TaskTracker, http: impl Future) {
    waiting.close();
    if timeout(LAST_OUTCOMES, waiting.wait()).await.is_err() {
        tracing::warn!(requests = waiting.len(), "not answered: what became of them is not known");
    }
    if timeout(LAST_REQUESTS, http).await.is_err() {
        tracing::debug!("a request was still coming in");
    }
}

/// Two filters that answer become one.
trait UnifyReplies {
    fn unify_replies(self) -> BoxedFilter<(Response,)>;
}

impl<F, R> UnifyReplies for F
where
    F: Filter<Extract = (R,)> + Clone + Send + Sync + 'static,
    F::Error: Into<warp::Rejection>,
    R: warp::Reply + Send,
{
    fn unify_replies(self) -> BoxedFilter<(Response,)> {
        self.map(|reply: R| reply.into_response()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_those_that_wait_for_an_engine_hold_up_the_end() {
        let waiting = TaskTracker::new();
        let begun = Instant::now();
        last_answers(&waiting, pending::<()>()).await;
        assert_eq!(begun.elapsed(), LAST_REQUESTS);

        // As long as a server waits that has nothing else to say.
        let answered = waiting.track_future(sleep(Duration::from_secs(5)));
        let begun = Instant::now();
        let http = tokio::spawn(answered);
        last_answers(&waiting, http).await;
        assert!((5..6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());

        let _never = waiting.token();
        let begun = Instant::now();
        last_answers(&waiting, pending::<()>()).await;
        assert_eq!(begun.elapsed(), LAST_OUTCOMES + LAST_REQUESTS);
    }
}
