//! One server, and the connection by which it is asked.
//!
//! In: where it is. Out: a connection whenever there is one, or since when and why there is none. Connects again by
//! itself, and gives a connection up that does not answer.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use super::address::Host;
use super::backoff::Backoff;
use super::dial::{Dialed, Dialer, NotConnected};
use super::facts::Facts;
use super::task::Task;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Site {
    /// There.
    Fixed(Host),
    /// Where these say that the primary of the service is.
    Sentinel { sentinels: Vec<Host>, service: String },
}

impl Site {
    /// Where it is now, and what it is called among those that may take over from one another.
    pub(super) async fn find(&self, dialer: &Dialer) -> Result<(Host, String), NotConnected> {
        match self {
            Self::Fixed(host) => Ok((host.clone(), String::new())),
            Self::Sentinel { sentinels, service } => {
                let host = named_by_most(dialer, sentinels, service).await?;
                let place = host.to_string();
                Ok((host, place))
            }
        }
    }
}

/// What most Sentinels name, as soon as it is known; of several the one that is named first in the list. One that was cut off
/// from the others, or left behind, names what was the primary once.
async fn named_by_most(dialer: &Dialer, sentinels: &[Host], service: &str) -> Result<Host, NotConnected> {
    let mut asked = FuturesUnordered::new();
    for (at, sentinel) in sentinels.iter().enumerate() {
        asked.push(async move { (at, dialer.ask_sentinel(sentinel, service).await) });
    }
    // Who names each.
    let mut named: HashMap<Host, Vec<usize>> = HashMap::new();
    let mut last = NotConnected::Yet("there is no Sentinel".to_owned());
    while let Some((at, answer)) = asked.next().await {
        match answer {
            Ok(host) => {
                let by = named.entry(host.clone()).or_default();
                by.push(at);
                if by.len() * 2 > sentinels.len() {
                    return Ok(host);
                }
            }
            Err(error) => last = error,
        }
    }
    let most = named.into_iter().max_by_key(|(_, by)| (by.len(), Reverse(by.iter().min().copied())));
    most.map(|(host, _)| host).ok_or(last)
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(host) => host.fmt(f),
            Self::Sentinel { service, .. } => f.write_str(service),
        }
    }
}

/// A connection that can be used.
pub(super) struct Live {
    number: u64,
    pub(super) connection: MultiplexedConnection,
    facts: ArcSwap<Facts>,
}

impl Live {
    /// Its own among the connections to a server.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn facts(&self) -> Arc<Facts> {
        self.facts.load_full()
    }
}

/// How it stands with a server.
#[derive(Clone)]
pub(super) enum State {
    /// It can be asked.
    Here(Arc<Live>),
    /// It cannot.
    Away { since: Instant, reason: Arc<str> },
}

impl State {
    /// The connection by which it can be asked.
    pub(super) fn live(&self) -> Option<&Arc<Live>> {
        match self {
            Self::Here(live) => Some(live),
            Self::Away { .. } => None,
        }
    }
}

/// A server; its connection ends when this is dropped.
pub(super) struct Server {
    shared: Arc<Shared>,
    _task: Task,
}

struct Shared {
    site: Site,
    dialer: Arc<Dialer>,
    state: watch::Sender<State>,
    numbers: AtomicU64,
    look: Duration,
}

impl Server {
    /// Connects for the first time; after that by itself whenever it must.
    pub(super) async fn connect(
        site: Site,
        dialer: Arc<Dialer>,
        response_limit: Duration,
    ) -> Result<Self, NotConnected> {
        let state = State::Away { since: Instant::now(), reason: "not connected yet".into() };
        let shared = Arc::new(Shared {
            site,
            dialer,
            state: watch::Sender::new(state),
            numbers: AtomicU64::new(0),
            look: response_limit / 2,
        });
        let first = shared.connect().await?;
        let task = Task::spawn(Arc::clone(&shared).run(Some(first)));
        Ok(Self { shared, _task: task })
    }

    /// Begins to connect.
    pub(super) fn begin(site: Site, dialer: Arc<Dialer>, response_limit: Duration) -> Self {
        let state = State::Away { since: Instant::now(), reason: "not connected yet".into() };
        let shared = Arc::new(Shared {
            site,
            dialer,
            state: watch::Sender::new(state),
            numbers: AtomicU64::new(0),
            look: response_limit / 2,
        });
        let task = Task::spawn(Arc::clone(&shared).run(None));
        Self { shared, _task: task }
    }

    pub(super) fn site(&self) -> &Site {
        &self.shared.site
    }

    pub(super) fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.shared.state.borrow().live().cloned()
    }

    /// Its state, and each change of it.
    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// This connection has failed: there will be another.
    pub(super) fn give_up(&self, live: &Live, reason: &str) {
        self.shared.give_up(live.number, reason);
    }
}

impl Shared {
    async fn run(self: Arc<Self>, first: Option<(Dialed, Facts)>) {
        let mut backoff = Backoff::default();
        let mut next = match first {
            Some(first) => Ok(first),
            None => self.connect().await,
        };
        loop {
            match next {
                Ok((dialed, facts)) => {
                    backoff.reset();
                    self.serve(dialed, facts).await;
                }
                Err(error) => self.away(error.reason()),
            }
            tokio::time::sleep(backoff.next()).await;
            next = self.connect().await;
        }
    }

    async fn connect(&self) -> Result<(Dialed, Facts), NotConnected> {
        let (host, place) = self.site.find(&self.dialer).await?;
        self.dialer.dial(&host, &place).await.map_err(|error| match error {
            NotConnected::Ever(reason) => NotConnected::Ever(format!("{host}: {reason}")),
            NotConnected::Yet(reason) => NotConnected::Yet(format!("{host}: {reason}")),
        })
    }

    /// Until the connection is given up.
    async fn serve(&self, dialed: Dialed, facts: Facts) {
        let Dialed { connection, mut driver } = dialed;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        tracing::info!(server = %self.site, version = facts.version, "connected to Redis");
        let place = facts.place.clone();
        let live = Arc::new(Live { number, connection, facts: ArcSwap::from_pointee(facts) });
        let mut states = self.state.subscribe();
        self.state.send_replace(State::Here(Arc::clone(&live)));
        let given_up = async {
            let _ =
                states.wait_for(|state| !matches!(state, State::Here(live) if live.number == number)).await;
        };
        // Asked at intervals, so that a server which has stopped, or is no primary any more, is found while nobody
        // asks it anything.
        let looking = async {
            let mut connection = live.connection.clone();
            loop {
                tokio::time::sleep(self.look).await;
                match self.dialer.facts(&mut connection, &place).await {
                    Ok(facts) => {
                        if *live.facts.load_full() != facts {
                            live.facts.store(Arc::new(facts));
                        }
                    }
                    Err(error) => return error.reason().to_owned(),
                }
            }
        };
        tokio::select! {
            () = given_up => {}
            () = driver.ended() => self.give_up(number, "the connection was closed"),
            reason = looking => self.give_up(number, &reason),
        }
    }

    fn give_up(&self, number: u64, reason: &str) {
        self.state.send_if_modified(|state| {
            let is_that = matches!(state, State::Here(live) if live.number == number);
            if is_that {
                tracing::warn!(server = %self.site, reason, "the connection to Redis is lost");
                *state = State::Away { since: Instant::now(), reason: reason.into() };
            }
            is_that
        });
    }

    /// It is still away, and this is why.
    fn away(&self, why: &str) {
        tracing::debug!(server = %self.site, reason = why, "Redis cannot be reached");
        self.state.send_if_modified(|state| {
            let since = match state {
                State::Away { since, .. } => *since,
                State::Here(_) => Instant::now(),
            };
            *state = State::Away { since, reason: why.into() };
            true
        });
    }
}
